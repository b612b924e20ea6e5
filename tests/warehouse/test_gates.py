"""Each gate stops the run before publication and says what it found."""

import json
import re
import shutil
from pathlib import Path

import duckdb
import pytest
from support import parsed
from support.homes import churnhouse, dbt, refused, rows
from support.tiny import Tiny, day

from python_jobs.errors import JobError
from python_jobs.settings import Settings
from python_jobs.warehouse.dbt import Dbt

HEADER = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"


def land(home: Path, lines: list[str]) -> None:
    (home / "raw/events/more.csv").write_text(HEADER + "\n".join(lines) + "\n")


def test_too_many_rejected_rows_in_a_load_keep_the_last_version(home: Path):
    """Also where somebody goes on by hand after the build has failed."""
    good = [f"g{n},u0000001,2025-04-30 10:00:{n:02},login,,,," for n in range(8)]
    bad = [f"b{n},u0000001,2025-04-30 11:00:{n:02},dance,,,," for n in range(2)]
    land(home, good + bad)
    line = refused(home, "daily")
    assert "failed (of the newest load): found 0.2: unknown_event_type 2 (dance), allowed" in line
    churnhouse(home, "score")
    assert "rejected_share" in refused(home, "publish")


def test_misplaced_values_are_checked_in_the_days_written(home: Path):
    """Among all events ever loaded, those of one day would hardly show."""
    logins = [f"w{n},u0000001,2025-04-30 10:00:{n:02},login,,,,5" for n in range(60)]
    land(home, [login.removesuffix("5") for login in logins[:20]])
    change(home, "update int_events_validated set amount = 5 where event_date < date '2025-03-01'")
    churnhouse(home, "ingest")
    churnhouse(home, "build", "--select", "+build_log", "--exclude-resource-type", "test")
    land_more = home / "raw/events/elsewhere.csv"
    land_more.write_text(HEADER + "\n".join(logins[20:]) + "\n")
    churnhouse(home, "ingest")
    line = refused(home, "build", "--select", "+values_elsewhere")
    assert "Gate values_elsewhere failed (amount)" in line


def change(home: Path, statement: str) -> None:
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("gate", "statement"),
    [
        # simulated defects: a lost row, a row counted twice, a look into the future
        ("user_daily_reconciles", "update user_daily set events = events + 1 where events = 3"),
        (
            "user_daily_reconciles",
            "update user_daily set watch_minutes_total = watch_minutes_total + 0.0001",
        ),
        ("every_user_has_every_day", "delete from user_daily where user_id = 'u0000007'"),
        (
            "accepted_ids_are_unique",
            "update int_events_validated set reject_reason = null "
            "where reject_reason = 'repeated_event'",
        ),
        ("unique_grain_user_daily", "insert into user_daily from user_daily limit 1"),
        (
            "unique_grain_sampled_features",
            "insert into sampled_features from sampled_features limit 1",
        ),
        ("unique_grain_user_daily", "update user_daily set day = null where user_id = 'u0000007'"),
        (
            "unique_grain_int_events_validated",
            "insert into int_events_validated from int_events_validated",
        ),
        ("label_windows_are_closed", "update churn_labels set as_of_date = as_of_date + 1"),
        (
            "received_rows_are_all_judged",
            "delete from int_events_validated where reject_reason = 'unknown_user'",
        ),
        (
            "accepted_events_keep_the_checks",
            "update int_events_validated set quiz_score = 101 where quiz_score > 90",
        ),
        (
            "accepted_users_keep_the_checks",
            "update int_users set plan = 'gold' where user_id = 'u0000007'",
        ),
        (
            "values_elsewhere",
            "update int_events_validated set amount = 5 where event_type = 'login'",
        ),
        (
            "expected_days",
            "update int_events_validated set touches_date = date '2025-04-28' "
            "where touches_date = date '2025-04-27'",
        ),
        (
            "day_volume",
            "update int_events_validated set touches_date = date '2025-04-28' "
            "where touches_date = date '2025-04-27' and row_id % 20 > 0",
        ),
    ],
)
def test_a_gate_fails_when_what_it_guards_is_broken(home: Path, gate: str, statement: str):
    change(home, statement)
    line = refused(home, "build", "--full-refresh", "--select", f"{gate}*")
    assert f"Gate {gate}" in line
    if not gate.startswith("unique_grain"):
        assert re.search(r" failed( \(.+\))?: found .+, allowed .+\. Next: look at the rows", line)


