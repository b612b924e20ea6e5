"""Drift and realised performance in SQL agree with hand calculation and with other libraries."""

import json
import math
import shutil
from datetime import date
from pathlib import Path

import duckdb
import jinja2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from support.history import score_day
from support.homes import PROJECT, churnhouse, copied, rows

from api.store.gauges import PublishedGauges
from api.store.publication import Publication, load
from python_jobs.monitoring.outcomes import failure
from python_jobs.scoring.snapshots import save_training_sample
from python_jobs.settings import Settings
from python_jobs.warehouse import spark
from python_jobs.warehouse.connection import connect

CLOCK_LIKE = {
    *("tenure_days", "active_days_ever", "events_ever", "silence_share"),
    "observed_days_30d",
}
UNTESTED = ("--exclude-resource-type", "test")
MACROS = [
    (PROJECT / f"macros/drift/{name}.sql").read_text() for name in ("psi_bin", "psi_noise", "psi")
]
TEMPLATE = jinja2.Environment().from_string(
    "".join(MACROS) + "{{ psi('reference', 'actual', 'x', ['model_version'], is_numeric) }}"
)


def psi(reference: list, current: list, *, is_numeric: bool = True) -> dict:
    """Return the macro's PSI of two samples."""
    with duckdb.connect() as connection:
        for name, values in (("reference", reference), ("actual", current)):
            kind = "double" if is_numeric else "varchar"
            connection.execute(
                f"create table {name} (model_version varchar, as_of_date date, x {kind})"
            )
            connection.register("sample", pd.DataFrame({"x": pd.Series(values, dtype=object)}))
            connection.execute(f"insert into {name} select 'v', date '2025-03-01', x from sample")
        found = connection.execute(TEMPLATE.render(is_numeric=is_numeric))
        names = [column[0] for column in found.description]
        return dict(zip(names, found.fetchone(), strict=True))


