"""Full disks, missing rights and damaged files give one clear line and lose nothing."""

import contextlib
import errno
import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.homes import churnhouse, copied, refused
from support.processes import check_published, refused_without_rights

from python_jobs.errors import JobError
from python_jobs.publishing import lookup, publish
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect

MEGABYTE = 2**20


@pytest.fixture
def disk(finished_home: Path, tmp_path: Path) -> Iterator[Path]:
    """Return a home on its own file system, with new data to ingest."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1g", "churnhouse-test", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only who may mount can make a small file system")
    try:
        home = copied(finished_home, mounted / "data")
        churnhouse(home, "generate", "--days", 3, "--append")
        yield home
    finally:
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def leave(home: Path, room: int) -> None:
    """Leave this many bytes free on the home's file system."""
    taken = shutil.disk_usage(home).used
    total = taken + room
    resize = ["mount", "-o", f"remount,size={total}", str(home.parent)]
    subprocess.run(resize, check=True, capture_output=True)


def test_full_disk_stops_the_build_which_succeeds_once_there_is_room(disk: Path):
    churnhouse(disk, "ingest")
    leave(disk, 64 * 1024)
    assert "has no room left: " in refused(disk, "build")
    check_published(disk)
    assert "published" in churnhouse(disk, "status").stdout
    leave(disk, 500 * MEGABYTE)
    churnhouse(disk, "daily")
    assert check_published(disk)["as_of_date"] == "2025-05-03"


@pytest.mark.parametrize("job", ["ingest", "train", "score"])
def test_full_disk_stops_a_job_with_one_line(disk: Path, job: str):
    leave(disk, 4096)
    assert "has no room left: " in refused(disk, job)
    check_published(disk)
    leave(disk, 4096)  # what the failed job removed is free again
    doctor = churnhouse(disk, "doctor", check=False)
    assert "MB left; the next run may need" in " ".join(doctor.stdout.split())
    assert doctor.returncode == 1
    leave(disk, 500 * MEGABYTE)
    churnhouse(disk, job)


def test_a_disk_that_is_full_leaves_no_half_publication(disk: Path):
    before = {path.name for path in (disk / "published").iterdir()}
    settings = Settings(home=disk)
    leave(disk, 2 * MEGABYTE)
    with (
        connect(settings) as connection,
        pytest.raises(JobError, match=r"could not be published: .* Next: make room"),
    ):
        publish.publish(connection, settings, now=datetime.now(UTC))
    assert {path.name for path in (disk / "published").iterdir()} == before
    check_published(disk)
    leave(disk, 500 * MEGABYTE)
    churnhouse(disk, "publish")
    assert check_published(disk)["version"] not in before


@pytest.mark.parametrize("job", ["ingest", "build", "publish"])
def test_file_size_limit_stops_a_job_with_one_line(home: Path, job: str):
    """Works without the right to mount: no file may exceed the size limit."""
    churnhouse(home, "generate", "--days", 3, "--append")
    if job == "build":
        churnhouse(home, "ingest")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = {"ingest": 20_000, "build": 200_000, "publish": 60_000}[job]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        line = refused(home, job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.strerror(errno.EFBIG) in line
    check_published(home)
    churnhouse(home, job)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only within the block."""
    before = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        yield
    finally:
        folder.chmod(before)


def test_read_only_home_is_named_and_can_still_be_read(home: Path):
    (home / "warehouse.lock").unlink()
    with read_only(home):
        line = refused_without_rights(home, "ingest")
        assert f"{home} cannot be written (Permission denied)" in line
        assert "Next: set CHURNHOUSE_HOME" in line
        assert "published" in churnhouse(home, "status").stdout
    churnhouse(home, "ingest")


def test_read_only_published_folder_is_named(home: Path):
    with read_only(home / "published"):
        line = refused_without_rights(home, "publish")
        assert "could not be published" in line and str(home / "published") in line
    before = check_published(home)["version"]
    churnhouse(home, "publish")
    assert check_published(home)["version"] > before


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
@pytest.mark.parametrize("name", ["lookup.sqlite", "churnhouse.duckdb", "model.onnx"])
def test_damaged_published_file_is_named_and_publish_repairs_it(home: Path, name: str, damage):
    path = (home / "published/current").resolve() / name
    whole = path.read_bytes()
    damage(path)
    line = refused(home, "status")
    assert f"{path} is missing or is not the file that was published" in line
    path.write_bytes(whole)
    assert "published" in churnhouse(home, "status").stdout


def test_publish_replaces_a_damaged_version(home: Path):
    flip(home / "published/current/lookup.sqlite")
    refused(home, "status")
    churnhouse(home, "publish")
    churnhouse(home, "status")
    check_published(home)


def test_a_damaged_manifest_is_refused(home: Path):
    truncate(home / "published/current/manifest.json")
    assert "manifest.json is damaged: it is no JSON" in refused(home, "status")


def test_a_flipped_byte_in_the_model_stops_scoring_and_publication(home: Path):
    (path,) = home.glob("models/*/model.onnx")
    whole = path.read_bytes()
    flip(path)
    for job in ("score", "publish"):
        assert str(path) in refused(home, job)
    check_published(home)
    path.write_bytes(whole)
    churnhouse(home, "score")


def lose_a_row(path: Path) -> None:
    """Delete one user from a store, which stays a valid database."""
    with contextlib.closing(sqlite3.connect(path)) as store:
        store.execute("delete from users where user_id = (select min(user_id) from users)")
        store.commit()


@pytest.mark.parametrize("damage", [truncate, lose_a_row])
def test_a_lookup_store_damaged_while_it_is_written_is_not_published(
    home: Path, monkeypatch, damage
):
    before = check_published(home)["version"]
    write = lookup.write

    def write_badly(connection, path: Path, *rest: object) -> tuple:
        rows = write(connection, path, *rest)
        damage(path)
        return rows

    settings = Settings(home=home)
    monkeypatch.setattr(lookup, "write", write_badly)
    with connect(settings) as connection:
        with pytest.raises(JobError, match="Next:"):
            publish.publish(connection, settings, now=datetime.now(UTC))
        assert check_published(home)["version"] == before
        monkeypatch.undo()
        publish.publish(connection, settings, now=datetime.now(UTC))
    assert check_published(home)["version"] > before
