"""Contacts: durable before the answer, once each, known to every process."""

import json
import os
import re
import shutil
import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.homes import churnhouse, rows
from support.running import Server, serving, wait_until
from support.versions import change_manifest, current, seal

from python_jobs.publication import contacts

CALL = {"user_id": "u0000001", "campaign": "spring", "channel": "phone", "note": "will think"}


def listed(server: Server) -> list[str]:
    """Return who is to be called first."""
    return re.findall(r'href="/desk/users/([^"?]+)"', server.get("/desk").text)


def record(server: Server, content: dict, key: str | None = None):
    return server.ask(
        "POST", "/v1/contacts", content, headers={"Idempotency-Key": key} if key else {}
    )


def test_contact_is_kept_shown_and_taken_off_the_list_by_every_process(published_home, tmp_path):
    with (
        serving(published_home, tmp_path / "one") as one,
        serving(published_home, tmp_path / "two") as two,
    ):
        first, second = listed(one)[:2]
        told = record(one, CALL | {"user_id": first})
        assert told.status == 201
        assert told.json["action"] == "contacted" and told.json["by"] is None
        (path,) = (published_home / "contacts").iterdir()
        kept = contacts.read(path)
        assert told.json == {name: kept[name] for name in contacts.FIELDS} | {
            "treated_at": kept["treated_at"] + "Z"
        }
        assert one.get(f"/v1/contacts/{first}").json["contacts"] == [told.json]
        assert listed(one)[0] == second
        wait_until(lambda: listed(two)[0] == second, what="the other process")
        day = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
        snoozed = record(two, {"user_id": second, "action": "snoozed", "snoozed_until": day})
        assert snoozed.status == 201
        assert second not in listed(two)
    with serving(published_home, tmp_path / "three") as again:
        assert not {first, second} & set(listed(again)), "a restart loses nothing"


def test_repeated_request_changes_nothing_wherever_it_arrives(published_home, tmp_path):
    with (
        serving(published_home, tmp_path / "one") as one,
        serving(published_home, tmp_path / "two") as two,
    ):
        told = record(one, CALL, "call-7")
        again = [record(server, CALL, "call-7") for server in (one, two)]
        assert [answer.status for answer in (told, *again)] == [201, 200, 200]
        assert all(answer.json == told.json for answer in again)
        other = record(two, CALL | {"note": "never"}, "call-7")
        assert other.status == 409 and "another contact" in other.json["detail"]
        assert len(list((published_home / "contacts").iterdir())) == 1


def take_back(server: Server, contact: dict, **more: str):
    content = {"user_id": contact["user_id"], "action": "withdrawn"}
    return record(server, content | {"withdraws": contact["contact_key"]} | more)


def test_contact_is_taken_back_once_and_counts_nowhere(published_home, tmp_path):
    with (
        serving(published_home, tmp_path / "one") as one,
        serving(published_home, tmp_path / "two") as two,
    ):
        before = listed(one)
        called = record(one, CALL | {"user_id": before[0]}).json
        day = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
        snooze = {"user_id": before[1], "action": "snoozed", "snoozed_until": day}
        snoozed = record(one, snooze).json
        # at once, by a process that may not have seen them yet
        told = [take_back(two, contact, note="not me") for contact in (called, snoozed)]
        again = [take_back(one, contact) for contact in (called, snoozed)]
        assert [answer.status for answer in (*told, *again)] == [201, 201, 200, 200]
        assert [a.json for a in told] == [a.json for a in again]
        assert told[0].json["withdraws"] == called["contact_key"]
        for server in (one, two):
            wait_until(lambda server=server: listed(server) == before, what="the other process")
            assert server.get(f"/v1/contacts/{before[0]}").json["contacts"] == []
            told = server.get(f"/v1/changes?since={current(published_home).name}").json["changes"]
            # whoever asked in between was told to drop them
            assert [(t["change"], t["user_id"]) for t in told] == [("add", u) for u in before[:2]]
    assert len(list((published_home / "contacts").iterdir())) == 4, "nothing is overwritten"


