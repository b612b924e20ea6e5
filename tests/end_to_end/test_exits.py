"""Nobody of the holdout, contacted in the pause or snoozed leaves by any exit, whatever happened.

The tables from raw.treatments to the list are built by dbt's own SQL, without the seconds that dbt
takes; all that follows is the product's: publication, list, activation, and what a server reads.
"""

import asyncio
import csv
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from unittest.mock import patch
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support import parsed
from support.homes import churnhouse, copied

from api.desk import worklist
from api.store import changes, listing
from api.store.contacts import Contacts
from api.store.listing import Filter
from api.store.publication import Publication, load
from python_jobs.publication import contacts
from python_jobs.publishing import call_list
from python_jobs.publishing.publish import point, publish
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.dbt import Dbt

AS_OF = date(2025, 4, 30)
DAY = timedelta(days=1)
PAUSE = 30
ALL = 300
MODELS = ("stg_raw__treatments", "contacts", "contact_candidates", "list_places", "churn_top_risk")
DOMAINS = {
    "risk": {"timezone": "UTC", "top_k": ALL, "list": {"explore_share": 0}},
    "loss": {"timezone": "America/Los_Angeles", "top_k": ALL, "list": {"explore_share": 0}},
    "gain": {"timezone": "Asia/Tokyo", "top_k": 100, "list": {"explore_share": 0.5}},
}
"""What the domain says, by the order of its list."""


@dataclass(frozen=True)
class Record:
    """Something that was recorded of a user."""

    user: int
    action: str
    day: int  # after AS_OF, in UTC
    hour: int
    until: int  # days after AS_OF, of a snooze
    known: str  # file: delivered; loaded: recorded here and ingested; since: after the publication
    taken_back: str = "never"  # or loaded, or since


RECORDS = st.lists(
    st.builds(
        Record,
        user=st.integers(0, 11),
        action=st.sampled_from(["contacted", "contacted", "snoozed", "assigned"]),
        day=st.one_of(st.integers(-PAUSE - 1, -PAUSE + 2), st.integers(-3, 2)),
        hour=st.integers(0, 23),
        until=st.integers(-2, 4),
        known=st.sampled_from(["file", "loaded", "since"]),
        taken_back=st.sampled_from(["never", "never", "loaded", "since"]),
    ).filter(lambda record: record.action == "contacted" or record.known != "file"),
    min_size=10,  # a night takes seconds, so it has many contacts
    max_size=40,
)


def is_left_alone(found: list[tuple[datetime, Record]], zone: str) -> bool:
    """Return whether a user of whom this was recorded is to be left alone; times are UTC."""
    until = AS_OF
    for at, record in sorted(found, key=lambda one: one[0]):
        day = at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()
        if record.action == "contacted" and day + PAUSE * DAY > AS_OF:
            return True
        if record.action == "snoozed":
            until = AS_OF + record.until * DAY
    return until > AS_OF + DAY


