"""What tests of this folder share."""

import pytest


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working folder with raw/, and domains below it."""
    monkeypatch.setenv("CHURNHOUSE_DOMAINS", str(tmp_path / "domains"))
    (tmp_path / "domains").mkdir()
    (tmp_path / "raw").mkdir()
    return tmp_path
