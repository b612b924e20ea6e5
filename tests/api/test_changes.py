"""GET /v1/changes: a system that follows it has the list, whatever happens in between."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.homes import churnhouse
from support.running import Server, serving
from support.versions import (
    change_manifest,
    change_store,
    current,
    make_current,
    publish_again,
    seal,
)

from api.http.errors import Problem
from api.store import changes
from api.store.contacts import Contacts
from api.store.publication import load
from python_jobs.publication import contacts

DAY = timedelta(days=1)
START = date(2025, 4, 1)
PAUSE = 3
UTC_DAYS = ZoneInfo("UTC")


def asked(server: Server, since: str | None = None) -> dict:
    answer = server.get(f"/v1/changes{f'?since={since}' if since else ''}")
    assert answer.status == 200, answer.text
    return answer.json


def told(answer: dict) -> list[tuple[str, str]]:
    return [(one["change"], one["user_id"]) for one in answer["changes"]]


def listed(folder: Path) -> list[str]:
    with duckdb.connect(str(folder / "churnhouse.duckdb"), read_only=True) as con:
        found = con.sql("select user_id from churn_top_risk order by list_rank").fetchall()
    return [user_id for (user_id,) in found]


def call(folder: Path, user_id: str, day: date, **more: str) -> None:
    empty = dict.fromkeys(contacts.FIELDS)
    contact = {"contact_key": f"{user_id}{day}{more}", "user_id": user_id, "action": "contacted"}
    folder.mkdir(exist_ok=True)
    contacts.keep(folder, empty | contact | {"treated_at": f"{day}T10:00:00.000"} | more)


def test_answer_says_what_the_published_files_say(home, tmp_path):
    """Both versions are made by the real jobs; two of the list were called in between."""
    first = current(home)
    for user_id in listed(first)[:2]:
        call(home / "contacts", user_id, date(2025, 4, 30))
    churnhouse(home, "daily")
    second = current(home)
    path = second / "activation/list_changes.parquet"
    columns = duckdb.sql(f"describe from '{path}'").fetchall()
    flat = [
        c
        for c, kind, *_ in columns
        if not c.startswith(("reason_", "effect_")) and "TIME" not in kind
    ]
    found = duckdb.sql(f"from '{path}' order by change, list_rank")
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    with serving(home, tmp_path / "log") as server:
        answer = asked(server, first.name)
        assert told(answer) == [(row["change"], row["user_id"]) for row in rows]
        assert [change for change, _ in told(answer)].count("remove") == 2
        counts = Counter(row["change"] for row in rows)
        assert answer["counts"] == {"add": 0, "change": 0, "remove": 0} | counts
        for row, one in zip(rows, answer["changes"], strict=True):
            for name in flat:
                value = row[name]
                assert one[name] == (value.isoformat() if isinstance(value, date) else value), name
            assert one["is_explored"] is False
            assert one["reasons"] == [row[f"reason_{n}"] for n in (1, 2, 3) if row[f"reason_{n}"]]
        assert [user for _, user in told(asked(server))] == listed(second)
        assert told(asked(server, second.name)) == []


def test_version_from_before_a_removal_of_a_person_is_never_compared(published_home, tmp_path):
    """Its list may name the person, also where the removal broke off and left its folder there."""
    old = current(published_home)
    (gone,) = listed(old)[:1]
    new = publish_again(published_home, 1)
    change_store(new, f"delete from churn_top_risk where user_id = '{gone}'")
    change_manifest(
        new, forgotten_at=json.loads((old / "manifest.json").read_text())["published_at"]
    )
    seal(new)
    make_current(new)
    with serving(published_home, tmp_path / "log") as server:
        answer = server.get(f"/v1/changes?since={old.name}")
        assert answer.status == 410 and gone not in answer.text
        assert gone not in server.get("/v1/changes").text


def test_contacted_and_snoozed_users_are_removed_and_never_added(published_home, tmp_path):
    old = current(published_home)
    first, second, third = listed(old)[:3]
    new = publish_again(published_home, 1)
    change_store(new, f"update churn_top_risk set expected_gain = 1 where user_id = '{first}'")
    change_store(old, f"delete from churn_top_risk where user_id = '{second}'")
    seal(old)
    seal(new)
    make_current(new)
    with serving(published_home, tmp_path / "log") as server:
        assert told(asked(server, old.name)) == [("add", second), ("change", first)]
        later = (datetime.now(UTC) + 9 * DAY).date().isoformat()
        for body in (
            {"user_id": first},
            {"user_id": second, "action": "snoozed", "snoozed_until": later},
            {"user_id": third, "action": "assigned", "owner": "Ana"},
        ):
            assert server.post("/v1/contacts", body).status == 201
        assert told(asked(server, old.name)) == [("remove", first)]
        assert told(asked(server, new.name)) == [("remove", first), ("remove", second)]
        everybody = [user for _, user in told(asked(server))]
        assert everybody == [user for user in listed(old) if user not in (first, second)]


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("since=2025-04-30-20250101T000000000000Z", 410, "Ask without `since`"),
        ("since=current", 410, "Ask without `since`"),
        ("since=", 422, "since"),
        ("since=../x", 422, "since"),
        ("from=x", 422, "from"),
    ],
)
def test_version_that_cannot_be_compared_is_refused_with_the_next_step(server, query, status, word):
    answer = server.get(f"/v1/changes?{query}")
    assert answer.status == status and word in answer.text


def test_versions_of_earlier_releases_have_no_list(published_home, tmp_path):
    old = current(published_home)
    new = publish_again(published_home, 1)
    change_store(old, "drop table churn_top_risk")
    seal(old)
    make_current(new)
    with serving(published_home, tmp_path / "log") as server:
        assert server.get(f"/v1/changes?since={old.name}").status == 410
    change_store(new, "drop table churn_top_risk")
    seal(new)
    with serving(published_home, tmp_path / "log") as server:
        assert server.get("/v1/changes").status == 503


def test_list_that_is_too_long_is_said(published_home, monkeypatch):
    monkeypatch.setattr(changes, "LONGEST", 3)
    folder = current(published_home)
    publication = load(folder.parent, folder.name)
    with pytest.raises(Problem, match="activation/list_changes") as refused:
        changes.answer(folder.parent, publication, None, Contacts(published_home / "contacts"))
    assert refused.value.status == 422


USERS = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.dictionaries(USERS, st.integers(0, 1))),
        st.tuples(st.just("contact"), USERS),
        st.tuples(st.just("snooze"), USERS, st.integers(-2, 5)),
        st.tuples(st.just("take back"), st.integers(0, 3)),
        st.tuples(st.just("ask")),
    ),
    max_size=25,
)


@given(STEPS)
@example([("publish", {"a": 0}), ("snooze", "a", 5), ("ask",), ("snooze", "a", -2)])
@example([("publish", {"a": 0}), ("ask",), ("publish", {"a": 0})])
@example([("publish", {"a": 0}), ("contact", "a"), ("ask",), ("take back", 0)])
def test_who_follows_the_changes_has_the_list_that_may_be_called(steps):
    """Versions come daily. Contacts and snoozes come at any time, also shorter ones."""
    recorded: list[dict] = []
    day, now, known, since, mine = START, {}, {START: {}}, START, {}
    for step in [*steps, ("ask",)]:
        if step[0] == "publish":
            day += DAY
            now = {
                u: {"user_id": u, "risk": risk, "as_of_date": day} for u, risk in step[1].items()
            }
            known[day] = now
        elif step[0] in ("contact", "snooze"):
            until = str(day + DAY * step[2]) if step[0] == "snooze" else None
            recorded.append(
                {
                    "contact_key": f"k{len(recorded)}",
                    "owner": None,
                    "user_id": step[1],
                    "treated_at": f"{day}T10:00:00",
                    "action": "snoozed" if until else "contacted",
                    "snoozed_until": until,
                    "withdraws": None,
                }
            )
        elif step[0] == "take back":
            withdrawal = {"contact_key": None, "action": "withdrawn", "withdraws": f"k{step[1]}"}
            recorded += [withdrawal] if step[1] < len(recorded) else []
        else:
            then = since
            happened = [one for one in recorded if one["action"] != "withdrawn"]
            ever = contacts.by_user(happened)
            standing = contacts.by_user(contacts.standing(recorded))

            def waits(user: str, day: date = day, found: dict = standing) -> bool:
                return contacts.waits(found.get(user, []), day, PAUSE, UTC_DAYS)

            def waited(user: str, day: date = then, found: dict = ever) -> bool:
                return changes.ever_waited(found.get(user, []), day, PAUSE, UTC_DAYS)

            found = changes.compare(known[then], now, waited, waits)
            for change in found:
                assert change["change"] == "remove" or not waits(change["user_id"])
                before = mine.pop(change["user_id"], None)
                assert change["change"] != "change" or before == 1 - change["risk"]
                if change["change"] != "remove":
                    mine[change["user_id"]] = change["risk"]
            since = day
            assert mine == {user: row["risk"] for user, row in now.items() if not waits(user)}
