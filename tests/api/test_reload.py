"""The server loads a new version by itself, and refuses, counts and names a bad one."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.running import Server, serving, wait_until
from support.spoiled import GONE, WRONG, places, spoil
from support.versions import (
    change_manifest,
    change_store,
    current,
    make_current,
    publish_again,
    seal,
)

from api.store.checks import BadVersion
from api.store.publication import load
from python_jobs.files import replace_json
from python_jobs.publication.signature import signed


def metric(server, name: str) -> float:
    lines = server.get("/metrics").text.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " "))


def version_of(server) -> str:
    return server.get("/ready").json["version"]


def test_new_version_is_served_within_seconds_and_a_bad_one_refused(published_home, tmp_path):
    with serving(published_home, tmp_path / "log") as server:
        first = version_of(server)
        good = publish_again(published_home, 1)
        make_current(good)
        wait_until(lambda: version_of(server) == good.name, what="version 1", seconds=5)
        assert metric(server, 'churnhouse_reloads_total{result="success"}') == 2

        bad = publish_again(published_home, 2)
        (bad / "model.onnx").write_bytes(b"not a model")
        make_current(bad)
        wait_until(lambda: server.get("/health").json["status"] == "degraded", what="health")
        assert server.get("/health").json["bad_version"] == {
            "version": bad.name,
            "reason": "model.onnx is not the file that was published",
        }
        assert version_of(server) == good.name != first
        assert metric(server, 'churnhouse_reloads_total{result="failure"}') == 1
        assert metric(server, "churnhouse_bad_version") == 1

        better = publish_again(published_home, 3, source=good)
        make_current(better)
        wait_until(lambda: version_of(server) == better.name, what="version 3", seconds=5)
        assert server.get("/health").json["bad_version"] is None
        assert metric(server, "churnhouse_bad_version") == 0


def _no_store(folder):
    (folder / "lookup.sqlite").unlink()


def _no_manifest(folder):
    (folder / "manifest.json").write_text("{")


def _other_name(folder):
    change_manifest(folder, version="another")


def _changed_store(folder):
    change_store(folder, "update users set churn_risk = 0.5")


def _no_database(folder):
    (folder / "lookup.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    seal(folder)


def _other_golden_rows(folder):
    golden = json.loads((folder / "golden.json").read_text())
    golden["churn_risk"] = [risk + 0.01 for risk in golden["churn_risk"]]
    (folder / "golden.json").write_text(json.dumps(golden))
    seal(folder)


def _risks_of_another_model(folder):
    change_store(folder, "update users set churn_risk = churn_risk * 0.99")
    seal(folder)


def _change_one_user(change):
    def breakage(folder):
        change_store(folder, f"update users set {change} where risk_rank = 7")
        seal(folder)

    return breakage


def _users_lost(folder):
    change_store(folder, "delete from users where risk_rank > 200")
    seal(folder)


def _model_of_another_version(folder):
    change_manifest(folder, model_version="another")


def _reasons_of_no_explainer(folder):
    shutil.copy(folder / "model.onnx", folder / "reasons.onnx")
    seal(folder)


def _spoiled(name, *place, value):
    def breakage(folder):
        spoil(folder / name, place, value)
        seal(folder)

    return breakage


@pytest.mark.parametrize(
    ("breakage", "reason"),
    [
        (_no_store, "lookup.sqlite is missing"),
        (_no_manifest, "its manifest is damaged: it is no JSON"),
        (_other_name, "names another version"),
        (_changed_store, "lookup.sqlite is not the file that was published"),
        (_no_database, "cannot be opened"),
        (_other_golden_rows, "golden rows"),
        (_risks_of_another_model, "published scores"),
        (_users_lost, "200 users instead of 300"),
        (_change_one_user("user_id = 'somebody'"), "other users than were published"),
        (_change_one_user("churn_risk = 1.5"), "risk 1.5 and the rank 7"),
        (_change_one_user("churn_risk = null"), "risk None"),
        (_change_one_user("churn_risk = 'high'"), "risk high"),
        (_change_one_user("churn_risk = 0.0"), "out of order"),
        (_change_one_user("risk_rank = 1000"), "out of order"),
        (_change_one_user("model_version = 'another'"), "another model"),
        (_change_one_user("as_of_date = '2020-01-01'"), "another day"),
        (_model_of_another_version, "another model"),
        (_reasons_of_no_explainer, "its reasons cannot be told"),
        (_spoiled("reasons.json", "usual", "high", value=5), "reasons.json is damaged"),
        (_spoiled("reasons.json", "raised_by", value=[]), "reasons.json is damaged"),
        (_spoiled("words.json", "labels", value=5), "words.json is damaged"),
        (_spoiled("words.json", "actions", "silence", value=["x"]), "words.json is damaged"),
        (_spoiled("typical.json", "tenure_days", value=5), "typical.json is damaged"),
    ],
)
def test_every_defect_keeps_a_version_from_being_served(published_home, breakage, reason):
    folder = publish_again(published_home, 1)
    load(folder.parent, folder.name)
    breakage(folder)
    with pytest.raises(BadVersion, match=reason):
        load(folder.parent, folder.name)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("list", 5, r"list is 5 \(Input should be a valid dictionary\)"),
        ("files", [], r"files is \[\]"),
        ("as_of_date", "today", "as_of_date is 'today'"),
        ("published_at", "2026-11-30T05:46:48", "it has no time zone"),
        ("timezone", "Mars", "there is no such time zone"),
        ("model", None, "model is None"),
        ("riskiest", GONE, "it lacks riskiest"),
    ],
)
def test_a_version_whose_manifest_has_a_wrong_value_is_refused(published_home, name, value, reason):
    folder = publish_again(published_home, 1)
    spoil(folder / "manifest.json", (name,), value)
    with pytest.raises(BadVersion, match=f"its manifest is damaged: .*{reason}"):
        load(folder.parent, folder.name)


PAGES = ("/desk", "/desk/users", "/desk/results", "/desk/calendar", "/desk/model", "/metrics")
PAGES += ("/health", "/v1/model", "/v1/drift", "/v1/predictions", "/v1/changes")


@pytest.fixture(scope="module")
def following(finished_home: Path, tmp_path_factory) -> Iterator[tuple[Server, Path, Path]]:
    """A server, the published folder that it follows, and a whole version elsewhere."""
    home = tmp_path_factory.mktemp("following")
    shutil.copytree(finished_home / "published", home / "published", symlinks=True)
    whole = shutil.copytree(current(home), home / "whole")
    with serving(home, home / "log") as server:
        yield server, home / "published", whole


def renamed(whole: Path, published: Path) -> Path:
    """Make the same version under another name, with what the API reads; not the current one."""
    folder = published / f"v{sum(1 for _ in published.iterdir())}"
    unread = shutil.ignore_patterns("*.duckdb", "*.csv", "*.parquet")
    shutil.copytree(whole, folder, ignore=unread)
    change_manifest(folder, version=folder.name)
    return folder


@hypothesis.settings(max_examples=40)
@given(data=st.data())
def test_no_wrong_value_in_a_manifest_breaks_a_page(following, data):
    """The version is refused, and the one before goes on, or all pages work."""
    server, published, whole = following
    before, folder = version_of(server), renamed(whole, published)
    content = json.loads((folder / "manifest.json").read_text())
    name = data.draw(st.sampled_from(sorted(content)))
    of_store = (("files",), ("files", "lookup.sqlite"))
    inner = [
        place
        for place in places(content)
        if place[0] == name and (name != "files" or place[:2] in of_store)
    ]
    place, value = data.draw(st.sampled_from(inner)), data.draw(st.sampled_from(WRONG))
    spoil(folder / "manifest.json", place, value)
    make_current(folder)

    def is_judged() -> bool:
        bad = server.get("/health").json["bad_version"]
        return version_of(server) == folder.name or bool(bad and bad["version"] == folder.name)

    wait_until(is_judged, what="the version")
    assert version_of(server) in (before, folder.name)
    user = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
    of_user = (f"/desk/users/{user}", f"/v1/predictions/{user}", f"/v1/changes?since={before}")
    statuses = {page: server.get(page).status for page in (*PAGES, *of_user)}
    statuses["contact"] = server.post("/v1/contacts", {"user_id": user}).status
    assert {page: status for page, status in statuses.items() if status >= 500} == {}


def test_an_edited_and_rehashed_version_is_not_served(published_home, tmp_path, monkeypatch):
    key = "k" * 32
    folder = publish_again(published_home, 1)
    manifest = json.loads((folder / "manifest.json").read_text())
    load(folder.parent, folder.name)
    with pytest.raises(BadVersion, match="its manifest is not signed"):
        load(folder.parent, folder.name, key)
    replace_json(folder / "manifest.json", signed(manifest, "publication", key))
    load(folder.parent, folder.name, key)
    make_current(folder)
    monkeypatch.setenv("CHURNHOUSE_SIGNING_KEY", key)
    with serving(published_home, tmp_path / "log") as server:
        assert version_of(server) == folder.name
        forged = publish_again(published_home, 2, source=folder)
        make_current(forged)
        wait_until(lambda: server.get("/health").json["bad_version"], what="the bad version")
        assert "not signed" in server.get("/health").json["bad_version"]["reason"]
        assert version_of(server) == folder.name


def test_paging_continues_after_its_version_is_pruned(published_home, tmp_path):
    """A client that pages through a list stays on its version after the folder is gone."""
    with serving(published_home, tmp_path / "log") as server:
        first = server.get("/v1/predictions?include=all&limit=100").json
        old = current(published_home)
        new = publish_again(published_home, 1)
        make_current(new)
        wait_until(lambda: version_of(server) == new.name, what="the new version")
        shutil.rmtree(old)
        pages = [first]
        while cursor := pages[-1]["next_cursor"]:
            pages.append(server.get(f"/v1/predictions?include=all&limit=100&cursor={cursor}").json)
        found = [row for page in pages for row in page["predictions"]]
        assert len({row["user_id"] for row in found}) == len(found) == 300
        assert {row["published_version"] for row in found} == {old.name}


def test_open_version_answers_after_its_folder_is_deleted(published_home):
    folder = current(published_home)
    publication = load(folder.parent, folder.name)
    shutil.rmtree(folder)
    ids = [row[0] for row in publication.store.execute("select user_id from users")]
    assert len(ids) == 300
    for user_id in ids:
        risk = publication.prediction(user_id)["churn_risk"]
        assert publication.score([publication.user_features(user_id)]) == pytest.approx(
            [risk], abs=1e-6
        )


def test_retired_version_still_answers(published_home):
    folder = current(published_home)
    publication = load(folder.parent, folder.name)
    user_id = publication.store.execute("select user_id from users").fetchone()[0]
    publication.retire()
    assert publication.prediction(user_id)["user_id"] == user_id


def test_first_version_is_served_without_a_restart(finished_home, tmp_path):
    home = tmp_path / "home"
    with serving(home, tmp_path / "log") as server:
        assert server.get("/ready").status == 503
        shutil.copytree(finished_home / "published", home / "published", symlinks=True)
        wait_until(lambda: server.get("/ready").status == 200, what="the first version")


def test_every_worker_reloads_on_its_own(published_home, tmp_path):
    with serving(published_home, tmp_path / "log", workers=2) as server:

        def reloads(version: str) -> int:
            return sum(line.get("version") == version for line in server.log_lines())

        old = current(published_home).name
        wait_until(lambda: reloads(old) == 2, what="both workers at the first version")
        new = publish_again(published_home, 1)
        make_current(new)
        wait_until(lambda: reloads(new.name) == 2, what="both workers at the new version")
        assert {version_of(server) for _ in range(20)} == {new.name}
        assert metric(server, 'churnhouse_reloads_total{result="success"}') == 4
