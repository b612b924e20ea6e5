"""Requests and files that somebody made to get more than they may, or to stop the server."""

import asyncio
import json
import os
import shutil
from urllib.parse import urlencode

import pytest
from support.running import serving, wait_until
from support.versions import change_store, current, make_current, publish_again, seal

from api import keys
from api.store import checks
from api.store.checks import BadVersion
from api.store.listing import Filter, total
from api.store.publication import load
from python_jobs.files import replace_json, sequence_of
from python_jobs.publication import contacts
from python_jobs.publication.signature import signed

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ENDINGS = ("%0A", "%0a%0A", "%0D", "%0D%0A", "%00", "%09", "%7F", "/", "//", "%2F", ";a", "%20")
KEY = "k" * 32


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/metrics"), ("POST", "/v1/contacts"), ("POST", "/desk/contacts")]
)
def test_no_ending_of_a_path_gives_a_reader_another_role(keyed, method, path):
    user_id = keyed.server.ask("GET", "/v1/predictions?limit=1", headers=keyed.as_reader()).json
    user_id = user_id["predictions"][0]["user_id"]
    body = json.dumps({"user_id": user_id}) if path.startswith("/v1") else None
    headers = keyed.as_reader()
    if path.startswith("/desk"):
        headers |= FORM
        body = urlencode({"form": "0" * 32, "contacted": user_id})
    for ending in ("", *ENDINGS):
        told = keyed.server.ask(method, f"{path}{ending}", body=body, headers=headers)
        assert told.status in (403, 404, 405), (ending, told.status)


def test_an_id_with_a_control_character_is_nobodys(server):
    user_id = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
    assert server.get(f"/v1/predictions/{user_id}").status == 200
    assert server.get(f"/v1/predictions/{user_id}%0A").status == 404


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "x"])
def test_an_odd_origin_is_another_site(keyed, origin):
    body = urlencode({"key": "x"})
    told = keyed.server.ask("POST", "/desk/sign-in", body=body, headers=FORM | {"Origin": origin})
    assert told.status == 403


def test_a_deep_note_and_an_early_time_are_no_contact(server):
    user_id = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
    deep: object = "x"
    for _ in range(300):
        deep = [deep]
    for wrong in ({"note": deep}, {"treated_at": "0001-01-01T00:00:00Z"}):
        assert server.post("/v1/contacts", {"user_id": user_id} | wrong).status == 422
    headers = {"Idempotency-Key": "c1/withdrawn"}
    told = server.ask("POST", "/v1/contacts", {"user_id": user_id}, headers=headers)
    assert told.status == 422


def good_contact(user_id: str) -> dict:
    return dict.fromkeys(contacts.FIELDS) | {
        "contact_key": "good",
        "user_id": user_id,
        "treated_at": "2025-04-29T10:00:00.000",
        "action": "contacted",
    }


STRANGE = {
    "deep": lambda path, one: path.write_text("[" * 20_000),
    "no key": lambda path, one: path.write_text(json.dumps(one | {"contact_key": None})),
    "half a character": lambda path, one: path.write_text(json.dumps(one | {"note": "\ud800"})),
    "with an offset": lambda path, one: path.write_text(
        json.dumps(one | {"treated_at": "2025-04-29T10:00:00+02:00"})
    ),
    "year 1": lambda path, one: path.write_text(
        json.dumps(one | {"treated_at": "0001-01-01T00:00:00"})
    ),
    "pipe": lambda path, one: os.mkfifo(path),
    "device": lambda path, one: path.symlink_to("/dev/zero"),
    "huge": lambda path, one: os.truncate(path, 600 * 2**20) if path.touch() is None else None,
    "folder": lambda path, one: path.mkdir(),
}


def test_strange_files_among_the_contacts_stop_nothing(published_home, tmp_path):
    folder = published_home / "contacts"
    folder.mkdir()
    with serving(published_home, tmp_path / "log") as server:
        first, second = (
            row["user_id"] for row in server.get("/v1/predictions?limit=2").json["predictions"]
        )
        for name, make in STRANGE.items():
            make(folder / f"{name}.json", good_contact(first))
            with pytest.raises((OSError, ValueError)):
                contacts.read(folder / f"{name}.json")
        contacts.keep(folder, good_contact(first))
        shown = f"/v1/contacts/{first}"
        wait_until(lambda: server.get(shown).json["contacts"], what="the good contact")
        told = server.post("/v1/contacts", {"user_id": second})
        assert told.status == 201
        assert server.get(f"/v1/contacts/{second}").json["contacts"] == [told.json]
        for page in ("/desk", "/desk/users", f"/desk/users/{first}"):
            assert server.get(page).status == 200
        assert server.get(shown).headers["cache-control"] == "no-store"
        assert server.get("/health").json["status"] == "ok"


