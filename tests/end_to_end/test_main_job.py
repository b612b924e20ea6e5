"""The main job as a user runs it: its results, and that a rerun changes nothing."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from support.homes import PROJECT, churnhouse, rows

ONLINE_RETAIL = Path(
    os.environ.get("CHURNHOUSE_ONLINE_RETAIL", PROJECT.parent / "shared/data/online_retail")
)
PUBLISHED_TABLES = (
    "churn_predictions",
    "churn_predictions_latest",
    "churn_top_risk",
    "user_features_latest",
    "user_daily",
    "model_versions",
)


def manifest(home: Path) -> dict:
    return json.loads((home / "published/current/manifest.json").read_text())


def test_features_that_only_grow_are_judged_apart(finished_home: Path):
    query = "select distinct feature from feature_drift where is_clock_like order by feature"
    assert [feature for (feature,) in rows(finished_home, query)] == [
        *("active_days_ever", "events_ever", "observed_days_30d", "silence_share", "tenure_days"),
    ]
    query = "select 1 from feature_drift where is_clock_like and status not in ('ok', 'watch')"
    assert rows(finished_home, query) == []


def test_published_files_match_the_manifest(finished_home: Path):
    current = finished_home / "published/current"
    said = manifest(finished_home)
    assert {
        path.relative_to(current).as_posix() for path in current.rglob("*.*") if path.is_file()
    } == {*said["files"], "manifest.json"}
    for name, facts in said["files"].items():
        content = (current / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == facts["sha256"], name
        assert len(content) == facts["bytes"], name
    assert {
        "churnhouse.duckdb",
        "lookup.sqlite",
        "model.onnx",
        "churn_predictions_2025-04-30.csv",
        "churn_predictions_2025-04-30.parquet",
        "churn_top_50_2025-04-30.csv",
        "churn_top_50_2025-04-30.parquet",
    } <= set(said["files"])


def test_current_is_a_link_to_the_version_it_names(finished_home: Path):
    current = finished_home / "published/current"
    assert current.is_symlink()
    assert str(current.readlink()) == manifest(finished_home)["version"]


def test_everybody_is_scored_once_in_every_published_form(finished_home: Path):
    current = finished_home / "published/current"
    users = rows(finished_home, "select count(*) from accepted_users")[0][0]
    with duckdb.connect(str(current / "churnhouse.duckdb"), read_only=True) as copy:
        tables = {row[0] for row in copy.execute("show tables").fetchall()}
        assert set(PUBLISHED_TABLES) <= tables
        latest = dict(
            copy.execute("select user_id, churn_risk from churn_predictions_latest").fetchall()
        )
        exported = dict(
            copy.execute(
                f"select user_id, churn_risk from '{current}/churn_predictions_2025-04-30.parquet'"
            ).fetchall()
        )
    with sqlite3.connect(f"file:{current}/lookup.sqlite?mode=ro", uri=True) as store:
        looked_up = dict(store.execute("select user_id, churn_risk from users").fetchall())
    assert len(latest) == users
    assert latest == exported == looked_up


def test_ranks_and_deciles_follow_the_risk(finished_home: Path):
    wrong = rows(
        finished_home,
        """
        select user_id
        from (
            select
                *,
                row_number() over (order by churn_risk desc, user_id) as expected_rank,
                ntile(10) over (order by churn_risk desc, user_id) as expected_decile
            from churn_predictions_latest
        )
        where risk_rank <> expected_rank or risk_decile <> expected_decile
        """,
    )
    assert wrong == []


def test_top_risk_holds_the_fifty_riskiest_contactable_users(finished_home: Path):
    """Contactable means eligible and outside the holdout; checks table, exports and summary."""
    expected = rows(
        finished_home,
        """
        select user_id from churn_predictions_latest
        where is_eligible and not in_holdout order by churn_risk desc, user_id limit 50
        """,
    )
    left_out = "select count(*) from churn_predictions_latest where is_eligible and in_holdout"
    assert rows(finished_home, left_out)[0][0] > 0 and len(expected) == 50
    assert rows(finished_home, "select user_id from churn_top_risk order by risk_rank") == expected
    current = finished_home / "published" / "current"
    for path in (*current.glob("churn_top_50_*.csv"), *current.glob("churn_top_50_*.parquet")):
        assert duckdb.sql(f"select user_id from '{path}' order by risk_rank").fetchall() == expected
    riskiest = [(user["user_id"],) for user in manifest(finished_home)["riskiest"]]
    assert riskiest == expected[:5]


def test_every_event_is_rejected_or_counted_on_one_day(finished_home: Path):
    read, accepted, rejected, set_aside, counted = rows(
        finished_home,
        """
        select
            (select sum(row_count) from raw.files where table_name = 'events'),
            (select count(*) from accepted_events),
            (select count(*) from rejected_events),
            (select count(*) from set_aside_events),
            (select sum(events) from user_daily)
        """,
    )[0]
    assert read == accepted + rejected + set_aside and set_aside
    assert accepted == counted


def test_user_daily_has_every_day_from_signup_to_the_last(finished_home: Path):
    missing = rows(
        finished_home,
        """
        select users.user_id, count(daily.day)
        from accepted_users as users
        cross join build_window as span
        left join user_daily as daily on users.user_id = daily.user_id
        group by users.user_id, users.signup_date, span.data_from, span.data_through
        having
            count(distinct daily.day)
            <> date_diff('day', greatest(users.signup_date, span.data_from), span.data_through) + 1
        """,
    )
    assert missing == []


def test_second_run_changes_no_published_number(home: Path):
    before = manifest(home)
    numbers = (home / "published/current/churn_predictions_2025-04-30.csv").read_text()
    churnhouse(home, "run", "--time-budget", 0)
    after = manifest(home)
    assert after["version"] != before["version"]

    def without_stamps(text: str) -> list[list[str]]:
        return [line.split(",")[:7] for line in text.splitlines()]

    again = (home / "published/current/churn_predictions_2025-04-30.csv").read_text()
    assert without_stamps(again) == without_stamps(numbers)
    stamps = {
        "version",
        "sequence",
        "published_at",
        "model_version",
        "model",
        "files",
        "code_commit",
    }
    assert {k: v for k, v in after.items() if k not in stamps} == {
        k: v for k, v in before.items() if k not in stamps
    }


def test_run_ends_with_a_table_of_at_most_eighty_columns(home: Path):
    shown = churnhouse(home, "status").stdout
    said = manifest(home)
    assert max(map(len, shown.splitlines())) <= 80
    for part in ("users", "rejected", "user-days", "base rate", "ROC AUC", "riskiest", "published"):
        assert part in shown
    assert f"{said['events']:,} accepted" in shown
    for reason, count in said["rejected"].items():
        assert f"{count:,}  {reason}" in shown
    for user in said["riskiest"]:
        assert user["user_id"] in shown


def plain_dbt(command: str, home: Path) -> str:
    """Run dbt from the root without arguments, which must succeed; give what it prints."""
    done = subprocess.run(
        [Path(sys.executable).with_name("dbt"), command],
        env=os.environ | {"CHURNHOUSE_HOME": str(home), "DBT_TARGET_PATH": str(home / "t")},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]  # its end says what failed
    return done.stdout


def test_plain_dbt_build_works_before_any_model_exists(tmp_path: Path):
    """Unit tests included: `dbt build` runs them all."""
    home = tmp_path / "data"
    churnhouse(home, "generate", "--users", 50, "--days", 5)
    churnhouse(home, "ingest")
    assert "unit test" in plain_dbt("build", home)
    assert rows(home, "select count(*) from churn_predictions_latest") == [(0,)]


def test_plain_dbt_test_works_on_a_finished_home(home: Path):
    assert "unit test" in plain_dbt("test", home)


def test_a_day_appended_later_is_built_on_and_scored(home: Path):
    churnhouse(home, "generate", "--days", 1, "--append")
    churnhouse(home, "ingest")
    churnhouse(home, "build")
    churnhouse(home, "score")
    churnhouse(home, "publish")
    assert manifest(home)["as_of_date"] == "2025-05-01"
    scored = rows(home, "select distinct as_of_date from churn_predictions order by 1")
    assert [str(day) for (day,) in scored] == ["2025-04-30", "2025-05-01"]


def test_scoring_a_day_again_replaces_it(home: Path):
    churnhouse(home, "score")
    twice = "select count(*) - count(distinct user_id) from ml.churn_predictions"
    assert rows(home, twice) == [(0,)]


@pytest.mark.skipif(
    not ONLINE_RETAIL.exists(),
    reason="needs the Online Retail file: set CHURNHOUSE_ONLINE_RETAIL to its folder",
)
def test_online_retail_reconciles_and_beats_the_recency_rule(tmp_path: Path):
    home = tmp_path / "data"
    raw = ("--raw", ONLINE_RETAIL)
    churnhouse(home, "run", "--domain", "online_retail", *raw, "--time-budget", 0)
    counted = rows(
        home,
        """
        select
            (select sum(row_count) from raw.files),
            (select count(*) from accepted_events)
            + (select count(*) from rejected_events)
            + (select count(*) from set_aside_events),
            (select count(*) from accepted_events),
            (select sum(events) from user_daily)
        """,
    )[0]
    assert counted == (541_909, 541_909, 401_564, 401_564)
    reasons = "select reject_reason, count(*) from {} group by all"
    assert dict(rows(home, reasons.format("rejected_events"))) == {
        "missing_user_id": 135_080,
        "price_not_positive": 40,
    }
    assert rows(home, reasons.format("set_aside_events")) == [("repeated_event", 5_225)]
    metrics = {
        (model, metric): value
        for model, metric, value in rows(
            home,
            """
            select model, metric, value from ml.fold_metrics
            where fold = 'pooled' and population = 'eligible'
            """,
        )
    }
    chosen = manifest(home)["model"]["estimator"]
    for metric in ("average_precision", "roc_auc"):
        assert metrics[chosen, metric] > metrics["recency", metric]
