"""A home of release 0.1.0 (home-0.1.0.tar.xz, 56 users) goes on with this release."""

import tarfile
from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse, refused, rows
from support.processes import check_published

from api.store.publication import load
from python_jobs.registry import approvals
from python_jobs.settings import Settings

HOME = Path(__file__).with_name("home-0.1.0.tar.xz")


def unpacked(folder: Path) -> Path:
    with tarfile.open(HOME) as packed:
        packed.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> Path:
    return unpacked(tmp_path_factory.mktemp("old") / "data")


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory) -> tuple[Path, str]:
    home = unpacked(tmp_path_factory.mktemp("new") / "data")
    return home, churnhouse(home, "upgrade").stdout


def published(home: Path, query: str) -> list[tuple]:
    path = home / "published/current/churnhouse.duckdb"
    with duckdb.connect(str(path), read_only=True) as copy:
        return copy.execute(query).fetchall()


def test_upgrade_keeps_the_rows_and_the_risks_of_the_old_release(before, upgraded):
    home, said = upgraded
    assert "warehouse of release 0.1.0" in said
    raw = "select count(*), sum(hash(event_id)) from raw.events"
    assert rows(home, raw) == rows(before, raw)
    days = "select user_id, day, events from user_daily order by all"
    assert rows(home, days) == rows(before, days)
    risks = "select user_id, round(churn_risk, 6) from churn_predictions_latest order by all"
    assert published(home, risks) == published(before, risks)


def test_upgraded_home_is_published_in_the_form_of_this_release(upgraded):
    home, _ = upgraded
    manifest = check_published(home)
    assert manifest["sequence"] == 1
    folder = (home / "published/current").resolve()
    assert load(folder.parent, folder.name).has_call_list
    (held_out,) = home.glob("models/*/held_out.parquet")
    with duckdb.connect() as reader:
        columns = [name for name, *_ in reader.execute(f"describe from '{held_out}'").fetchall()]
    assert "person_hash" in columns and "user_hash" not in columns


def test_upgraded_home_goes_on_with_daily_and_loads_nothing_twice(upgraded):
    home, _ = upgraded
    count = rows(home, "select count(*) from raw.events")
    assert " in 0 new files (" in churnhouse(home, "daily").stdout
    assert rows(home, "select count(*) from raw.events") == count
    (release,) = rows(home, "select settings ->> 'product_version' from raw.domain")[0]
    assert release != "0.1.0"


def test_the_api_serves_what_the_old_release_published(before):
    folder = (before / "published/current").resolve()
    publication = load(folder.parent, folder.name)
    user_id = publication.store.execute("select min(user_id) from users").fetchone()[0]
    assert 0 <= publication.prediction(user_id)["churn_risk"] <= 1


def test_a_version_of_the_old_release_can_be_approved(upgraded):
    home, _ = upgraded
    (version,) = rows(home, "select version from ml.model_versions")[0]
    churnhouse(home, "approve", version, "--by", "Ada", "--note", "as before")
    assert approvals.approval(Settings(home=home), version)["by"] == "Ada"


@pytest.mark.parametrize(
    "command", [*("upgrade", "ingest", "daily", "build"), *("publish", "promote", "forget nobody")]
)
def test_a_warehouse_of_a_newer_release_is_left_alone(tmp_path, command):
    home = unpacked(tmp_path / "data")
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute(
            "update raw.domain set settings = replace(settings, '\"0.1.0\"', '\"99.10.0\"')"
        )
    line = refused(home, *command.split())
    assert "Release 99.10.0 filled this warehouse" in line


def test_upgrade_of_an_empty_home_says_what_to_run(tmp_path):
    assert "There is no warehouse at" in refused(tmp_path / "data", "upgrade")
