"""dbt's parse of the project, which takes seconds, once for all builds of this process."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from python_jobs.warehouse import dbt
from python_jobs.warehouse.dbt import Dbt

_parse = Dbt.parse
_manifests: dict[Any, Any] = {}


@contextlib.contextmanager
def once() -> Iterator[None]:
    """Within the block, dbt gets the manifest of an earlier build."""
    with patch.object(Dbt, "parse", _parse_once):
        yield


def _parse_once(self: Dbt) -> Any:
    key = self._settings.target, dbt.PROJECT
    self._manifest = self._manifest or _manifests.get(key)
    _manifests[key] = _parse(self)
    return _manifests[key]
