"""The wheel alone runs the product, installed elsewhere and started in an empty folder.

The wheel goes into a new environment, where a .pth file adds this environment's packages. Python
does not read the .pth files among those packages, so this checkout's editable install stays out; a
check of where the code was imported from confirms it.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from zipfile import ZipFile

import duckdb
import pytest
from support.homes import PROJECT

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
PARTS = ("dbt_project.yml", "profiles.yml", "domains", "macros", "models", "seeds")
PARTS += ("tests/gates", "tests/generic")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return this checkout's wheel, built by the locked setuptools without a package index.

    A fake leftover of an earlier build, a deleted model, must not get into it.
    """
    left = PROJECT / "build/lib/python_jobs/project/models/left_behind.sql"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("select 1")
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    run([*PIP, "wheel", *options, str(PROJECT)], folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin folder of an environment with the wheel and nothing of the checkout.

    It lies in another git repository, as environments often do.
    """
    folder = tmp_path_factory.mktemp("environment") / "venv"
    git = ["git", "-C", folder.parent, "-c", "user.name=a", "-c", "user.email=a@example.com"]
    run([*git, "init", "--quiet"], folder.parent)
    run([*git, "commit", "--quiet", "--allow-empty", "--message", "Theirs"], folder.parent)
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder.parent)
    python = folder / "bin/python"
    run([*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = "import python_jobs, api; print(python_jobs.__file__, api.__file__)"
    imported = run([python, "-c", where], folder)
    assert imported.count(str(packages)) == 2
    return python.parent


def run(command: list, folder: Path) -> str:
    """Run in a folder without the caller's settings; return the output."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        command, cwd=folder, env=kept | {"COLUMNS": "80"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_contains_every_file_of_the_project(wheel: Path):
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PARTS]
    listed = [name for name in run(git, PROJECT).splitlines() if (PROJECT / name).exists()]
    prefix = "python_jobs/project/"
    with ZipFile(wheel) as archive:
        carried = [name for name in archive.namelist() if name.startswith(prefix)]
        assert {name.removeprefix(prefix) for name in carried} == set(listed)
        for name in listed:
            assert archive.read(prefix + name) == (PROJECT / name).read_bytes()
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert wheel.name == f"churnhouse-{version}-py3-none-any.whl"


def test_main_job_runs_from_an_empty_folder(binaries: Path, tmp_path: Path):
    churnhouse = binaries / "churnhouse"
    said = run([churnhouse, "run", "--users", "200", "--seed", "8"], tmp_path)
    assert "publish" in said
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert "200" in run([churnhouse, "status"], tmp_path)
    (model,) = tmp_path.glob("data/models/*/manifest.json")
    assert json.loads(model.read_text())["git_commit"] is None
    published = tmp_path / "data/published/current/churnhouse.duckdb"
    with duckdb.connect(str(published), read_only=True) as connection:
        query = "select count(*), count(churn_risk) from churn_predictions_latest"
        assert connection.execute(query).fetchone() == (200, 200)
