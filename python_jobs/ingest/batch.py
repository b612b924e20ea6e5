"""Raw files, and batches of those that are read at once."""

from dataclasses import dataclass, field
from pathlib import Path

from python_jobs.ingest.sources import RawFiles

FILE_COLUMN = "__churnhouse_file"
"""The column of raw_rows with the path that a row was read from."""
JSON_COLUMN = "__churnhouse_json"
"""The column of raw_rows with a whole JSON object."""


@dataclass(frozen=True)
class RawFile:
    """One file on disk: the canonical table it fills, its name in the raw folder, its size."""

    table: str
    path: Path
    name: str
    size: int
    modified_ns: int
    sha256: str = ""


@dataclass(frozen=True)
class Shape:
    """What files must share to be read at once: format, compression, columns, keys in the path."""

    format: str
    compression: str
    columns: tuple[tuple[str, str], ...]
    hive_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Files of one source and one shape, in the order of loading."""

    source: RawFiles
    shape: Shape
    files: list[RawFile]


@dataclass
class Loaded:
    """A batch in the temporary table `raw_rows`: the first row and the rows of each file.

    `paths`: where each was read from, a copy perhaps; empty where that is the file itself.
    """

    first_rows: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


def names(batch: Batch) -> str:
    """Return the name of a batch's only file, or how many files there are with the first name."""
    first, others = batch.files[0].name, len(batch.files) - 1
    return f"{first} and {others} more" if others else first


def hive(file: RawFile) -> dict[str, str]:
    """Return the keys in the folders of a path: `day=2025-01-01/a.csv` has day."""
    pairs = (part.split("=", 1) for part in Path(file.name).parts[:-1] if "=" in part)
    return {key: value for key, value in pairs}