class House:
    """A home in which a night takes no second: the list is built, then published."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home)
        self.nights = itertools.count()
        with connect(self.settings) as connection:
            query = "select user_id, in_holdout from churn_predictions_latest where is_eligible"
            found = connection.execute(f"{query} order by risk_rank").fetchall()
        self.free = {user for user, in_holdout in found if not in_holdout}
        self.holdout = {user for user, in_holdout in found if in_holdout}
        self.users = [user for user, _ in found if user in self.free][:9]
        self.users += sorted(self.holdout)[:3]
        self.sql = {order: self._compiled(order) for order in DOMAINS}
        self.quiet = {order: self.night(order, []) for order in DOMAINS}

    def _set(self, order: str) -> None:
        """Let the warehouse be filled by the domain whose list has this order."""
        rules = DOMAINS[order]["list"] | {"order": order, "contact_pause_days": PAUSE}
        changed = json.dumps(DOMAINS[order] | {"list": rules})
        with connect(self.settings) as connection:
            query = "update raw.domain set settings = json_merge_patch(settings, $changed)"
            connection.execute(query, {"changed": changed})

    def _compiled(self, order: str) -> dict[str, str]:
        """Return the SQL of MODELS as dbt runs it."""
        self._set(order)
        with patch.dict(os.environ, {"CHURNHOUSE_HOME": str(self.settings.home)}), parsed.once():
            done = Dbt(self.settings)._invoke(["compile", "--select", *MODELS], None)
        assert done.success, done.exception
        return {node.node.name: node.node.compiled_code for node in done.result.results}

    def night(self, order: str, treatments: list[dict]) -> Path:
        """Build the list from these rows of raw.treatments and publish it; return its folder."""
        self._set(order)
        with connect(self.settings) as connection:
            connection.execute("delete from raw.treatments")
            for number, row in enumerate(treatments):
                row = row | {"row_id": number, "ingested_at": "2025-06-01 00:00:00"}
                named = ", ".join(f"${name} as {name}" for name in row)
                connection.execute(f"insert into raw.treatments by name select {named}", row)
            for name in MODELS:
                kind = "view" if name.startswith("stg_") else "table"
                query = f"create or replace {kind} main.{name} as {self.sql[order][name]}"
                connection.execute(query)
            # so young that no version is removed while it is compared
            now = datetime(2026, 1, 1, tzinfo=UTC) + next(self.nights) * timedelta(seconds=1)
            return publish(connection, self.settings, now=now).folder


def users_of(query: str) -> set[str]:
    return {user_id for (user_id,) in duckdb.sql(query).fetchall()}


def nightly(folder: Path, publication: Publication) -> Iterator[tuple[str, set[str]]]:
    """Yield whom each file and table of a version says to contact."""
    for path in folder.glob("churn_top_*"):
        yield path.name, users_of(f"select user_id from '{path}'")
    for path in folder.glob("activation/list_changes.*"):
        query = f"select user_id from '{path}' where change in ('add', 'change')"
        yield f"activation {path.suffix}", users_of(query)
    rows = listing.rows(publication, list(range(1, publication.max_rank + 1)))
    yield "API list_rank", {row["user_id"] for row in rows if row["list_rank"] is not None}
    free = {row["user_id"] for row in rows if row["left_out_because"] is None}
    yield "API left_out_because", free


def asked(
    folder: Path, publication: Publication, before: Path, kept: Path
) -> Iterator[tuple[str, set[str]]]:
    """Yield whom each answer says to contact that also counts what was recorded since."""
    recorded = [contacts.read(path) for path in contacts.files(kept)]
    choices = ({}, {"top": ALL}, {"budget": 5e5}, {"where": {"plan": "free"}})
    for order, chosen in itertools.product(call_list.ORDERS, choices):
        made = call_list.choose(
            folder, publication.manifest, contacts=recorded, order=order, **chosen
        )
        yield f"list {order} {chosen}", {row["user_id"] for row in made.users}
    known = Contacts(kept)
    asyncio.run(known.refresh())
    for since in (None, before.name):
        told = json.loads(changes.answer(folder.parent, publication, since, known))["changes"]
        yield f"changes {since}", {one["user_id"] for one in told if one["change"] != "remove"}
    for order in worklist.orders(publication, "call"):
        found = asyncio.run(worklist.find(publication, known, "call", Filter(), order, ALL))
        rows = listing.rows(publication, found.ranks)
        yield f"desk {order}", {row["user_id"] for row in rows}


@pytest.fixture(scope="module")
def house(finished_home: Path, tmp_path_factory) -> House:
    return House(copied(finished_home, tmp_path_factory.mktemp("exits") / "data"))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(order=st.sampled_from(sorted(DOMAINS)), records=RECORDS)
@example("loss", [Record(0, "contacted", 1 - PAUSE, 3, 0, "since")])
@example("gain", [Record(0, "contacted", -PAUSE, 20, 0, "since")])
def test_no_exit_names_who_is_to_be_left_alone(house: House, order: str, records: list[Record]):
    kept, zone, before = house.settings.contacts, DOMAINS[order]["timezone"], house.quiet[order]
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    of_the_night: dict[str, list] = {}
    here: dict[str, list] = {}
    treatments = []
    for second, record in enumerate(records):
        user_id = house.users[record.user]
        at = datetime.combine(AS_OF + record.day * DAY, time(record.hour, 0, second))
        row = {"user_id": user_id, "action": record.action, "treated_at": at.isoformat()}
        if record.action == "snoozed":
            row["snoozed_until"] = str(AS_OF + record.until * DAY)
        back = {"user_id": user_id, "action": "withdrawn", "treated_at": at.isoformat()}
        is_back = record.known != "file" and record.taken_back != "never"
        if record.known != "file":
            row["contact_key"], back["withdraws"] = str(second), str(second)
            contacts.keep(kept, dict.fromkeys(contacts.FIELDS) | row)
            if is_back:
                back["contact_key"] = contacts.withdrawal_key(str(second))
                contacts.keep(kept, dict.fromkeys(contacts.FIELDS) | back)
            else:
                here.setdefault(user_id, []).append((at, record))
        if record.known != "since":
            treatments.append(row)
            if is_back and record.taken_back == "loaded":
                treatments.append(back)
            else:
                of_the_night.setdefault(user_id, []).append((at, record))
    left_alone = {user for user, found in of_the_night.items() if is_left_alone(found, zone)}
    left_alone |= house.holdout
    point(house.settings.published, before.name)
    folder = house.night(order, treatments)
    publication = load(folder.parent, folder.name)
    for name, users in nightly(folder, publication):
        assert not users & left_alone, name
        assert users == house.free - left_alone or order == "gain" or "activation" in name, name
    removed = f"select user_id from '{folder}/activation/list_changes.csv' where change = 'remove'"
    was_listed = users_of(f"select user_id from '{next(before.glob('churn_top_*.csv'))}'")
    assert was_listed & left_alone <= users_of(removed)
    left_alone |= {user for user, found in here.items() if is_left_alone(found, zone)}
    for name, users in asked(folder, publication, before, kept):
        assert not users & left_alone, name
        is_whole = name.startswith(("desk", "changes None", f"list risk {{'top': {ALL}"))
        assert users == house.free - left_alone or order == "gain" or not is_whole, name
    publication.store.close()
    shutil.rmtree(folder)


def printed(house: House, *options: object) -> list[list[str]]:
    """Return what `churnhouse list --csv` prints, line by line, the header first."""
    text = churnhouse(house.settings.home, "list", "--csv", *options).stdout
    return list(csv.reader(text.splitlines()))


@pytest.mark.parametrize("order", DOMAINS)
def test_list_without_options_is_the_nightly_file(house: House, order: str):
    """Less whom somebody contacted or snoozed since, whose places nobody takes."""
    shutil.rmtree(house.settings.contacts, ignore_errors=True)
    (path,) = house.night(order, []).glob("churn_top_*.csv")
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert printed(house) == printed(house, "--order", order) == [header, *rows]
    drawn = [row[header.index("is_explored")] for row in rows].count("true")
    assert drawn == (50 if order == "gain" else 0)
    house.settings.contacts.mkdir()
    for key, row, action in (("1", rows[0], "contacted"), ("2", rows[2], "snoozed")):
        recorded = {"contact_key": key, "user_id": row[0], "action": action}
        recorded |= {"treated_at": f"{AS_OF + DAY}T05:00:00.000"}
        recorded |= {"snoozed_until": str(AS_OF + 9 * DAY) if action == "snoozed" else None}
        contacts.keep(house.settings.contacts, dict.fromkeys(contacts.FIELDS) | recorded)
    assert printed(house) == [header, rows[1], *rows[3:]]
    shutil.rmtree(house.settings.contacts)


@pytest.mark.parametrize("order", DOMAINS)
def test_list_with_a_budget_gains_most(house: House, order: str):
    shutil.rmtree(house.settings.contacts, ignore_errors=True)
    folder = house.night(order, [])
    with duckdb.connect(str(folder / "churnhouse.duckdb"), read_only=True) as published:
        best = published.execute(
            "select user_id from contact_candidates"
            " inner join churn_predictions_latest using (user_id)"
            " where left_out_because is null and expected_gain > 0"
            " order by expected_gain desc, risk_rank limit 4"
        ).fetchall()
    (path,) = folder.glob("churn_top_*.csv")
    header, *rows = printed(house, "--budget", 20)
    assert [(row[0],) for row in rows] == best
    assert header == path.read_text(encoding="utf-8").splitlines()[0].split(",")
    assert [row[-3:] for row in rows] == [["", "", str(rank)] for rank in range(1, 5)]
