"""approvals: approval, rollback and the list of versions."""

import json
import shutil
from datetime import timedelta

import pytest
from support.training_world import NOW, months_later, new_warehouse, run, scramble_labels

from python_jobs.errors import JobError
from python_jobs.files import replace_json, sha256_of
from python_jobs.publication.signature import signed
from python_jobs.registry import store
from python_jobs.registry.approvals import approval, decide, unsigned, withdrawn
from python_jobs.registry.listing import listing
from python_jobs.registry.promotion import Decision, promote, record
from python_jobs.registry.published_report import published_report
from python_jobs.registry.rollback import rollback
from python_jobs.scoring.production import production
from python_jobs.settings import Settings

LATER = NOW + timedelta(hours=1)
KEY, OTHER_KEY = "k" * 32, "o" * 32


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return two versions trained an hour apart."""
    home, con = tmp_path_factory.mktemp("trained"), new_warehouse(users=300)
    return home, [run(con, home, now=now).version for now in (NOW, LATER)]


@pytest.fixture
def world(trained, tmp_path):
    home, versions = trained
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    return new_warehouse(users=300), Settings(home=tmp_path), versions


@pytest.fixture
def strict(world):
    con, settings, versions = world
    return con, Settings(home=settings.home, approval_required=True), versions


@pytest.fixture
def signing(world):
    con, settings, versions = world
    for version in versions:
        sign_version(settings, version, KEY)
    return con, Settings(home=settings.home, approval_required=True, signing_key=KEY), versions


def sign_version(settings, version, key):
    manifest = store.read_manifest(settings.models, version)
    path = settings.models / version / "manifest.json"
    replace_json(path, signed(manifest, store.KIND, key))


def decisions(con):
    return con.execute(
        "select version, is_promoted, reason from ml.promotions order by decided_at"
    ).fetchall()


def test_good_version_waits_for_a_required_approval(strict):
    con, settings, (first, _) = strict
    decision = promote(con, settings, now=NOW, version=first)
    assert not decision.is_promoted and f"churnhouse approve {first}" in decision.reason
    assert store.production(settings.models) is None
    said = "looked at the report"
    given = decide(con, settings, first, is_approved=True, by=" Ada ", note=said, now=NOW)
    assert given["by"] == "Ada" and approval(settings, first) == given
    assert promote(con, settings, now=LATER, version=first).is_promoted
    assert [row[1] for row in decisions(con)] == [False, True]
    said = con.execute("select approved_by, approval_note from ml.promotions order by decided_at")
    assert said.fetchall() == [(None, None), ("Ada", "looked at the report")]


def test_approval_does_not_promote_a_bad_version(strict):
    con, settings, (first, _) = strict
    decide(con, settings, first, is_approved=True, by="Ada", note="fine", now=NOW)
    promote(con, settings, now=NOW, version=first)
    months_later(con)
    scramble_labels(con)
    later = NOW + timedelta(days=70)
    bad = run(con, settings.home, now=later).version
    decide(con, settings, bad, is_approved=True, by="Ada", note="hope", now=later)
    decision = promote(con, settings, now=later, version=bad)
    assert not decision.is_promoted and "worse than the champion" in decision.reason


def test_an_approval_is_for_one_version_and_its_bytes(strict):
    con, settings, (first, second) = strict
    decide(con, settings, first, is_approved=True, by="Ada", note="fine", now=NOW)
    assert approval(settings, second) is None
    path = settings.models / "approvals.json"
    path.write_text(path.read_text().replace('"onnx_sha256": "', '"onnx_sha256": "0'))
    assert approval(settings, first) is None


@pytest.mark.parametrize("by, note", [("", "fine"), ("Ada", " ")])
def test_an_approval_needs_a_name_and_a_note(world, by, note):
    con, settings, (first, _) = world
    with pytest.raises(JobError, match="name and a note"):
        decide(con, settings, first, is_approved=True, by=by, note=note, now=NOW)


def test_approval_of_an_unknown_or_tampered_version_is_refused(world):
    con, settings, (first, _) = world
    with pytest.raises(JobError, match="no model version"):
        unknown = "2020-01-01T000000Z-00000000"
        decide(con, settings, unknown, is_approved=True, by="Ada", note="x", now=NOW)
    (settings.models / first / "model.onnx").write_bytes(b"other")
    with pytest.raises(JobError, match=r"model\.onnx"):
        decide(con, settings, first, is_approved=True, by="Ada", note="x", now=NOW)


def test_a_rejected_version_stays_out_until_somebody_approves_it(world):
    con, settings, (first, second) = world
    promote(con, settings, now=NOW, version=first)
    decide(con, settings, second, is_approved=False, by="Bo", note="odd reasons", now=LATER)
    decision = promote(con, settings, now=LATER, version=second, replace_after_days=0)
    assert not decision.is_promoted
    assert "rejected by Bo (odd reasons)" in decision.reason
    assert [row["status"] for row in listing(con, settings)] == ["rejected", "production"]
    decide(con, settings, second, is_approved=True, by="Ada", note="they are right", now=LATER)
    assert promote(con, settings, now=LATER, version=second, replace_after_days=0).is_promoted
    kept = con.execute("select version, is_approved, decided_by, note from ml.approvals").fetchall()
    assert kept == [(second, False, "Bo", "odd reasons"), (second, True, "Ada", "they are right")]


def test_a_rejection_is_no_approval_and_production_is_rolled_back_instead(strict):
    con, settings, (first, second) = strict
    decide(con, settings, first, is_approved=False, by="Bo", note="no", now=NOW)
    assert approval(settings, first) is None
    decide(con, settings, second, is_approved=True, by="Ada", note="fine", now=NOW)
    promote(con, settings, now=NOW, version=second)
    with pytest.raises(JobError, match="is in production"):
        decide(con, settings, second, is_approved=False, by="Bo", note="no", now=LATER)


def test_rollback_to_a_rejected_version_is_refused(promoted):
    con, settings, (first, second) = promoted
    decide(con, settings, first, is_approved=False, by="Bo", note="no", now=LATER)
    with pytest.raises(JobError, match=f"{first}, was rejected"):
        rollback(con, settings, now=LATER)
    assert store.production(settings.models).version == second


def test_damaged_decisions_stop_a_promotion_and_are_named(world):
    con, settings, (first, _) = world
    (settings.models / "approvals.json").write_text("{")
    with pytest.raises(JobError, match=r"approvals\.json is damaged: it is no JSON"):
        promote(con, settings, now=NOW, version=first)
    assert store.production(settings.models) is None


@pytest.fixture
def promoted(world):
    con, settings, versions = world
    for version, now in zip(versions, (NOW, LATER), strict=True):
        assert promote(con, settings, now=now, version=version, replace_after_days=0).is_promoted
    return con, settings, versions


def test_rollback_returns_to_the_previous_version_and_is_recorded(promoted):
    con, settings, (first, second) = promoted
    later = LATER + timedelta(hours=1)
    assert rollback(con, settings, now=later) == first
    assert store.production(settings.models).version == first
    assert decisions(con)[-1] == (first, True, f"rolled back from {second}")
    assert list(withdrawn(settings.models)) == [second]


def test_rolled_back_version_returns_only_when_named(promoted):
    con, settings, (_, second) = promoted
    rollback(con, settings, now=LATER + timedelta(hours=1))
    later = LATER + timedelta(hours=2)
    decision = promote(con, settings, now=later, replace_after_days=0)
    assert not decision.is_promoted and "rolled back" in decision.reason
    assert promote(con, settings, now=later, version=second, replace_after_days=0).is_promoted


def test_second_rollback_skips_the_rolled_back_version(promoted):
    con, settings, (first, second) = promoted
    rollback(con, settings, now=LATER + timedelta(hours=1))
    with pytest.raises(JobError, match=f"{second}, was itself rolled back"):
        rollback(con, settings, now=LATER + timedelta(hours=2))
    assert store.production(settings.models).version == first


def test_rollback_without_a_previous_version_is_refused(world):
    con, settings, (first, _) = world
    for promoted in (False, True):
        if promoted:
            promote(con, settings, now=NOW, version=first)
        with pytest.raises(JobError, match="no earlier production version to return to"):
            rollback(con, settings, now=LATER)


def test_a_rollback_to_a_tampered_version_is_refused_by_name(promoted):
    con, settings, (first, second) = promoted
    (settings.models / first / "typical.json").write_text("{}")
    with pytest.raises(JobError, match=r"typical\.json"):
        rollback(con, settings, now=LATER)
    assert store.production(settings.models).version == second


def test_list_shows_every_version_and_its_state(promoted):
    con, settings, (first, second) = promoted
    third = run(con, settings.home, now=LATER + timedelta(hours=1)).version
    decide(con, settings, first, is_approved=True, by="Ada", note="fine", now=NOW)
    listed = listing(con, settings)
    assert [(row["version"], row["status"], row["approved_by"]) for row in listed] == [
        (third, "not judged yet", None),
        (second, "production", None),
        (first, "previous", "Ada"),
    ]
    assert all(r["average_precision_low"] < r["average_precision_high"] for r in listed)
    rollback(con, settings, now=LATER + timedelta(hours=2))
    assert [row["status"] for row in listing(con, settings)] == [
        "not judged yet",
        "rolled back",
        "production",
    ]


def _of_the_other_version(settings, given, first, second):
    """The signed approval of one version, given to another with that one's hash."""
    files = store.scoring_hashes(settings.models, second)
    return given | {"onnx_sha256": files["model.onnx"], "files": files}


