"""doctor: each problem is one clear line with a next step."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from support import parsed
from support.homes import PROJECT, churnhouse
from support.processes import start, without_rights

from api.keys import make
from python_jobs.files import sha256_of
from python_jobs.ingest import domain as domains
from python_jobs.operations import doctor
from python_jobs.registry import store
from python_jobs.registry.approvals import decide
from python_jobs.settings import Settings
from python_jobs.warehouse import dbt
from python_jobs.warehouse.lock import writing


def now() -> datetime:
    """Return the time at the call: the shared home may be made long after this module is read."""
    return datetime.now(UTC)


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def find(monkeypatch):
    """Run one check and return its findings."""

    def find(settings: Settings, name: str, at: datetime | None = None) -> doctor.Finding:
        monkeypatch.setattr(doctor, "CHECKS", {name: every[name]})
        (finding,) = doctor.examine(settings, now=at or now())
        assert "\n" not in finding.found + finding.next_step
        return finding

    every = doctor.CHECKS
    return find


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change(settings: Settings, statement: str) -> None:
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(statement)


def test_a_healthy_installation_is_ok_in_every_line(finished_home: Path):
    done = churnhouse(finished_home, "doctor")
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    begins = [line for line in lines if line[:2].strip()]
    assert [line[4:17].strip() for line in begins] == list(doctor.CHECKS)
    assert all(line.startswith("ok ") for line in begins)


def test_empty_home_is_fine_and_stays_empty(tmp_path: Path):
    settings = Settings(home=tmp_path / "data")
    with parsed.once():
        found = list(doctor.examine(settings, now=now()))
    assert [finding for finding in found if finding.next_step] == []
    assert len(found) == len(doctor.CHECKS)
    assert not settings.home.exists()


def test_doctor_lists_the_findings_last_and_exits_1(home: Path):
    (home / "warehouse.lock").unlink()
    flip(home / "published/current/lookup.sqlite")
    home.chmod(0o555)
    try:
        process = start(home, "doctor", preexec_fn=without_rights)
        out, err = process.communicate()
    finally:
        home.chmod(0o755)
    assert process.returncode == 1 and "Traceback" not in out + err, out + err
    assert all(len(line) <= 80 for line in out.splitlines())
    (line,) = err.splitlines()
    assert "2 of 13 checks found something wrong: home, published." in line
    text = " ".join(out.split())  # long paths are folded
    assert "cannot be written (Permission denied)" in text
    assert "is missing or is not the file that was published" in text
    assert text.count("Next: ") == 2


def test_old_python_is_named(find, settings, monkeypatch):
    old = SimpleNamespace(version_info=(3, 10, 2, "final", 0), version="3.10.2 (main)")
    monkeypatch.setattr(doctor, "sys", old)
    finding = find(settings, "python")
    assert "Python 3.10.2 is too old: >=3.11" in finding.found and "make run" in finding.next_step


def test_package_of_another_version_than_locked_is_named(find, settings, monkeypatch, tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("duckdb==0.1.0 ; python_version < '4' \\\n    --hash=sha256:00\nnever-had==1\n")
    monkeypatch.setattr(doctor, "LOCK", lock)
    finding = find(settings, "packages")
    assert f"duckdb is {duckdb.__version__}, locked is 0.1.0" in finding.found
    assert "never-had" not in finding.found  # packages for developers may be missing
    assert "--require-hashes -r requirements.lock" in finding.next_step


def test_missing_package_and_one_that_does_not_load_are_named(
    find, settings, monkeypatch, tmp_path
):
    (tmp_path / "broken_library.py").write_text("raise OSError('libgomp.so.1: cannot open')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(doctor, "LOADED", ("broken_library",))
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["never-had>=1,<2"])
    finding = find(settings, "packages")
    assert "never-had is not installed" in finding.found
    assert "broken_library does not load (libgomp.so.1: cannot open)" in finding.found


def test_home_below_a_file_is_named(find, tmp_path):
    (tmp_path / "file").write_text("")
    finding = find(Settings(home=tmp_path / "file/data"), "home")
    assert "cannot be written" in finding.found and "CHURNHOUSE_HOME" in finding.next_step


def test_running_job_is_named_and_left_alone(find, settings):
    with writing(settings, "train"):
        lock = find(settings, "lock")
        assert f"held: train on {os.uname().nodename}, pid {os.getpid()}, since 2" in lock.found
        for name in ("warehouse", "domain"):
            assert find(settings, name) == doctor.Finding(name, doctor.AT_WORK)
        assert find(settings, "times").next_step == ""
    assert find(settings, "lock").found == "free"


def test_damaged_warehouse_is_named(find, settings):
    settings.warehouse.write_bytes(b"\0" * 5000)
    assert find(settings, "times").next_step == ""
    for name in ("warehouse", "domain"):
        finding = find(settings, name)
        assert f"{settings.warehouse} cannot be opened as a DuckDB file" in finding.found
        assert finding.next_step


def test_warehouse_opened_by_another_program_is_named(find, settings):
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    command = [sys.executable, "-c", hold, str(settings.warehouse)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline()
        finding = find(settings, "warehouse")
        assert find(settings, "dbt project").next_step == ""
        other.communicate(b"\n")
    assert "Another program has" in finding.found and "close it" in finding.next_step


def test_missing_or_changed_domain_is_named(find, settings):
    change(settings, "update raw.domain set built_with = '{}'")
    finding = find(settings, "domain")
    shipped = domains.available(settings)["elearning"]
    assert finding.found == f"elearning in {shipped}, changed since: the next build starts afresh"
    assert finding.next_step == ""
    change(settings, "update raw.domain set name = 'elearnin'")
    finding = find(settings, "domain")
    assert "There is no domain 'elearnin' (did you mean 'elearning'?)" in finding.found
    assert "add domains/elearnin/" in finding.next_step


def test_project_that_dbt_cannot_parse_is_named(find, settings, monkeypatch, tmp_path):
    project = tmp_path / "project"
    for name in ("models", "macros", "seeds", "tests/gates", "tests/generic"):
        shutil.copytree(PROJECT / name, project / name)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, project)
    monkeypatch.setattr(dbt, "PROJECT", project)
    assert find(settings, "dbt project").next_step == ""
    (project / "models/astray.sql").write_text("select * from {{ ref('nowhere') }}")
    finding = find(settings, "dbt project")
    assert "dbt cannot read the project: " in finding.found and "nowhere" in finding.found


def test_production_model_with_a_changed_file_is_named(find, settings):
    production = store.production(settings.models)
    path = settings.models / production.version / "metrics.json"
    flip(path)
    finding = find(settings, "model")
    assert f"{path} is missing or is not the file that was registered" in finding.found
    assert "restore it" in finding.next_step


def test_production_model_with_other_scores_than_at_training_is_named(find, settings):
    """The files are unchanged, but the model now gives other scores."""
    folder = settings.models / store.production(settings.models).version
    golden = json.loads((folder / "golden.json").read_text())
    golden["churn_risk"][0] += 0.1
    (folder / "golden.json").write_text(json.dumps(golden))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["golden.json"] = sha256_of(folder / "golden.json")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "other scores than at training, by 0.1" in find(settings, "model").found


def test_unreadable_production_pointer_is_named(find, settings):
    (settings.models / "production.json").write_text('{"version": ')
    finding = find(settings, "model")
    assert "production.json is damaged" in finding.found and finding.next_step


def as_a_folder(current: Path) -> None:
    """Do what a copy does that follows links."""
    version = current.resolve()
    current.unlink()
    shutil.copytree(version, current)


def test_a_folder_in_the_place_of_the_link_is_refused_before_the_work(home: Path):
    as_a_folder(home / "published/current")
    before = sorted(path.name for path in (home / "published").iterdir())
    done = churnhouse(home, "publish", check=False)
    assert done.returncode == 1 and "remove it, then run `churnhouse publish`" in done.stderr
    assert sorted(path.name for path in (home / "published").iterdir()) == before


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda current: flip(current / "model.onnx"), "model.onnx is missing or is not"),
        (lambda current: (current / "manifest.json").write_text("{"), "manifest.json is damaged"),
        (lambda current: shutil.rmtree(current.resolve()), "which is not there"),
        (as_a_folder, "is no link to a version"),
        (lambda current: (current.unlink(), current.write_text("x")), "is no link to a version"),
    ],
)
def test_damaged_publication_is_named(find, settings, damage, says):
    damage(settings.published / "current")
    finding = find(settings, "published")
    assert says in finding.found and "churnhouse " in finding.next_step


def test_times_in_the_future_are_named(find, settings):
    earlier = now() - timedelta(days=400)
    assert "The newest load is stamped " in find(settings, "times", earlier).found
    settings.warehouse.unlink()
    assert "Model version " in find(settings, "times", earlier).found
    shutil.rmtree(settings.models)
    finding = find(settings, "times", earlier)
    assert "The current version is stamped " in finding.found and "clock" in finding.next_step
    assert find(settings, "times").next_step == ""


def test_a_step_of_a_job_stamped_in_the_future_is_named(find, settings):
    change(settings, "update ml.job_runs set started_at = '2199-01-01' where step = 'train'")
    finding = find(settings, "times")
    assert "Step train of a run is stamped 2199-01-01 00:00" in finding.found
    change(settings, "drop table ml.job_runs")
    assert find(settings, "times").next_step == ""


def test_readable_or_invalid_key_files_are_named(find, settings, monkeypatch, tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"{make('desk', 'reader')[1]}\n")
    monkeypatch.setenv("CHURNHOUSE_API_KEYS", str(path))
    path.chmod(0o640)
    assert find(settings, "API keys") == doctor.Finding("API keys", f"{path}, mode 640")
    path.chmod(0o644)
    finding = find(settings, "API keys")
    assert finding.found == f"{path} is open to others (its mode is 644)."
    assert finding.next_step == f"chmod 640 {path}"
    path.chmod(0o600)
    path.write_text("desk:reader:secret\n")
    finding = find(settings, "API keys")
    assert "Line 1 of" in finding.found and "secret" not in finding.found


def test_check_that_crashes_is_reported_and_the_others_go_on(settings, monkeypatch):
    def broken(settings, now):
        raise ValueError("odd\nthing")

    monkeypatch.setattr(doctor, "CHECKS", {"odd": broken, "lock": doctor.CHECKS["lock"]})
    odd, lock = doctor.examine(settings, now=now())
    assert odd.found == "ValueError: odd thing" and odd.next_step
    assert lock.found == "free"


def test_webhook_without_a_secret_is_named(tmp_path, find):
    url = "https://hooks.example.com/token"
    found = find(Settings(home=tmp_path, webhook_url=url), "webhook")
    assert "CHURNHOUSE_WEBHOOK_SECRET is not set" in found.found and "whsec_" in found.next_step
    assert "token" not in found.found
    signed = Settings(home=tmp_path, webhook_url=url, webhook_secret="whsec_" + "A" * 32)
    assert find(signed, "webhook").next_step == ""
    assert (
        find(Settings(home=tmp_path), "webhook").found
        == "none set: nobody is told of a new version"
    )


def test_what_is_not_signed_is_named(settings, find):
    """Without a key that matters where approvals are asked for; with one, wherever it is used."""
    assert find(settings, "signing").next_step == ""
    asking = settings.model_copy(update={"approval_required": True})
    finding = find(asking, "signing")
    assert "can approve" in finding.found and "openssl rand" in finding.next_step
    with duckdb.connect(str(settings.warehouse)) as connection:
        version = approve_newest(connection, settings)
    keyed = asking.model_copy(update={"signing_key": "k" * 32})
    assert "production.json" in find(keyed, "signing").found
    store.sign_production(keyed)
    finding = find(keyed, "signing")
    assert finding.found == f"The approvals of {version} are not signed, so they do not count."
    assert "churnhouse approve" in finding.next_step
    with duckdb.connect(str(settings.warehouse)) as connection:
        approve_newest(connection, keyed)
    assert find(keyed, "signing").next_step == ""


def approve_newest(connection: duckdb.DuckDBPyConnection, settings: Settings) -> str:
    version = store.versions(settings.models)[-1]
    decide(connection, settings, version, is_approved=True, by="Ada", note="fine", now=now())
    return version
