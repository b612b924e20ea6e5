"""reproduce: the same bytes from the same raw files, or the name of what is missing."""

import json
from pathlib import Path

import pytest
from support.homes import churnhouse, refused

from python_jobs.errors import JobError
from python_jobs.files import replace_json, sha256_of
from python_jobs.operations.reproduce import check_files
from python_jobs.registry import store


@pytest.fixture
def version(home: Path) -> str:
    return store.versions(home / "models")[-1]


def test_a_version_is_trained_again_to_the_same_bytes(home, version):
    before = sorted(home.rglob("*"))
    (home / ".reproduce/raw").mkdir(parents=True)  # as a killed run leaves it
    done = churnhouse(home, "reproduce", version)
    assert f"{version} is reproduced: the same bytes." in done.stdout
    kept = [path for path in home.rglob("*") if not path.name.startswith("warehouse.")]
    assert kept == [path for path in kept if path in before], "nothing is left behind"


def test_another_model_in_the_version_is_no_reproduction(home, version):
    """As after a change of the domain: the data differ, and that is said."""
    folder = home / "models" / version
    listed = json.loads((folder / "raw_files.json").read_text())
    listed["files"] = listed["files"][:-20]
    replace_json(folder / "raw_files.json", listed)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["raw_files.json"] = sha256_of(folder / "raw_files.json")
    manifest["libraries"]["numpy"] = "1.0"
    replace_json(folder / "manifest.json", manifest)
    done = churnhouse(home, "reproduce", version, check=False)
    assert done.returncode == 1 and "numpy 1.0, now " in done.stdout
    assert "Not reproduced: the training data differs" in done.stderr


def test_files_that_are_missing_or_changed_are_named(home, version):
    files = sorted((home / "raw/events").glob("*.parquet"))
    files[0].unlink()
    with files[1].open("ab") as file:
        file.write(b"!")
    line = refused(home, "reproduce", version)
    assert f"events/{files[0].name} is missing, events/{files[1].name} has changed." in line


def test_many_missing_files_are_counted(tmp_path):
    files = [{"name": f"{n}.csv", "sha256": "0"} for n in range(5)]
    with pytest.raises(JobError, match=r"0.csv is missing, .* 2.csv is missing and 2 more\."):
        check_files("v", files, tmp_path)


def test_a_version_that_lists_no_files_is_refused(home, version):
    manifest = home / "models" / version / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["files"]["raw_files.json"]
    replace_json(manifest, content)
    assert "before versions listed their raw files" in refused(home, "reproduce", version)
