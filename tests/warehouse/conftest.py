"""A fresh tiny warehouse a test."""

from pathlib import Path

import pytest
from tiny import Tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """An empty warehouse of the tiny domain."""
    return Tiny(tmp_path / "data")