def test_what_is_wrong_with_a_withdrawal_is_named(published_home, tmp_path):
    with serving(published_home, tmp_path / "log") as server:
        called = record(server, CALL).json
        unknown = take_back(server, called | {"contact_key": "another"})
        assert unknown.status == 404 and "No contact with this contact_key" in unknown.text
        done = take_back(server, called).json
        other = {"user_id": "u0000002", "contact_key": called["contact_key"]}
        for field, told in {
            "user_id": take_back(server, other),
            "withdraws": take_back(server, done),
            "note": take_back(server, called, note="\x00"),
            "channel": take_back(server, called, channel="phone"),
            "withdraws ": record(server, {"user_id": "u0000001", "action": "withdrawn"}),
            "withdraws  ": record(server, CALL | {"withdraws": called["contact_key"]}),
        }.items():
            assert told.status == 422, field
            assert [one["field"] for one in told.json["errors"]] == [field.strip()]


LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
WRONG = {
    "user_id": {"user_id": 7},
    "treated_at": CALL | {"treated_at": LATER},
    "campaign": CALL | {"campaign": "autumn"},
    "owner": CALL | {"action": "assigned", "owner": "Eve"},
    "note": CALL | {"note": "a\x00b"},
    "action": CALL | {"action": "shouted"},
    "snoozed_until": CALL | {"action": "snoozed", "snoozed_until": "2001-01-01"},
    "snoozed_until ": CALL | {"action": "snoozed", "snoozed_until": "2999-01-01"},
    "colour": CALL | {"colour": "red"},
}


@pytest.fixture(scope="module")
def ruled(finished_home: Path, tmp_path_factory):
    """Serve a version whose domain names its campaigns and owners."""
    home = tmp_path_factory.mktemp("ruled") / "data"
    shutil.copytree(finished_home / "published", home / "published", symlinks=True)
    folder = current(home)
    rules = json.loads((folder / "manifest.json").read_text())["list"]
    change_manifest(folder, list=rules | {"campaigns": ["spring"], "owners": ["Ana"]})
    seal(folder)
    with serving(home, home / "log") as running:
        yield running


@pytest.mark.parametrize("field", WRONG)
def test_what_is_wrong_with_a_contact_is_named(ruled: Server, field: str):
    told = record(ruled, WRONG[field])
    assert told.status == 422
    assert [one["field"] for one in told.json["errors"]] == [field.strip()]


def test_allowed_campaign_and_owner_are_taken(ruled: Server):
    assert record(ruled, CALL | {"action": "assigned", "owner": "Ana"}).status == 201
    assert record(ruled, CALL | {"user_id": "nobody"}).status == 404


def test_only_writers_record(keyed):
    for role, status in (("reader", 403), ("writer", 404), ("operator", 403)):
        header = {"Authorization": f"Bearer {keyed.key_of[role]}"}
        content = CALL | {"user_id": "nobody"}  # the shared home must not change
        told = keyed.server.ask("POST", "/v1/contacts", content, headers=header)
        assert told.status == status, role


