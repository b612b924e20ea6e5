"""The server loads a new version by itself, and refuses, counts and names a bad one."""

import json
import shutil

import pytest
from support.running import serving, wait_until
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


@pytest.mark.parametrize(
    ("breakage", "reason"),
    [
        (_no_store, "lookup.sqlite is missing"),
        (_no_manifest, "cannot be opened"),
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
    ],
)
def test_every_defect_keeps_a_version_from_being_served(published_home, breakage, reason):
    folder = publish_again(published_home, 1)
    load(folder.parent, folder.name)
    breakage(folder)
    with pytest.raises(BadVersion, match=reason):
        load(folder.parent, folder.name)


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
