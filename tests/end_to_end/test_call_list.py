"""Contacts: who was just contacted, or is in the holdout, is on no list."""

import csv
import json
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse, copied, rows

from python_jobs import terminal
from python_jobs.publication import contacts
from python_jobs.publishing import call_list
from python_jobs.publishing.call_list import CallList
from python_jobs.settings import Settings

AS_OF = date(2025, 4, 30)
PAUSE = 30


def contact(home: Path, called: dict[str, date], name: str = "calls.csv") -> None:
    """Deliver a file of contacts."""
    path = home / "raw/treatments" / name
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "treated_at", "campaign", "channel", "outcome", "note", "by"])
        for user_id, day in called.items():
            writer.writerow([user_id, f"{day} 10:00:00", "spring", "phone", "reached", "", "Ana"])


def snooze(home: Path, user_id: str, until: date) -> None:
    """Keep a snooze as the API does."""
    folder = home / "contacts"
    folder.mkdir(exist_ok=True)
    kept = dict.fromkeys(contacts.FIELDS) | {"contact_key": f"/{user_id}", "user_id": user_id}
    kept |= {"action": "snoozed", "treated_at": "2025-04-20T10:00:00.000"}
    assert contacts.keep(folder, kept | {"snoozed_until": until.isoformat()}) is None


@pytest.fixture(scope="module")
def contacted(finished_home: Path, tmp_path_factory) -> tuple[Path, dict, dict]:
    """Return a home whose forty riskiest were contacted, the n-th 40 - n days before as_of_date.

    The next twenty are snoozed through the API, the n-th until 10 - n days before as_of_date.
    """
    home = copied(finished_home, tmp_path_factory.mktemp("contacted") / "data")
    query = "select user_id from contact_candidates join churn_predictions_latest using (user_id)"
    query += " where left_out_because is null order by risk_rank limit 60"
    candidates = [user_id for (user_id,) in rows(home, query)]
    called = {u: AS_OF - timedelta(days=39 - n) for n, u in enumerate(candidates[:40])}
    contact(home, called)
    snoozed = {u: AS_OF + timedelta(days=n - 10) for n, u in enumerate(candidates[40:])}
    for user_id, until in snoozed.items():
        snooze(home, user_id, until)
    churnhouse(home, "daily")
    return home, called, snoozed


def lists(home: Path) -> dict[str, list[str]]:
    """Return the users of everything that says whom to contact, by its name."""
    current = (home / "published/current").resolve()
    found = {
        path.suffix: [row[0] for row in duckdb.sql(f"select user_id from '{path}'").fetchall()]
        for path in current.glob("churn_top_*")
    }
    with closing(sqlite3.connect(current / "lookup.sqlite")) as store:
        query = "select user_id from churn_top_risk order by list_rank"
        found["desk"] = [row[0] for row in store.execute(query)]
    text = churnhouse(home, "list", "--order", "risk", "--top", 300, "--csv").stdout
    found["list"] = [row["user_id"] for row in csv.DictReader(text.splitlines())]
    return found


def test_who_was_contacted_in_the_pause_is_on_no_list(contacted):
    home, called, snoozed = contacted
    paused = {u for u, day in called.items() if day > AS_OF - timedelta(days=PAUSE)}
    paused |= {u for u, until in snoozed.items() if until > AS_OF + timedelta(days=1)}
    assert len(paused) == 30 + 8
    holdout = {row[0] for row in rows(home, "from churn_predictions_latest where in_holdout")}
    found = lists(home)
    assert found.keys() == {".csv", ".parquet", "desk", "list"}
    for name, users in found.items():
        assert not paused & set(users), name
        assert not holdout & set(users), name
        assert {*called, *snoozed} - paused < set(users), name
    assert found[".csv"] == found[".parquet"] == found["desk"] == found["list"][:50]


def test_contacts_are_kept_with_how_they_went(contacted):
    home, called, _ = contacted
    kept = rows(
        home,
        "select user_id, treated_on, campaign, channel, outcome, contacted_by"
        " from contacts where action = 'contacted' order by user_id",
    )
    assert kept == [(u, called[u], "spring", "phone", "reached", "Ana") for u in sorted(called)]


def chosen(home: Path, *options: object) -> list[dict[str, str]]:
    """Return the rows of `churnhouse list --csv`."""
    return list(csv.DictReader(churnhouse(home, "list", "--csv", *options).stdout.splitlines()))


def test_list_gains_most_within_budget_and_condition(contacted):
    home = contacted[0]
    best = rows(
        home,
        "select user_id from contact_candidates join churn_predictions_latest using (user_id)"
        " join user_features_latest using (user_id)"
        " where left_out_because is null and plan = 'premium'"
        " order by expected_gain desc, risk_rank",
    )
    found = chosen(home, "--budget", 14, "--where", "plan=premium")
    gains = [float(row["expected_gain"]) for row in found]
    assert [(row["user_id"],) for row in found] == best[: len(found)]
    assert len(found) <= 2 and all(gain > 0 for gain in gains)
    by_loss = chosen(home, "--order", "loss", "--top", 5, "--where", "plan=premium")
    assert [(row["user_id"],) for row in by_loss] == best[:5]
    for row in by_loss:
        loss, rate = float(row["expected_loss"]), float(row["save_rate"])
        assert float(row["expected_gain"]) == pytest.approx(loss * rate - 5)
    everybody = ("--order", "risk", "--top", 1000)
    costly = sum(float(row["expected_gain"]) < 0 for row in chosen(home, *everybody))
    said = " ".join(churnhouse(home, "list", *everybody).stdout.split())
    assert costly and f"{costly:,} of them cost more than they bring" in said
    assert "cost more than" not in churnhouse(home, "list", "--top", 5).stdout
    refused = churnhouse(home, "list", "--where", "plan=x", check=False)
    assert refused.returncode == 1
    assert "Nobody has plan=x. Next: choose of basic, free, premium." in refused.stderr
    refused = churnhouse(home, "list", "--where", "plam=x", check=False)
    assert refused.returncode == 1 and "Next: choose of plan, country" in refused.stderr
    refused = churnhouse(home, "list", "--budget", 4, check=False)
    assert refused.returncode == 1 and "pays for nobody" in refused.stderr