def test_killed_server_has_kept_every_contact_that_it_confirmed(published_home, tmp_path):
    users = [f"u{number:07d}" for number in range(1, 200)]
    confirmed: list[str] = []
    with serving(published_home, tmp_path / "log") as server:

        def call(mine: list[str]) -> None:
            for user_id in mine:
                try:
                    told = record(server, CALL | {"user_id": user_id}, user_id)
                except OSError:
                    return
                if told.status == 201:
                    confirmed.append(user_id)

        threads = [threading.Thread(target=call, args=(users[n::4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(confirmed) > 20, what="contacts")
        os.kill(server.process.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
    kept = {contacts.read(path)["user_id"] for path in contacts.files(published_home / "contacts")}
    assert set(confirmed) <= kept and len(kept) < len(users)


def test_folder_that_takes_no_file_is_said(published_home, tmp_path):
    (published_home / "contacts").write_text("not a folder")
    with serving(published_home, tmp_path / "log") as server:
        told = record(server, CALL)
        assert told.status == 503 and "contacts" in told.json["detail"]
        assert server.get("/v1/predictions").status == 200


def test_daily_loads_a_contact_once_and_forget_removes_it(home: Path):
    listed = rows(home, "select user_id from churn_top_risk order by list_rank limit 2")
    folder = home / "contacts"
    folder.mkdir()
    for (user_id,) in listed:
        told = CALL | dict.fromkeys(("outcome", "owner", "by", "snoozed_until"))
        told |= {"contact_key": user_id, "user_id": user_id, "action": "contacted"}
        assert contacts.keep(folder, told | {"treated_at": "2025-04-30T10:00:00.000"}) is None
    for _ in range(2):
        churnhouse(home, "daily")
        found = rows(
            home,
            "select user_id, campaign, channel, note, action from contacts order by treated_at",
        )
        assert sorted(found) == sorted(
            (user_id, "spring", "phone", "will think", "contacted") for (user_id,) in listed
        )
    assert not set(listed) & set(rows(home, "select user_id from churn_top_risk"))
    churnhouse(home, "forget", listed[0][0])
    assert [contacts.read(path)["user_id"] for path in contacts.files(folder)] == [listed[1][0]]
    assert rows(home, "select user_id from contacts") == [listed[1]]


def test_daily_counts_a_contact_no_more_that_was_taken_back(home: Path, tmp_path):
    """All were ingested the night before, one long after the call; then two are taken back."""
    query = "select user_id from churn_top_risk order by list_rank limit 4"
    first, second, early, kept = (user for (user,) in rows(home, query))
    long_ago = {"treated_at": "2025-03-20T10:00:00Z"}
    counted = ("contacts", "treatments")

    def users_of(table: str) -> set[str]:
        return {user_id for (user_id,) in rows(home, f"select user_id from {table}")}

    with serving(home, tmp_path / "log") as server:
        called = [record(server, CALL | {"user_id": user}).json for user in (first, second)]
        called += [record(server, CALL | long_ago | {"user_id": u}).json for u in (early, kept)]
        churnhouse(home, "daily")
        assert {first, second, early, kept} <= users_of("contacts")
        assert all({early, kept} <= users_of(table) for table in counted)
        assert not {first, second} & users_of("churn_top_risk")
        waiting = "/desk/users?tab=waiting"
        wait_until(lambda: "spring" in server.get("/desk/results").text, what="the next version")
        assert first in server.get(waiting).text
        assert "2 too recent to know" in server.get("/desk").text
        assert [take_back(server, called[n]).status for n in (0, 2)] == [201, 201]
        assert first not in server.get(waiting).text and second in server.get(waiting).text
        assert "1 too recent to know" in server.get("/desk").text
        assert "never contacted" in server.get(f"/desk/users/{first}").text
    churnhouse(home, "daily")
    for table in counted:
        assert not {first, early} & users_of(table), table
        assert kept in users_of(table), table
    assert first in users_of("churn_top_risk") and second not in users_of("churn_top_risk")
    churnhouse(home, "forget", first)
    left = [contacts.read(path)["user_id"] for path in contacts.files(home / "contacts")]
    assert sorted(left) == sorted([second, early, early, kept])


@pytest.mark.parametrize("content", ["{", "{}", "null", '{"user_id": 7}'])
def test_damaged_contact_is_named_and_stops_no_server(home: Path, tmp_path, content: str):
    folder = home / "contacts"
    folder.mkdir()
    path = folder / contacts.file_name("x")
    path.write_text(content)
    (user_id,) = rows(home, "select user_id from churn_top_risk limit 1")[0]
    for command in (["ingest"], ["forget", user_id]):
        done = churnhouse(home, *command, check=False)
        assert done.returncode == 1 and str(path) in done.stderr and " Next: " in done.stderr
    assert rows(home, f"from churn_top_risk where user_id = '{user_id}'"), "nothing was removed"
    with serving(home, tmp_path / "log") as server:
        assert record(server, CALL).status == 201


def test_of_two_snoozes_of_one_moment_the_later_day_counts():
    moment = {"user_id": "u1", "action": "snoozed", "treated_at": "2025-03-20T00:00:00.000"}
    days = ("2025-04-25", "2025-03-25")
    snoozes = [moment | {"snoozed_until": day, "owner": None, "contact_key": day} for day in days]
    for order in (snoozes, snoozes[::-1]):
        assert contacts.by_user(order)["u1"][-1]["snoozed_until"] == "2025-04-25"


def test_leftover_of_a_killed_process_is_removed(tmp_path):
    old, new = tmp_path / ".old", tmp_path / ".new"
    for path in (old, new):
        path.write_text("{}")
    os.utime(old, (0, 0))
    contacts.sweep(tmp_path, now=datetime.now(UTC))
    assert [path.name for path in tmp_path.iterdir()] == [".new"]
