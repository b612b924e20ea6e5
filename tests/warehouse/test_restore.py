"""Backup and restore of a home with the commands of the runbook."""

import csv
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support.homes import PROJECT, churnhouse
from support.processes import check_published, running

pytestmark = pytest.mark.skipif(
    shutil.which("flock") is None, reason="the backup takes the lock with util-linux' flock"
)


def start(block: str, home: Path, backup: Path) -> subprocess.Popen:
    """Start a block of commands of docs/runbook.md."""
    text = (PROJECT / "docs" / "runbook.md").read_text()
    (commands,) = re.findall(rf"^```sh {block}\n(.+?)^```", text, re.MULTILINE | re.DOTALL)
    here = {"CHURNHOUSE_HOME": str(home), "BACKUP": str(backup)}
    here["KEY"] = str(backup.with_name("kept.key"))
    here["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(["bash", "-ec", commands], env=os.environ | here, cwd=PROJECT)


def numbers(home: Path) -> tuple:
    """Return the published numbers without times."""
    manifest = check_published(home)
    (path,) = (home / "published" / "current").glob("churn_predictions_*.csv")
    with path.open(newline="") as file:
        users = list(csv.DictReader(file))
    for user in users:
        del user["scored_at"]
    stamps = {"version", "sequence", "published_at", "files", "code_commit"}
    return {name: value for name, value in manifest.items() if name not in stamps}, users


def test_restored_home_publishes_the_same_numbers(home: Path, tmp_path: Path):
    before = numbers(home)
    version = (home / "published" / "current").readlink()
    backup = tmp_path / "backup.tar.gz"
    assert start("backup", home, backup).wait() == 0
    with tarfile.open(backup) as packed:
        assert not [name for name in packed.getnames() if name.endswith(".key")]
    key = (home / "person.key").read_bytes()
    shutil.rmtree(home)
    home.mkdir()
    assert start("restore", home, backup).wait() == 0
    assert (home / "published" / "current").readlink() != version  # the daily run has published
    assert (home / "published" / version).is_dir()
    assert numbers(home) == before
    assert (home / "person.key").read_bytes() == key


def test_backup_is_refused_while_a_job_runs_and_leaves_no_file(home: Path, tmp_path: Path):
    backup = tmp_path / "backup.tar.gz"
    with running(home, "retrain"):
        assert start("backup", home, backup).wait() == 75
    assert list(tmp_path.glob("backup*")) == []
    assert start("backup", home, backup).wait() == 0
    assert list(tmp_path.glob("backup*")) == [backup]


def test_job_is_refused_while_a_backup_runs(home: Path, tmp_path: Path):
    """A pipe blocks the backup: the test reads only enough to see that it has begun."""
    backup = tmp_path / "backup.tar.gz"
    partial = tmp_path / "backup.tar.gz.partial"
    os.mkfifo(partial)
    reader = os.open(partial, os.O_RDWR)
    process = start("backup", home, backup)
    try:
        assert os.read(reader, 2) == b"\x1f\x8b"
        assert churnhouse(home, "daily", check=False).returncode == 75
    finally:
        os.close(reader)  # closing the pipe ends the backup
        assert process.wait(20) != 0
