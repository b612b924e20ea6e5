import shutil

import pytest

from python_jobs.settings import PROJECT


@pytest.fixture
def newer_wins(tmp_path, monkeypatch):
    """Let a new model of equal quality replace the one in production at any age."""
    folder = tmp_path / "domains/elearning"
    shutil.copytree(PROJECT / "domains/elearning", folder)
    with (folder / "domain.yml").open("a", encoding="utf-8") as settings:
        settings.write("\nmodels: {replace_after_days: 0}\n")
    monkeypatch.setenv("CHURNHOUSE_DOMAINS", str(folder.parent))