def test_contacts_that_count_for_nobody_are_named(home: Path):
    (known,) = rows(home, "select user_id from churn_top_risk where list_rank = 1")[0]
    folder = home / "raw/treatments"
    folder.mkdir()
    (folder / "odd.csv").write_text(
        "user_id,treated_at,campaign,channel,outcome,note,by\n"
        f"{known},28.04.2025 10:00,spring,,,,\n{known},2077-04-28 10:00:00,spring,,,,\n"
        f" {known},2025-04-28 10:00:00,spring,,,,\n,2025-04-28 10:00:00,spring,,,,\n"
    )
    said = " ".join(churnhouse(home, "ingest").stdout.split())
    for reason in (
        "1 treatments rejected: unreadable_treated_at, for example '28.04.2025 10:00'",
        "1 treatments rejected: treated_at_after_arrival, for example '2077-04-28 10:00:00'",
        "1 treatments rejected: missing_user_id",
        f"1 contacts are of users whom no other row names, for example ' {known}'",
    ):
        assert reason in said
    rejected = rows(home, "select count(*) from raw.treatments")
    churnhouse(home, "build", "--select", "+rejected_treatments", "--exclude-resource-type", "test")
    assert rejected == [(4,)] and rows(home, "select count(*) from rejected_treatments") == [(3,)]


def test_a_contact_of_a_clock_that_is_ahead_keeps_its_user_off(home: Path):
    (user,) = rows(home, "select user_id from churn_top_risk where list_rank = 1")[0]
    folder = Settings(home=home).contacts
    folder.mkdir()
    later = f"{datetime.now(UTC) + timedelta(hours=3):%Y-%m-%dT%H:%M:%S.000}"
    kept = dict.fromkeys(contacts.FIELDS) | {"contact_key": "k", "user_id": user}
    kept |= {"action": "contacted", "treated_at": later, "campaign": "spring"}
    assert contacts.keep(folder, kept) is None
    churnhouse(home, "daily")
    assert rows(home, "select user_id from contacts") == [(user,)]
    assert not rows(home, f"select 1 from churn_top_risk where user_id = '{user}'")


def test_list_says_what_its_gains_rest_on(home: Path, capsys):
    said = churnhouse(home, "list", "--order", "risk").stdout.splitlines()[-1]
    assert said == "No contact has an outcome yet: gains rest on the save_rate of domain.yml."
    terminal.show_list(CallList([], 0, 600, [], False), {"as_of_date": AS_OF})
    assert "Save rates rest on 600 contacts with an outcome." in capsys.readouterr().out


def test_list_says_who_works_on_a_user_since_the_publication(home: Path):
    """The newest that says so; of the nightly list and of one's own."""
    user_id = chosen(home, "--order", "risk", "--top", 1)[0]["user_id"]
    taken = dict.fromkeys(contacts.FIELDS) | {"user_id": user_id, "action": "assigned"}
    (home / "contacts").mkdir()
    for hour, owner in ((9, "Ben"), (10, "Ana"), (8, "Cem")):
        at = {"contact_key": f"/{hour}", "treated_at": f"2025-04-30T{hour:02}:00:00.000"}
        contacts.keep(home / "contacts", taken | at | {"owner": owner})
    for options in ((), ("--order", "risk", "--top", 3)):
        told = {row["user_id"]: row["owner"] for row in chosen(home, *options)}
        assert told.pop(user_id) == "Ana" and set(told.values()) == {""}


def test_contacts_without_a_holdout_of_their_group_are_nothing_to_rest_on(home: Path):
    folder = home / "published/current"
    with duckdb.connect(str(folder / "churnhouse.duckdb")) as published:
        published.execute("update save_rates set treated_users = 2 where risk_band = 'low'")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert call_list.choose(folder, manifest, top=5).measured == 0


def test_list_leaves_out_who_was_snoozed_since_the_publication(home: Path):
    first, second = (row["user_id"] for row in chosen(home, "--order", "risk", "--top", 2))
    snooze(home, first, AS_OF + timedelta(days=9))
    assert chosen(home, "--order", "risk", "--top", 1)[0]["user_id"] == second


def test_status_leaves_out_who_was_snoozed_since_the_publication(home: Path):
    manifest = json.loads((home / "published/current/manifest.json").read_text())
    first, *others = (user["user_id"] for user in manifest["riskiest"])
    snooze(home, first, AS_OF + timedelta(days=9))
    shown = churnhouse(home, "status").stdout
    assert first not in shown and all(user in shown for user in others)
    for user in others:
        snooze(home, user, AS_OF + timedelta(days=9))
    shown = churnhouse(home, "status").stdout
    assert not any(user in shown for user in others) and "nobody: see" in shown


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
