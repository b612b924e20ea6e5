"""Bad input gives one clear line with the next step and leaves the published version."""

import gzip
import shutil
from pathlib import Path

import pytest
import yaml
from support.homes import PROJECT, churnhouse, refused, rows


def test_empty_raw_folder_is_one_clear_line(home: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    line = refused(home, "run", "--raw", empty)
    assert str(empty) in line


def test_unknown_domain_suggests_a_close_name(home: Path):
    line = refused(home, "run", "--domain", "elearnig")
    assert "'elearnig'" in line and "'elearning'" in line


def test_domain_of_another_warehouse_is_refused(home: Path):
    line = refused(home, "run", "--domain", "online_retail", "--raw", home / "raw")
    assert "'elearning'" in line


def test_misspelt_key_in_domain_yml_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("CHURNHOUSE_DOMAINS", str(tmp_path / "domains"))
    own_domain = tmp_path / "domains/test_own"
    own_domain.mkdir(parents=True)
    content = yaml.safe_load((PROJECT / "domains/elearning/domain.yml").read_text())
    content["vars"]["churn_horizn_days"] = 14
    (own_domain / "domain.yml").write_text(yaml.safe_dump(content))
    line = refused(tmp_path / "data", "run", "--domain", "test_own", "--raw", tmp_path)
    assert str(own_domain) in line and "churn_horizn_days" in line and "churn_horizon_days" in line


def test_missing_required_column_is_named(home: Path):
    bad = home / "raw/events/2025-05-01.csv"
    bad.write_text("event_id,user_id,event_time\ne1,u0000001,2025-05-01 10:00:00\n")
    line = refused(home, "run", "--users", 300)
    assert "events/2025-05-01.csv" in line and "'event_type'" in line


def test_text_in_a_numeric_column_names_the_first_bad_row(home: Path):
    header = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"
    good = "e1,u0000001,2025-05-01 10:00:00,video_watch,c1,12.5,,\n"
    bad = "e2,u0000001,2025-05-01 11:00:00,video_watch,c1,a while,,\n"
    with gzip.open(home / "raw/events/2025-05-01.csv.gz", "wt") as file:
        file.write(header + good + bad + bad)
    line = refused(home, "run", "--users", 300)
    assert "events/2025-05-01.csv.gz" in line
    assert "'watch_minutes', row 2: 'a while'" in line


def test_too_short_a_history_reports_how_many_days_are_missing(tmp_path: Path):
    """The first date has seven days, and its label closes thirty days later."""
    line = refused(tmp_path / "data", "run", "--users", 50, "--days", 33)
    assert "close no label window; at least 4 days are missing" in line


def test_two_months_and_few_users_give_a_list_that_says_what_is_missing(tmp_path, monkeypatch):
    """The list is as long as the domain's top_k."""
    folder = tmp_path / "domains/elearning"
    shutil.copytree(PROJECT / "domains/elearning", folder)
    with (folder / "domain.yml").open("a", encoding="utf-8") as settings:
        settings.write("\n  top_k: 7\n")
    monkeypatch.setenv("CHURNHOUSE_DOMAINS", str(folder.parent))
    home = tmp_path / "data"
    done = churnhouse(home, "run", "--users", 40, "--days", 60)
    assert "RFM logistic (a simple rule, until a trained model ranks better)" in done.stdout
    assert "not judged yet: a test on a later date needs at least 16 more days" in done.stdout
    assert "it is not judged yet" in done.stdout
    (path,) = (home / "published/current").glob("churn_top_*.csv")
    assert path.name.startswith("churn_top_7_")
    assert len(path.read_text().splitlines()) == 1 + 7
    found = rows(
        home,
        "select performance.expected_precision_at_top_k, avg(churn_risk)"
        " from (from churn_predictions_latest where is_eligible order by risk_rank limit 7)"
        " cross join model_performance as performance group by all",
    )
    assert found[0][0] == pytest.approx(found[0][1])


def test_training_set_with_one_class_is_refused(tmp_path: Path):
    """Every user has events every day, so nobody churns."""
    raw = tmp_path / "raw"
    (raw / "users").mkdir(parents=True)
    (raw / "events").mkdir()
    users = ["user_id,signup_date,plan,country,marketing_source,updated_at"]
    users += [f"u{n},2025-01-01,free,DE,ads,2025-01-01 00:00:00" for n in range(20)]
    (raw / "users/all.csv").write_text("\n".join(users) + "\n")
    events = ["event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount"]
    events += [
        f"e{day}-{n},u{n},2025-{1 + day // 28:02}-{1 + day % 28:02} 10:00:00,login,,,,"
        for day in range(140)
        for n in range(20)
    ]
    (raw / "events/all.csv").write_text("\n".join(events) + "\n")
    line = refused(tmp_path / "data", "run", "--raw", raw)
    assert "class" in line or "churn" in line


def test_status_before_the_first_publication_names_the_next_step(tmp_path: Path):
    assert "churnhouse run" in refused(tmp_path / "data", "status")
