"""Raw files in object storage: a local mirror of what is new, for one load.

fsspec reads s3://, gs://, az:// and others; the library of each comes with an extra.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from python_jobs.errors import JobError

EXTRAS = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
Progress = Callable[[int, int], None]


def is_url(place: object) -> bool:
    """Return True if a place is a URL, not a path."""
    return "://" in str(place)


@contextmanager
def mirror(
    place: str,
    connection: duckdb.DuckDBPyConnection | None = None,
    *,
    whole: bool = False,
    progress: Progress | None = None,
) -> Iterator[Path]:
    """Yield a local folder with the files below a URL; for a local path, the path itself.

    Files that `connection` knows by name, size and time are not downloaded: an empty file of their
    size and time stands for them, by which ingest knows them too. `whole` downloads all. Raises
    JobError if the storage cannot be read.
    """
    if not is_url(place):
        yield Path(place)
        return
    storage, root = _storage(place)
    known = set() if whole or connection is None else _known(connection)
    with tempfile.TemporaryDirectory(prefix="churnhouse-mirror-") as work:
        try:
            found = storage.find(root, detail=True)
            for number, (key, facts) in enumerate(sorted(found.items()), start=1):
                name = key.removeprefix(root).lstrip("/") or Path(key).name
                size, modified = int(facts["size"]), _modified(facts)
                path = Path(work) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if (name, size, modified) in known:
                    path.touch()
                    os.truncate(path, size)
                else:
                    storage.get_file(key, str(path))
                os.utime(path, ns=(modified, modified))
                if progress:
                    progress(number, len(found))
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise JobError(
                f"{place} cannot be read ({said or type(error).__name__}).",
                next_step="see that the address and the credentials are right; nothing was loaded.",
            ) from None
        if not found:
            raise JobError(f"There is no file at {place}.", next_step="correct the address.")
        yield Path(work)


def _storage(place: str) -> tuple[Any, str]:
    scheme = place.split("://", maxsplit=1)[0]
    extra = EXTRAS.get(scheme, "s3")
    install = f"install it: pip install 'churnhouse[{extra}]'."
    try:
        import fsspec

        storage, root = fsspec.core.url_to_fs(place.rstrip("/"))
    except ImportError:
        raise JobError(
            f"The library for {scheme}:// is not installed.", next_step=install
        ) from None
    except ValueError as error:
        raise JobError(f"{place}: {error}.", next_step="correct the address.") from None
    return storage, str(root)


def _known(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, int, int]]:
    there = connection.execute(
        "select 1 from duckdb_tables() where schema_name = 'raw' and table_name = 'files'"
    ).fetchall()
    if not there:
        return set()
    return set(connection.execute("select name, size, modified_ns from raw.files").fetchall())


def _modified(facts: dict[str, Any]) -> int:
    """Return when an object was written, in nanoseconds; 0 if the storage does not say."""
    for key in ("LastModified", "last_modified", "mtime", "updated", "created"):
        value = facts.get(key)
        if isinstance(value, datetime):
            return int(value.timestamp()) * 10**9
        if isinstance(value, int | float):
            return int(value) * 10**9
    return 0