def test_strange_names_keep_no_ended_session_alive(tmp_path):
    from api.middleware.sessions import Sessions

    key, line = keys.make("anna", "reader")
    (tmp_path / "keys").write_text(line)
    known = keys.Keys(tmp_path / "keys")
    folder = tmp_path / "ended"
    one, two = (Sessions(known, "secret", 8, folder) for _ in range(2))
    cookie = one.make(known.find(key))
    (folder / "1-x").mkdir(parents=True)
    (folder / f"1-{'0' * 32}").mkdir()
    (folder / "²-x").touch()
    one.end(cookie)
    two.refresh()
    assert two.holder(cookie) is None


@pytest.mark.parametrize(
    "text", ['{"sequence": Infinity}', "[" * 100_000, "[]", '{"sequence": []}']
)
def test_a_strange_manifest_makes_its_version_the_oldest(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    assert sequence_of(tmp_path) == 0


def test_a_version_whose_folder_became_a_file_makes_way_for_the_next(published_home, tmp_path):
    with serving(published_home, tmp_path / "log") as server:
        old, new = current(published_home), publish_again(published_home, 1)
        shutil.rmtree(old)
        old.write_text("")
        make_current(new)
        wait_until(lambda: new.name in server.get("/ready").text, what="the new version", seconds=5)


def test_a_store_that_is_written_in_place_is_not_served(published_home, tmp_path):
    with serving(published_home, tmp_path / "log") as server:
        wait_until(lambda: server.get("/ready").status == 200, what="the version")
        path = current(published_home) / "lookup.sqlite"
        size, mtime = path.stat().st_size, path.stat().st_mtime
        change_store(path.parent, "update users set churn_risk = 0.987654 where risk_rank = 9")
        os.utime(path, (mtime, mtime))
        assert path.stat().st_size == size
        wait_until(lambda: server.get("/ready").status == 503, what="the refusal")
        wait_until(
            lambda: server.get("/health").json["bad_version"]["reason"].startswith("lookup.sqlite"),
            what="its reason",
        )


def test_a_store_that_is_replaced_after_its_hash_was_taken_is_refused(published_home, monkeypatch):
    folder, verified = current(published_home), checks.verified

    def replaced(path, *rest, **options):
        content = verified(path, *rest, **options)
        if path.name == "lookup.sqlite":
            shutil.copyfile(path, path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
        return content

    monkeypatch.setattr(checks, "verified", replaced)
    with pytest.raises(BadVersion, match="changed while it was read"):
        load(folder.parent, folder.name)


def test_changes_come_only_from_what_was_published(published_home, tmp_path, monkeypatch):
    old = current(published_home)
    for folder in (old, new := publish_again(published_home, 1)):
        manifest = json.loads((folder / "manifest.json").read_text())
        replace_json(folder / "manifest.json", signed(manifest, "publication", KEY))
    make_current(new)
    monkeypatch.setenv("CHURNHOUSE_SIGNING_KEY", KEY)
    with serving(published_home, tmp_path / "log") as server:
        since = f"/v1/changes?since={old.name}"
        assert server.get(since).status == 200
        change_store(old, "update churn_top_risk set user_id = 'evil' where list_rank = 1")
        assert server.get(since).status == 410
        seal(old)  # the hashes are right again, the signature is not
        assert server.get(since).status == 410
        (old / "manifest.json").write_text("[]")
        assert server.get(since).status == 410
        forged = new / "forged"
        shutil.copyfile(new / "lookup.sqlite", forged)
        assert server.get("/v1/changes").status == 200
        forged.write_bytes(forged.read_bytes() + b"\0")
        forged.replace(new / "lookup.sqlite")
        assert server.get("/v1/changes").status == 503


@pytest.mark.parametrize("query", ["a=" + "b" * 9000, "&".join(["a=b"] * 101)])
def test_a_long_query_is_refused_before_it_is_read(keyed, query):
    for path in ("/desk/sign-in", "/docs", "/desk/users", "/v1/predictions"):
        assert keyed.server.get(f"{path}?{query}").status == 414


def test_a_long_host_is_refused(keyed):
    assert keyed.server.ask("GET", "/docs", headers={"Host": "a" * 300}).status == 421


def test_a_key_begins_only_so_many_sessions_at_once(keyed):
    """Each is a file that every server reads; the key itself goes on working."""
    body, headers = urlencode({"key": keyed.operator}), FORM
    told = [
        keyed.server.ask("POST", "/desk/sign-in", body=body, headers=headers) for _ in range(30)
    ]
    assert {answer.status for answer in told} == {303, 429}
    assert "signed in too often" in told[-1].text
    assert keyed.server.ask("GET", "/v1/model", headers=keyed.as_operator()).status == 200


def test_long_filters_are_not_remembered(finished_home):
    async def count(value: str) -> int:
        return await total(publication, Filter({"plan": value}))

    folder = current(finished_home)
    publication = load(folder.parent, folder.name)
    assert asyncio.run(count("x" * 10)) == asyncio.run(count("x" * 10_000)) == 0
    assert len(publication.totals) == 1


def test_problems_are_not_kept_by_caches(server):
    for path in ("/v1/predictions/nobody-at-all", "/v1/nothing", "/v1/predictions?limit=0"):
        told = server.get(path)
        assert told.status >= 400 and told.headers["cache-control"] == "no-store"
