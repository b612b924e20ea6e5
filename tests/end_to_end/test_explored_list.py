"""explore_share: random places on the list, the same wherever it is read, and kept for later."""

import csv
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse, copied, rows

from python_jobs.ingest import domain as domains
from python_jobs.operations.forget import forget
from python_jobs.settings import PROJECT, Settings

SIZE, DRAWN = 20, 8
LIST = f"""  top_k: {SIZE}
  list: {{order: gain, explore_share: 0.4}}
  save_rate: 0.5
  holdout_share: 0.1
  measures:"""


@pytest.fixture(scope="module")
def exploring(finished_home: Path, tmp_path_factory) -> Path:
    """Return a home whose domain draws 8 of 20 places; the list was made twice."""
    folder = tmp_path_factory.mktemp("exploring")
    shutil.copytree(PROJECT / "domains/elearning", folder / "domains/elearning")
    file = folder / "domains/elearning/domain.yml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("  measures:", LIST, 1), encoding="utf-8")
    home = copied(finished_home, folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHURNHOUSE_DOMAINS", str(folder / "domains"))
        churnhouse(home, "daily")
        before = listed(home)
        churnhouse(home, "build", "--select", "list_places+1", "--exclude-resource-type", "test")
        assert listed(home) == before
        yield home


def listed(home: Path) -> list[tuple]:
    query = "select user_id, is_explored, list_probability, list_rank from churn_top_risk"
    return rows(home, f"{query} order by list_rank")


def called(home: Path, day: str) -> set[str]:
    found = duckdb.execute(f"select user_id from '{home}/raw/treatments/{day}.parquet'")
    return {user_id for (user_id,) in found.fetchall()}


def test_places_are_drawn_among_all_who_may_be_contacted(exploring):
    found = listed(exploring)
    assert len(found) == SIZE
    free = rows(exploring, "select count(*) from contact_candidates where left_out_because is null")
    chance = DRAWN / (free[0][0] - (SIZE - DRAWN))
    assert 0 < chance < 0.2
    assert {(explored, p) for _, explored, p, _ in found} == {(False, 1.0), (True, chance)}
    assert sum(explored for _, explored, *_ in found) == DRAWN
    # those drawn are not the best of the others
    gains = "select {}(expected_gain) from churn_top_risk where {} is_explored"
    assert (
        rows(exploring, gains.format("max", ""))[0] < rows(exploring, gains.format("min", "not"))[0]
    )
    best = f"select user_id from list_places where not is_listed and place <= {SIZE}"
    assert rows(exploring, best)


def test_list_is_the_same_wherever_it_is_read(exploring):
    current = (exploring / "published/current").resolve()
    expected = [user for user, *_ in listed(exploring)]
    for path in current.glob("churn_top_*"):
        query = f"select user_id, is_explored, list_probability, list_rank from '{path}'"
        assert duckdb.execute(query).fetchall() == listed(exploring), path
    with closing(sqlite3.connect(current / "lookup.sqlite")) as store:
        query = "select user_id from churn_top_risk order by list_rank"
        assert [row[0] for row in store.execute(query)] == expected
    text = churnhouse(exploring, "list", "--csv").stdout
    found = list(csv.DictReader(text.splitlines()))
    assert [row["user_id"] for row in found] == expected
    assert sum(row["is_explored"] == "true" for row in found) == DRAWN
    # a list of one's own draws nobody
    text = churnhouse(exploring, "list", "--csv", "--top", 5, "--order", "loss").stdout
    assert {row["is_explored"] for row in csv.DictReader(text.splitlines())} == {""}
    changes = duckdb.execute(f"from '{current}/activation/list_changes.parquet'")
    assert {"is_explored", "list_probability"} <= {column[0] for column in changes.description}


def test_history_keeps_the_chances_of_who_was_called(exploring, tmp_path):
    """After a week in which the team works off the list; then one of them is forgotten."""
    home = copied(exploring, tmp_path / "data")
    chances = {user: p for user, _, p, _ in listed(home)}
    kept = "select user_id, list_probability from ml.list_history where {} order by all"
    holdout = rows(home, kept.format("in_holdout"))
    # beside the list of the day's first publication, in another order
    assert chances.items() <= dict(rows(home, kept.format("is_listed"))).items()
    assert {p for _, p in holdout} == {1.0, *chances.values()}
    churnhouse(home, "generate", "--append", "--days", 7, "--campaigns", "--from-list")
    assert called(home, "2025-05-05") == set(chances)
    # made again for the same day, the list has others, and the history those of both
    churnhouse(home, "ingest")
    churnhouse(
        home, "build", "--select", "list_history+", "contacts+", "--exclude-resource-type", "test"
    )
    assert not chances.keys() & {user for user, *_ in listed(home)}
    assert chances.items() <= dict(rows(home, kept.format("is_listed"))).items()
    forgotten = min(chances)
    domain = domains.load("elearning", Settings(home=home))
    forget(Settings(home=home), domain, [forgotten], by="ann", now=datetime.now(UTC))
    left = dict(rows(home, kept.format("true")))
    assert forgotten not in left and chances.keys() - {forgotten} <= left.keys()


def test_holdout_and_who_waits_are_never_drawn(exploring):
    query = """
        select list(distinct coalesce(left_out_because, 'nothing'))
        from list_places inner join contact_candidates using (user_id)
        where is_listed
    """
    assert rows(exploring, query) == [(["nothing"],)]
    query = "select count(*) from churn_top_risk where in_holdout or not is_eligible"
    assert rows(exploring, query) == [(0,)]