def psi_by_numpy(reference: list, current: list) -> float:
    """Compute PSI with numpy: sorting, np.searchsorted, np.bincount."""
    known = np.sort(np.array([x for x in reference if x is not None], dtype=float))
    edges = known[[-(-len(known) * k // 10) - 1 for k in range(1, 10)]]

    def shares(values: list) -> np.ndarray:
        bins = [10 if x is None else np.searchsorted(edges, x, side="left") for x in values]
        return np.bincount(bins, minlength=11) / len(values)

    r, c = shares(reference), shares(current)
    used = (r > 0) | (c > 0)
    r, c = np.maximum(r[used], 1e-4), np.maximum(c[used], 1e-4)
    return float(((c - r) * np.log(c / r)).sum())


def test_psi_of_two_categories_matches_a_hand_calculation():
    found = psi(["a"] * 50 + ["b"] * 50, ["a"] * 80 + ["b"] * 20, is_numeric=False)
    assert found["psi"] == pytest.approx(0.3 * math.log(1.6) - 0.3 * math.log(0.4))
    assert (found["bins"], found["reference_rows"], found["current_rows"]) == (2, 100, 100)


def test_psi_of_equal_samples_is_zero():
    assert psi(list(range(100)), list(range(100)))["psi"] == pytest.approx(0)


def test_psi_gives_null_a_bin_of_its_own():
    """Half become null: (1/2 - floor) * ln((1/2) / floor), plus the loss of the other half."""
    values = list(range(100))
    found = psi(values, values[::2] + [None] * 50)
    unknown = (0.5 - 1e-4) * math.log(0.5 / 1e-4)
    assert found["psi"] == pytest.approx(unknown + 0.5 * math.log(2), rel=1e-6)
    assert found["bins"] == 11


def test_psi_gives_null_a_bin_of_its_own_among_categories_too():
    values = ["a"] * 30 + [None] * 70
    found = psi(values, values, is_numeric=False)
    assert found["psi"] == pytest.approx(0) and found["bins"] == 2
    found = psi(values, ["a"] * 70 + [None] * 30, is_numeric=False)
    assert found["psi"] == pytest.approx(0.8 * math.log(7 / 3))


def test_psi_counts_values_outside_the_reference():
    found = psi(list(range(100)), [1000] * 100)
    assert found["psi"] > 5


def test_psi_sees_a_mostly_zero_column_that_turns_zero():
    mostly_zero = [0] * 70 + list(range(1, 31))
    assert psi(mostly_zero, [0] * 100)["psi"] > 0.25


def test_psi_of_unchanged_data_stays_below_the_noise_level():
    random = np.random.default_rng(3)
    exceeded = 0
    for _ in range(60):
        one, other = random.normal(size=400).tolist(), random.normal(size=60).tolist()
        found = psi(one, other)
        exceeded += found["psi"] > found["noise_psi"]
    assert exceeded <= 4
    assert found["noise_psi"] > 0.25  # so small a sample needs it


@pytest.mark.parametrize(
    ("psi_value", "noise", "status"),
    [
        (0.0999, 0.01, "ok"),
        (0.10, 0.01, "warn"),
        (0.2499, 0.01, "warn"),
        (0.25, 0.01, "fail"),
        (0.25, 0.25, "ok"),
        (0.12, 0.30, "ok"),
        (0.30, 0.29, "fail"),
    ],
)
def test_a_status_needs_its_threshold_and_more_than_noise(psi_value, noise, status):
    macro = (PROJECT / "macros/drift/drift_status.sql").read_text()
    template = jinja2.Environment().from_string(macro + "select {{ drift_status(psi, noise) }}")
    with duckdb.connect() as connection:
        found = connection.execute(template.render(psi=psi_value, noise=noise)).fetchone()
    assert found == (status,)


values = st.lists(
    st.one_of(st.none(), st.integers(0, 5).map(float), st.floats(-1e6, 1e6)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_psi_agrees_with_numpy(reference: list, current: list):
    if all(x is None for x in reference):
        reference = [*reference, 1.0]
    assert psi(reference, current)["psi"] == pytest.approx(
        psi_by_numpy(reference, current), rel=1e-9, abs=1e-12
    )


@pytest.fixture(scope="module")
def scored_earlier(finished_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with a scored day whose labels are closed."""
    home = tmp_path_factory.mktemp("earlier") / "data"
    shutil.copytree(finished_home, home, symlinks=True)
    for day in (date(2025, 3, 12), date(2025, 3, 31)):
        score_day(home, day)
    churnhouse(home, "publish")
    return home


def published(home: Path) -> Publication:
    """Return the published version as the API loads it."""
    folder = (home / "published/current").resolve()
    return load(folder.parent, folder.name)


def outcomes(home: Path, day: str) -> pd.DataFrame:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(
            f"""
            select churn_label, churn_risk from prediction_outcomes
            where as_of_date = date '{day}' and is_eligible order by risk_rank
            """
        ).df()


@pytest.mark.parametrize("day", ["2025-03-12", "2025-03-31"])
def test_realised_performance_agrees_with_scikit_learn(scored_earlier: Path, day: str):
    found = rows(
        scored_earlier,
        f"""
        select roc_auc, average_precision, brier, precision_at_top_k, expected_precision_at_top_k,
            base_rate, expected_base_rate, lift_top_decile, expected_calibration_error, is_mature
        from model_performance where as_of_date = date '{day}'
        """,
    )[0]
    frame = outcomes(scored_earlier, day)
    y, risk = frame["churn_label"].to_numpy(), frame["churn_risk"].to_numpy()
    tenth = -(-len(y) // 10)
    tenths = list(zip(np.array_split(risk, 10), np.array_split(y, 10), strict=True))
    expected = (
        roc_auc_score(y, risk),
        average_precision_score(y, risk),
        brier_score_loss(y, risk),
        y[:50].mean(),
        risk[:50].mean(),
        y.mean(),
        risk.mean(),
        y[:tenth].mean() / y.mean(),
        sum(abs(r.sum() - labels.sum()) for r, labels in tenths) / len(y),
        True,
    )
    assert found == pytest.approx(expected, rel=1e-9)


def test_calendar_knows_how_far_past_levels_were_off(scored_earlier: Path):
    """The newest date is open: its level is not known yet."""
    off = []
    for day in ("2025-03-12", "2025-03-31"):
        frame = outcomes(scored_earlier, day)
        off.append(frame["churn_label"].mean() / frame["churn_risk"].mean() - 1)
    found = rows(scored_earlier, "select distinct level_error from churn_calendar")
    assert found == [(pytest.approx(np.sqrt(np.mean(np.square(off)))),)]
    assert found[0][0] > 0


def test_intervals_hold_the_realised_value(scored_earlier: Path):
    found = rows(
        scored_earlier,
        """
        select intervals.low <= intervals.value and intervals.value <= intervals.high,
            abs(intervals.value - performance.roc_auc) < 1e-9
        from performance_intervals as intervals
        inner join model_performance as performance using (as_of_date, model_version)
        where intervals.metric = 'roc_auc'
        """,
    )
    assert found == [(True, True)] * 2


def test_jobs_make_the_same_intervals_as_the_dbt_python_model(scored_earlier: Path, tmp_path):
    home = copied(scored_earlier, tmp_path / "data")
    query = "from performance_intervals order by all"
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        by_dbt = connection.execute(query).fetchall()
        connection.execute("drop table performance_intervals")
        # An earlier release had a view of this name.
        connection.execute("create view performance_intervals as select 1")
        spark.measure_intervals(connection, Settings(home=home))
        assert connection.execute(query).fetchall() == by_dbt
        newest = [row for row in by_dbt if row[0] == date(2025, 3, 31)]
        users_of_both = newest[0][-1] + by_dbt[0][-1]
        for most, expected in ((users_of_both, by_dbt), (users_of_both - 1, newest), (1, [])):
            spark.measure_intervals(connection, Settings(home=home, max_training_rows=most))
            assert connection.execute(query).fetchall() == expected


def test_open_label_window_counts_as_unknown_not_as_stayed(scored_earlier: Path):
    latest = rows(
        scored_earlier,
        """
        select is_mature, base_rate, roc_auc, precision_at_top_k,
            expected_precision_at_top_k is not null
        from model_performance where as_of_date = date '2025-04-30'
        """,
    )
    assert latest == [(False, None, None, None, True)]


def test_late_data_shows_as_a_share_of_changed_features(scored_earlier: Path, tmp_path: Path):
    """A late event on a scored day changes the count of only its user."""
    home = copied(scored_earlier, tmp_path / "data")
    user, users = rows(
        home,
        "select min(case when quiz_score_7d is null then user_id end), count(*) "
        "from user_features_daily where as_of_date = '2025-03-31'",
    )[0]
    columns = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"
    (home / "raw/events/late.csv").write_text(
        f"{columns}late-1,{user},2025-03-31 10:00:00,course_enroll,,,,\n"
        f"late-2,{user},2025-03-31 11:00:00,quiz_attempt,,,50,\n"
    )
    churnhouse(home, "ingest")
    churnhouse(home, "build", *UNTESTED)
    changed = rows(
        home,
        """
        select users_changed, users from feature_consistency
        where as_of_date = '2025-03-31' and feature in ('course_enrolls_7d', 'quiz_score_7d')
        """,
    )
    assert changed == [(1, users)] * 2  # a null that became a value counts as changed
    untouched = rows(
        home,
        "select sum(users_changed) from feature_consistency where as_of_date = '2025-03-12'",
    )
    assert untouched == [(0,)]


def test_late_data_of_a_build_without_marts_is_seen_by_the_next(
    scored_earlier: Path, tmp_path: Path
):
    """12 March changes in a build that stops before the marts, 31 March in the next."""
    home = copied(scored_earlier, tmp_path / "data")
    columns = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"
    user = rows(home, "select min(user_id) from accepted_users where signup_date < '2025-03-01'")[
        0
    ][0]
    for name, day in (("one", "2025-03-12"), ("two", "2025-03-31")):
        line = f"{name},{user},{day} 10:00:00,course_enroll,,,,\n"
        (home / f"raw/events/{name}.csv").write_text(columns + line)
        churnhouse(home, "ingest")
        churnhouse(home, "build", "--exclude", "source:ml+", *UNTESTED)
    before = (
        "select as_of_date, max(compared_with) from feature_consistency group by all order by all"
    )
    (*_, (_, first)) = rows(home, before)
    churnhouse(home, "publish")
    query = "select feature, as_of_date, users_changed from feature_consistency order by all"
    changed = [row for row in rows(home, query) if row[2]]
    days = {(name, day) for name, day, _ in changed}
    assert {
        ("course_enrolls_7d", date(2025, 3, 12)),
        ("course_enrolls_7d", date(2025, 3, 31)),
    } <= days
    assert [number - first for _, number in rows(home, before)] == [2, 2, 2]
    expected = rows(home, query)
    churnhouse(home, "build", "--full-refresh", "--select", "feature_consistency")
    assert rows(home, query) == expected
    # a build that writes only later days leaves the earlier comparison
    (home / "raw/events/three.csv").write_text(
        columns + f"three,{user},2025-04-30 10:00:00,course_enroll,,,,\n"
    )
    churnhouse(home, "ingest")
    churnhouse(home, "build", *UNTESTED)
    assert [number - first for _, number in rows(home, before)] == [2, 2, 3]
    # and numbers go on, so that nothing passes for compared with what it was not
    churnhouse(home, "build", "--full-refresh", *UNTESTED)
    assert [number - first for _, number in rows(home, before)] == [4, 4, 4]


def test_forgotten_user_is_not_counted_on_any_date(scored_earlier: Path, tmp_path: Path):
    home = copied(scored_earlier, tmp_path / "data")
    user = rows(home, "select min(user_id) from accepted_users where signup_date < '2025-03-01'")[
        0
    ][0]
    counts = "select as_of_date, max(users) from feature_consistency group by all order by all"
    before = rows(home, counts)
    churnhouse(home, "forget", user)
    assert rows(home, counts) == [(day, users - 1) for day, users in before]


def test_drift_exits_2_where_a_feature_fails_and_writes_what_it_found(home: Path):
    (home / "warehouse.duckdb").rename(home / "elsewhere")
    assert churnhouse(home, "drift").returncode == 0  # it reads only the published files
    (home / "elsewhere").rename(home / "warehouse.duckdb")
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute("update ml.training_reference set logins_30d = logins_30d + 50")
        connection.execute("drop table feature_drift")
    churnhouse(home, "publish")
    done = churnhouse(home, "drift", check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "logins_30d" in done.stdout
    found = json.loads((home / "published/data_drift_latest.json").read_text())
    failed = [row["feature"] for row in found["features"] if row["status"] == "fail"]
    assert failed == ["logins_30d"]


def ten_weeks_later(home: Path, keep: str = "true") -> list[tuple]:
    """Add 70 days to a home without training, and return the drift of the newest date.

    `keep`: which events the new files keep, in SQL.
    """
    before = set((home / "raw/events").iterdir())
    churnhouse(home, "generate", "--days", "70", "--append")
    for file in sorted(set((home / "raw/events").iterdir()) - before):
        duckdb.sql(f"from '{file}' where {keep}").write_parquet(f"{file}.new")
        Path(f"{file}.new").rename(file)
    churnhouse(home, "ingest")
    churnhouse(home, "build", *UNTESTED)
    return rows(
        home,
        "select feature, psi, status, is_clock_like from feature_drift where as_of_date = "
        "(select max(as_of_date) from feature_drift) order by psi desc",
    )


def test_world_that_only_grows_older_is_not_red_in_week_10(home: Path):
    found = ten_weeks_later(home)
    assert {status for *_, status, is_clock_like in found if not is_clock_like} <= {"ok", "warn"}
    clock_like = {feature: (psi, status) for feature, psi, status, is_one in found if is_one}
    assert clock_like.keys() == CLOCK_LIKE
    # what kept it from turning red
    assert max(psi for psi, _ in clock_like.values()) > 0.25
    assert {status for _, status in clock_like.values()} <= {"ok", "watch"}
    version = rows(home, "select max(version) from ml.model_versions")[0][0]
    with connect(Settings(home=home), read_only=True) as connection:
        assert "drifted" not in (failure(connection, version) or "")
    churnhouse(home, "publish")
    assert churnhouse(home, "drift").returncode == 0
    gauges = {
        sample.name: sample.labels.get("feature")
        for family in PublishedGauges(published(home), None, {}, 0.0).collect()
        for sample in family.samples
        if sample.labels.get("feature") in CLOCK_LIKE
    }
    assert gauges.keys() == {"churnhouse_clock_like_drift_psi"}


def test_world_that_really_changes_is_red_in_week_10(home: Path):
    """Users watch only at weekends."""
    kept = "event_type <> 'video_watch' or dayofweek(try_cast(event_time as timestamp)) in (0, 6)"
    found = ten_weeks_later(home, kept)
    failed = {feature for feature, _, status, _ in found if status == "fail"}
    assert "watch_minutes_30d" in failed and not failed & CLOCK_LIKE


def test_clock_like_features_are_columns_of_the_features(finished_home: Path):
    columns = {row[0] for row in rows(finished_home, "describe user_features_daily")}
    assert columns >= CLOCK_LIKE
    listed = "select feature from feature_drift where is_clock_like"
    assert {row[0] for row in rows(finished_home, listed)} == CLOCK_LIKE


def test_drift_compares_the_eligible_with_what_the_model_was_trained_on(finished_home: Path):
    found = rows(
        finished_home,
        """
        select distinct
            current_rows,
            reference_rows,
            (select count(*) from user_features_latest where is_eligible),
            (select count(*) from training_set)
        from feature_drift
        """,
    )
    ((current, reference, eligible, trained_on),) = found
    everybody = rows(finished_home, "select count(*) from user_features_latest")[0][0]
    assert (current, reference) == (eligible, trained_on)
    assert eligible < everybody


def test_the_reference_of_a_version_is_frozen(home: Path):
    settings_ = Settings(home=home)
    reference = "from ml.training_reference order by all"
    with connect(settings_) as connection:
        before = connection.execute(reference).fetchall()
        version = connection.execute("select version from ml.model_versions").fetchone()[0]
        connection.execute("update sampled_features set logins_30d = logins_30d + 1")
        assert save_training_sample(connection, settings_, version) == len(before)
        assert connection.execute(reference).fetchall() == before


def test_outcomes_prints_expected_beside_realised(scored_earlier: Path):
    shown = churnhouse(scored_earlier, "outcomes").stdout
    assert "churners among the riskiest" in shown
    assert "expected  realised" in shown and "2025-03-31" in shown and "2025-04-30" in shown