@pytest.mark.parametrize(
    ("table", "damage", "broken"),
    [
        # the last of several, one that becomes NULL, and two columns that must agree
        (
            "user_daily",
            "last_active_on = day + 1",
            "last_active_on <= day or last_active_on is null",
        ),
        (
            "sampled_features",
            "tenure_days = null",
            "days_since_last_activity between 0 and tenure_days",
        ),
        (
            "int_events_validated",
            "touches_date = event_date - 1",
            "reject_reason is not null or touches_date = event_date",
        ),
    ],
)
def test_failing_row_names_the_expression_that_is_false(
    home: Path, table: str, damage: str, broken: str
):
    change(home, f"update {table} set {damage}")
    line = refused(home, "build", "--full-refresh", "--select", f"expression_is_true_{table}")
    assert f"Gate expression_is_true_{table} failed: " in line
    assert f"the first is {broken}, " in line


def test_verdicts_cannot_be_built_without_the_rows_to_judge(home: Path):
    """In a full refresh, that table would hold only the rows of the previous build."""
    select = ("--exclude-resource-type", "test", "--select", "int_events_validated+")
    line = refused(home, "build", "--full-refresh", *select)
    assert "int_events_validated is built together with int_events_to_validate" in line
    assert line.count("Next: ") == 1 and line.endswith(
        "Next: select +int_events_validated, or both."
    )
    assert rows(home, "select count(*) > 1000 from int_events_validated") == [(True,)]


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> Path:
    """Return a home whose second build wrote its tables but is not marked finished."""
    tiny = Tiny(tmp_path_factory.mktemp("grown"))
    events = [(f"e{n}", "ann", f"{day(n)} 12:00:00", "visit", 5) for n in range(21)]
    tiny.load([("ann", day(0), "a", None)], events[:12])
    tiny.build()
    tiny.load([], events[12:])
    tiny.build()
    sampled = ("evaluation_set", "training_set")
    tiny.build("--select", *sampled, "--exclude-resource-type", "test")
    change(tiny.settings.home, "delete from build_log where build_number = 2")
    return tiny.settings.home


@pytest.mark.parametrize(
    ("gate", "damage", "new", "old"),
    [
        (
            "user_daily_reconciles",
            "update user_daily set visits = visits + 1 where day = date '{}'",
            day(17),
            day(11),
        ),
        (
            "unique_grain_stg_raw__events_row_id",
            "insert into raw.events from raw.events where event_id = '{}'",
            "e12",
            "e11",
        ),
        (
            "unique_grain_int_events_validated_row_id",
            "insert into int_events_validated from int_events_validated where event_id = '{}'",
            "e12",
            "e11",
        ),
        (
            "unique_grain_user_daily",
            "insert into user_daily from user_daily where day = date '{}'",
            day(12),
            day(11),
        ),
        (
            "unique_grain_sampled_features",
            "insert into sampled_features from sampled_features where as_of_date = date '{}'",
            day(14),  # every third day is sampled
            day(8),
        ),
        (
            "unique_grain_churn_labels",  # goes back by the horizon from the first new day
            "insert into churn_labels from churn_labels where as_of_date = date '{}'",
            day(9),
            day(8),
        ),
        *(
            (
                f"unique_grain_{sampled}",
                "insert into churn_labels from churn_labels where as_of_date = date '{}'",
                day(14),
                day(8),
            )
            for sampled in ("evaluation_set", "training_set")
        ),
        (
            "accepted_ids_are_unique",  # the repeated id may be in new or old rows
            "update int_events_validated as e set event_id = other.event_id, "
            "event_key = other.event_key from (from int_events_validated where event_id = 'e0') "
            "as other where e.event_id = '{}'",
            "e12",
            "e11",
        ),
        (
            "accepted_events_keep_the_checks",
            "update int_events_validated set minutes = -1 where event_id = '{}'",
            "e12",
            "e11",
        ),
        (
            "unique_grain_rejected_events",
            "insert into int_events_validated select e.* replace ('bad' as reject_reason) "
            "from int_events_validated as e cross join range(2) where e.event_id = '{}'",
            "e12",
            "e11",
        ),
        (
            "relationships_accepted_events_user_id",
            "update int_events_validated set user_id = 'gone' where event_id = '{}'",
            "e12",
            "e11",
        ),
    ],
)
def test_build_tests_only_rows_it_wrote_and_full_refresh_tests_all(
    grown: Path, tmp_path: Path, gate: str, damage: str, new: object, old: object
):
    def gate_holds(damaged: object, *options: str) -> bool:
        home = tmp_path / "-".join(map(str, (damaged, *options)))
        shutil.copytree(grown, home)
        change(home, damage.format(damaged))
        try:
            Tiny(home).build("--select", f"{gate}*", *options)
        except JobError as error:
            assert f"Gate {gate}" in str(error)
            return False
        return True

    assert not gate_holds(new)
    assert gate_holds(old)
    assert not gate_holds(old, "--full-refresh")
    with pytest.raises(JobError, match=f"Gate {gate}"), parsed.once():
        Dbt(Settings(home=tmp_path / str(old))).test(["--select", f"{gate}*"])


