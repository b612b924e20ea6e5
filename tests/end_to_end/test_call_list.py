"""Contacts: who was just contacted, or is in the holdout, is on no list."""

import csv
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse, copied, rows

AS_OF = date(2025, 4, 30)
PAUSE = 30


def contact(home: Path, contacts: dict[str, date], name: str = "calls.csv") -> None:
    """Deliver a file of contacts."""
    path = home / "raw/treatments" / name
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "treated_at", "campaign", "channel", "outcome", "note", "by"])
        for user_id, day in contacts.items():
            writer.writerow([user_id, f"{day} 10:00:00", "spring", "phone", "reached", "", "Ana"])


@pytest.fixture(scope="module")
def contacted(finished_home: Path, tmp_path_factory) -> tuple[Path, dict[str, date]]:
    """Return a home whose forty riskiest were contacted, the n-th 40 - n days before as_of_date."""
    home = copied(finished_home, tmp_path_factory.mktemp("contacted") / "data")
    listed = rows(home, "select user_id from churn_top_risk order by list_rank limit 40")
    contacts = {
        user_id: AS_OF - timedelta(days=39 - number) for number, (user_id,) in enumerate(listed)
    }
    contact(home, contacts)
    churnhouse(home, "daily")
    return home, contacts


def lists(home: Path) -> dict[str, list[str]]:
    """Return the users of everything that says whom to contact, by its name."""
    current = (home / "published/current").resolve()
    found = {
        path.suffix: [row[0] for row in duckdb.sql(f"select user_id from '{path}'").fetchall()]
        for path in current.glob("churn_top_*")
    }
    with closing(sqlite3.connect(current / "lookup.sqlite")) as store:
        query = "select user_id from call_list join users using (risk_rank) order by list_rank"
        found["desk"] = [row[0] for row in store.execute(query)]
    text = churnhouse(home, "list", "--order", "risk", "--top", 300, "--csv").stdout
    found["list"] = [row["user_id"] for row in csv.DictReader(text.splitlines())]
    return found


def test_who_was_contacted_in_the_pause_is_on_no_list(contacted):
    home, contacts = contacted
    paused = {u for u, day in contacts.items() if day > AS_OF - timedelta(days=PAUSE)}
    assert len(paused) == 30
    holdout = {row[0] for row in rows(home, "from churn_predictions_latest where in_holdout")}
    found = lists(home)
    assert found.keys() == {".csv", ".parquet", "desk", "list"}
    for name, users in found.items():
        assert not paused & set(users), name
        assert not holdout & set(users), name
        assert set(contacts) - paused < set(users), name
    assert found[".csv"] == found[".parquet"] == found["desk"] == found["list"][:50]


def test_contacts_are_kept_with_how_they_went(contacted):
    home, contacts = contacted
    kept = rows(
        home,
        "select user_id, treated_on, campaign, channel, outcome, contacted_by"
        " from stg_raw__treatments order by user_id",
    )
    assert kept == [(u, contacts[u], "spring", "phone", "reached", "Ana") for u in sorted(contacts)]


def test_contact_that_cannot_count_is_named(home: Path):
    path = home / "raw/treatments/bad.csv"
    path.parent.mkdir(exist_ok=True)
    head = "user_id,treated_at,campaign,channel,outcome,note,by\n"
    path.write_text(f"{head}u0000001,next week,spring,,,,\n,2025-04-01 10:00:00,spring,,,,\n")
    churnhouse(home, "ingest")
    churnhouse(home, "build", "--select", "rejected_treatments")
    found = rows(
        home, "select reject_reason, treated_at_unread from rejected_treatments order by all"
    )
    assert found == [("missing_user_id", None), ("unreadable_treated_at", "next week")]