FORGERIES = {
    "no signature": lambda s, given, first, _: {k: given[k] for k in given if k != "signature"},
    "another name": lambda s, given, first, _: given | {"by": "Eve"},
    "another key": lambda s, given, first, _: signed(given, f"decision on {first}", OTHER_KEY),
    "another kind": lambda s, given, first, _: signed(given, "publication", KEY),
    "no text": lambda s, given, first, _: given | {"signature": 1},
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_approval_does_not_count(signing, forge):
    con, settings, (first, second) = signing
    decide(con, settings, first, is_approved=True, by="Ada", note="fine", now=NOW)
    path = settings.models / "approvals.json"
    given = json.loads(path.read_text())[first]
    assert approval(settings, first) == given
    replace_json(path, {first: forge(settings, given, first, second)})
    assert approval(settings, first) is None and unsigned(settings) == [first]
    decision = promote(con, settings, now=NOW, version=first)
    assert not decision.is_promoted and "is not signed" in decision.reason
    replace_json(path, {second: _of_the_other_version(settings, given, first, second)})
    assert approval(settings, second) is None


def test_a_rejection_counts_without_a_signature(signing):
    con, settings, (first, _) = signing
    without_key = Settings(home=settings.home)
    decide(con, without_key, first, is_approved=False, by="Ada", note="odd", now=NOW)
    decision = promote(con, settings, now=NOW, version=first)
    assert not decision.is_promoted and "rejected by Ada" in decision.reason


def test_production_that_was_pointed_elsewhere_does_not_score(signing):
    con, settings, (first, second) = signing
    decide(con, settings, first, is_approved=True, by="Ada", note="fine", now=NOW)
    assert promote(con, settings, now=NOW, version=first).is_promoted
    assert production(settings).version == first
    path = settings.models / "production.json"
    chosen = json.loads(path.read_text())
    files = store.scoring_hashes(settings.models, second)
    replace_json(path, chosen | {"version": second, "files": files})
    for act in (
        lambda: production(settings),
        lambda: promote(con, settings, now=LATER),
        lambda: rollback(con, settings, now=LATER),
    ):
        before = path.read_bytes()
        with pytest.raises(JobError, match=f"names {second}, is not signed"):
            act()
        assert path.read_bytes() == before
    replace_json(path, chosen)
    assert production(settings).version == first


def _replace(settings, version, name):
    """Change a file of a version, and its hash in the manifest."""
    manifest = store.read_manifest(settings.models, version)
    path = settings.models / version / name
    path.write_bytes(path.read_bytes() + b" ")
    manifest["files"][name] = sha256_of(path)
    replace_json(settings.models / version / "manifest.json", manifest)


@pytest.mark.parametrize("name", ["model.onnx", "features.json", "reasons.json"])
def test_a_model_that_was_replaced_with_its_hash_does_not_score(signing, name):
    con, settings, (first, _) = signing
    decide(con, settings, first, is_approved=True, by="Ada", note="fine", now=NOW)
    promote(con, settings, now=NOW, version=first)
    _replace(settings, first, name)
    with pytest.raises(JobError, match="is not signed"):
        production(settings)
    decision = promote(con, settings, now=LATER, version=first)  # nobody approved these bytes
    assert not decision.is_promoted and "waits for approval" in decision.reason
    assert not store.is_signed(settings)


def test_a_rejected_version_is_not_signed_by_name(signing):
    con, settings, (first, second) = signing
    decide(con, settings, second, is_approved=False, by="Ada", note="odd", now=NOW)
    replace_json(
        settings.models / "production.json",
        {"version": second, "promoted_at": "2026-11-21T10:15:00Z", "previous": first},
    )
    decision = promote(con, settings, now=NOW, version=second)
    assert not decision.is_promoted and "rejected by Ada" in decision.reason
    with pytest.raises(JobError, match="is not signed"):
        production(settings)


def test_rollback_takes_only_the_version_that_was_in_production(signing):
    con, settings, (first, second) = signing
    settings = Settings(home=settings.home, signing_key=KEY)
    promote(con, settings, now=NOW, version=first)
    champion = store.production(settings.models)
    store.swap_production(settings, champion, second, LATER)
    _replace(settings, first, "features.json")
    with pytest.raises(JobError, match=f"before, {first}, is not known to be the one"):
        rollback(con, settings, now=LATER)
    assert store.production(settings.models).version == second


def test_rollback_returns_to_a_signed_version(signing):
    con, settings, (first, second) = signing
    settings = Settings(home=settings.home, signing_key=KEY)
    promote(con, settings, now=NOW, version=first)
    store.swap_production(settings, store.production(settings.models), second, LATER)
    assert rollback(con, settings, now=LATER) == first
    assert production(settings).version == first


def test_without_production_json_nothing_is_promoted_unless_it_is_named(signing):
    con, settings, (first, second) = signing
    settings = Settings(home=settings.home, signing_key=KEY)
    promote(con, settings, now=NOW, version=first)
    (settings.models / "production.json").unlink()
    with pytest.raises(JobError, match=r"production\.json is missing"):
        promote(con, settings, now=LATER)
    assert promote(con, settings, now=LATER, version=second).is_promoted


def test_naming_the_version_in_production_signs_it(world):
    con, settings, (first, _) = world
    promote(con, settings, now=NOW, version=first)
    with_key = Settings(home=settings.home, signing_key=KEY)
    with pytest.raises(JobError, match=f"then run `churnhouse promote {first}`"):
        production(with_key)
    before = store.production(settings.models)
    promote(con, with_key, now=LATER, version=first)
    assert production(with_key).version == first
    assert store.production(settings.models) == before
    assert decisions(con)[-1] == (first, True, "signed anew, by name")


def test_a_version_that_was_not_trained_with_the_key_is_not_promoted(world):
    """Whoever may write models/ could invent its metrics: the manifest's hashes need no key."""
    con, settings, (first, second) = world
    keyed = settings.model_copy(update={"signing_key": KEY})
    for forge in (None, OTHER_KEY):
        if forge:
            sign_version(settings, first, forge)
        decision = promote(con, keyed, now=NOW, version=first)
        assert not decision.is_promoted and "run `churnhouse train`" in decision.reason
        assert store.production(settings.models) is None
    sign_version(settings, first, KEY)
    path = settings.models / first / "metrics.json"
    path.write_text(path.read_text().replace("0.", "0.9", 1))
    manifest = store.read_manifest(settings.models, first)
    manifest["files"]["metrics.json"] = sha256_of(path)
    replace_json(settings.models / first / "manifest.json", manifest)
    assert not promote(con, keyed, now=NOW, version=first).is_promoted
    sign_version(settings, second, KEY)
    assert promote(con, keyed, now=NOW, version=second).is_promoted


def test_the_last_decision_counts_though_a_clock_was_ahead_before(world):
    con, settings, (first, _) = world
    refused = Decision(False, ["no better"], first, None)
    record(con, refused, NOW + timedelta(days=365), lambda: None)
    record(con, Decision(True, ["better"], first, None), NOW, lambda: None)
    (row,) = [one for one in listing(con, settings) if one["version"] == first]
    assert row["status"] == "promoted"
    assert "Promoted" in published_report(con, settings, first)
    assert con.execute("select decision_number from ml.promotions").fetchall() == [(1,), (2,)]