def test_build_after_a_failed_gate_tests_everything(grown: Path, tmp_path: Path):
    """Otherwise the next day's build would pass after a full refresh with a failed gate."""
    home = tmp_path / "data"
    shutil.copytree(grown, home)
    change(home, f"insert into churn_labels from churn_labels where as_of_date = date '{day(3)}'")
    gate = ("--select", "unique_grain_churn_labels*")
    for options in (("--full-refresh",), (), ()):
        with pytest.raises(JobError, match="Gate unique_grain_churn_labels"):
            Tiny(home).build(*gate, *options)
    change(home, "create or replace table churn_labels as select distinct * from churn_labels")
    Tiny(home).build(*gate)


def test_failure_of_a_removed_gate_is_ignored(grown: Path, tmp_path: Path):
    """It can never pass again, so every later build would test everything."""
    home = tmp_path / "data"
    shutil.copytree(grown, home)
    failed = "* replace ('removed_gate' as node, 'fail' as status, 'test' as resource_type)"
    change(home, f"insert into ml.dbt_run_results select {failed} from ml.dbt_run_results limit 1")
    change(home, f"insert into churn_labels from churn_labels where as_of_date = date '{day(3)}'")
    Tiny(home).build("--select", "unique_grain_churn_labels*")


def test_a_clock_that_was_ahead_hides_no_failed_gate(home: Path):
    gate = ("build", "--full-refresh", "--select", "unique_grain_churn_labels*")
    change(home, "update ml.dbt_run_results set started_at = started_at + interval 10 year")
    change(home, "insert into churn_labels from churn_labels limit 1")
    assert "Gate unique_grain_churn_labels" in refused(home, *gate)
    assert "unique_grain_churn_labels" in refused(home, "publish")
    change(home, "create or replace table churn_labels as select distinct * from churn_labels")
    churnhouse(home, *gate)
    churnhouse(home, "publish")


@pytest.mark.parametrize(
    ("earlier", "named"),
    [
        ("alter table int_events_validated drop column event_key", "event_key"),
        # otherwise earlier ids would not be found and would count twice
        ("update int_events_validated set event_key = event_key + 1", "numbers of event ids"),
    ],
)
def test_tables_of_an_earlier_release_ask_for_a_full_refresh(tiny: Tiny, earlier: str, named: str):
    tiny.load([("ann", day(0), "a", None)], [("e0", "ann", f"{day(0)} 12:00:00", "visit", 5)])
    tiny.build()
    change(tiny.settings.home, earlier)
    with pytest.raises(JobError, match=f"{named}.* Next: run `churnhouse build --full-refresh`"):
        tiny.build()
    tiny.refresh()


def test_plain_dbt_test_tests_everything(home: Path):
    """After a finished build there are no new rows; `dbt test` still tests all."""
    change(home, "update build_window set rewrite_from = data_through")
    change(home, "insert into churn_labels from churn_labels limit 1")
    churnhouse(home, "build", "--select", "unique_grain_churn_labels*")
    assert "fail" in dbt(home, "test", "--select", "unique_grain_churn_labels*").values()


def test_raw_data_that_stopped_arriving_is_noticed(home: Path):
    assert dbt(home, "source", "freshness")["events"] == "pass"
    change(home, "update raw.events set ingested_at = ingested_at - interval 55 hour")
    change(home, "update raw.files set ingested_at = ingested_at - interval 31 hour")
    change(home, "update ml.churn_predictions set scored_at = scored_at - interval 31 hour")
    found = dbt(home, "source", "freshness")
    assert (found["events"], found["files"]) == ("error", "warn")
    assert found["churn_predictions"] == "warn"
    kept = rows(
        home,
        "select node, status from (from ml.dbt_run_results where resource_type = 'source' "
        "order by rowid desc limit 3) order by node",
    )
    assert kept == [("churn_predictions", "warn"), ("events", "error"), ("files", "warn")]
    churnhouse(home, "publish")  # tables of an earlier release are valid: rollback still works


def test_the_results_of_each_build_are_kept_for_analysts(finished_home: Path):
    said = json.loads((finished_home / "published/current/manifest.json").read_text())
    copy = finished_home / "published" / said["version"] / "churnhouse.duckdb"
    with duckdb.connect(str(copy), read_only=True) as connection:
        found = connection.execute(
            """
            select resource_type, count(*) > 0, bool_and(status in ('success', 'pass')),
                min(seconds) >= 0
            from dbt_run_results where resource_type in ('model', 'test') group by 1 order by 1
            """
        ).fetchall()
    assert found == [("model", True, True, True), ("test", True, True, True)]
