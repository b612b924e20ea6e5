"""Remove persons from the files of a home that the product did not write."""

import contextlib
import gzip
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import fsync, sha256_of, sql_text
from python_jobs.ingest import raw_files, rewrite
from python_jobs.ingest.batch import RawFile
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.persons import KEY_FILE
from python_jobs.ingest.readers import format_of
from python_jobs.ingest.sources import RawFiles
from python_jobs.publication.contacts import SUFFIX
from python_jobs.settings import Settings

Declared = tuple[RawFiles, RawFile]
OURS = {"raw", "truth", "models", "published", "contacts", "dbt", "spark", KEY_FILE}
"""What of a home the product or the removal of the tables looks after."""
OWN_NAME = re.compile(
    r"(approvals|production)\.json|production\.lock|effects|[0-9a-f]{64}" + re.escape(SUFFIX)
)
"""Names of our files in the folders of publications, models and contacts."""
PACKED = (
    ".parquet",
    ".duckdb",
    ".bak",
    ".gz",
    ".tgz",
    ".zst",
    ".xz",
    ".bz2",
    ".zip",
    ".xlsx",
    ".ods",
)
NAMED = 20
"""Most files that are named one by one."""
BLOCK = 2**20
LONGEST = 1024
"""Bytes of an id that is found also where two blocks meet."""


def raw_files_of(settings: Settings, domain: Domain) -> list[Declared]:
    """Return the domain's files below the home, exported ones included, as ingest finds them.

    Raises JobError for a file that ingest could not read.
    """
    files = []
    for folder in (settings.raw, settings.raw / domain.name):
        files += raw_files.find(folder, domain.files, is_needed=False).files
    return files


def remove(
    settings: Settings,
    domain: Domain,
    connection: duckdb.DuckDBPyConnection,
    files: list[Declared],
    ids: list[str],
) -> tuple[dict[str, int], list[str]]:
    """Remove the persons' rows; return how many by kind of file, and a line for what is left."""
    for leftover in (p for top in (settings.raw, settings.truth) for p in top.rglob(".*.partial")):
        leftover.unlink()
    removed = {"raw files": 0, "other files": 0}
    left = []
    with duckdb.connect(config={"threads": 1}) as reader:  # row by row, in each file's order
        for source, file in files:
            try:
                removed["raw files"] += _declared(reader, connection, domain, source, file, ids)
            except OSError as error:
                left.append(
                    f"{_shown(file.path)} cannot be written ({error.strerror}): remove the "
                    "person's rows there"
                )
        known = {file.path for _, file in files}
        for path in _others(settings, known):
            try:
                removed["other files"] += _undeclared(reader, domain, path, ids)
            except OSError as error:
                left.append(f"{_shown(path)} cannot be written ({error.strerror}): see to it")
    pattern, naming = pattern_of(ids), []
    for path in _others(settings, known):
        try:
            if names(path, pattern):
                naming.append(f"{_shown(path)} names the person: remove that, or the file")
        except Exception as error:  # archives fail in many ways, and all must be told
            why = type(error).__name__ if not str(error) else str(error).splitlines()[0]
            naming.append(f"{_shown(path)} cannot be searched ({why}): see to it")
    left += naming[:NAMED]
    if len(naming) > NAMED:
        left.append(f"{len(naming) - NAMED:,} more files are to be seen to")
    return removed, left


def _declared(
    reader: duckdb.DuckDBPyConnection,
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    source: RawFiles,
    file: RawFile,
    ids: list[str],
) -> int:
    """Rewrite a raw file without the rows of the ids, and store its new hash in the warehouse."""
    before = sha256_of(file.path)
    removed, partial = rewrite.without(reader, domain, source, file, ids)
    if partial:
        stat = partial.stat()
        new = [sha256_of(partial), stat.st_size, stat.st_mtime_ns]
        connection.execute(
            "update raw.files set sha256 = ?, size = ?, modified_ns = ? "
            "where table_name = ? and sha256 = ?",
            [*new, file.table, before],
        )
        _replace(partial, file.path)  # last, so that an interrupted removal can be repeated
    return removed


def _undeclared(
    reader: duckdb.DuckDBPyConnection, domain: Domain, path: Path, ids: list[str]
) -> int:
    """Do the same for a file that the domain does not declare, such as a copy or an old export.

    The first source whose columns it has says whose row it is, else a column such as user_id.
    """
    kind = format_of(path.name)
    if kind is None or kind[0] == "excel":
        return 0
    size = path.stat().st_size
    for table, sources in domain.files.by_table().items():
        for source in sources:
            if not source.path or source.reader or source.format not in (None, kind[0]):
                continue
            with contextlib.suppress(JobError, duckdb.Error):
                file = RawFile(table, path, path.name, size, 0)
                removed, partial = rewrite.without(reader, domain, source, file, ids)
                if partial:
                    _replace(partial, path)
                    return removed
    with contextlib.suppress(duckdb.Error):
        removed, partial = rewrite.undeclared(reader, path, ids)
        if partial:
            _replace(partial, path)
        return removed
    return 0


def _replace(partial: Path, path: Path) -> None:
    """Put the new file in the place of the old one, or of the file that a link names."""
    target = path.resolve()
    shutil.copymode(target, partial)
    fsync(partial)
    partial.replace(target)
    fsync(target.parent)


def _others(settings: Settings, known: set[Path]) -> list[Path]:
    """Return the files of the home that neither the domain declares nor the product wrote."""
    warehouse = settings.warehouse.name
    own = {warehouse, f"{warehouse}.wal", f"{warehouse}.tmp", "warehouse.lock"}
    paths = [*settings.raw.rglob("*"), *settings.truth.rglob("*")]
    for top in settings.home.iterdir():
        if top.name not in OURS | own:
            paths += [top, *top.rglob("*")] if top.is_dir() else [top]
    for folder in (settings.published, settings.models, settings.contacts):
        paths += _strange(folder)
    return sorted(path for path in paths if path.is_file() and path not in known)


def _strange(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder of the product and is not its own."""
    for top in folder.iterdir() if folder.is_dir() else ():
        if top.is_symlink() or top.name.startswith(".") or OWN_NAME.fullmatch(top.name):
            continue
        if not top.is_dir():
            yield top
        elif not (top / "manifest.json").exists():
            yield from top.rglob("*")


def pattern_of(ids: list[str]) -> str:
    """Return what finds an id where it stands for itself, not within a longer word or number.

    Both Python and DuckDB read it.
    """
    words = "|".join(re.escape(user_id) for user_id in ids)
    return rf"(^|[^0-9A-Za-z_])({words})($|[^0-9A-Za-z_])"


def names(path: Path, pattern: str) -> bool:
    """Return whether an id stands in a file, or in its name; packed files are unpacked.

    Raises any kind of error for a file that cannot be searched, such as a copy of a warehouse.
    """
    wanted = re.compile(pattern.encode(errors="surrogateescape"))
    if wanted.search(path.name.encode(errors="surrogateescape")):
        return True
    with path.open("rb") as file:
        if file.read(12)[8:] == b"DUCK":
            raise ValueError("it is a copy of a warehouse")
    return any(wanted.search(block) for block in _contents(path))


def _check_member(name: str) -> None:
    """Raise ValueError for a member of an archive whose content is packed once more."""
    if name.lower().endswith(PACKED):
        raise ValueError(f"it holds {name}, which is packed")


def _contents(path: Path) -> Iterator[bytes]:
    """Yield what is in a file, block by block; a block begins with the end of the one before."""
    if path.suffix in (".parquet", ".zst"):
        rows = sql_text(path)
        if path.suffix == ".zst":
            rows = (
                f"read_csv({rows}, compression = 'zstd', header = false, delim = '\x01',"
                " quote = '', escape = '', columns = {'line': 'VARCHAR'}, ignore_errors = true)"
            )
        with duckdb.connect() as reader:
            result = reader.execute(f"select cast(t as varchar) from {rows} as t")
            while some := result.fetchmany(10_000):
                yield "\n".join(row[0] for row in some if row[0]).encode()
        return
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as packed_files:
            for entry in packed_files:
                yield entry.name.encode(errors="surrogateescape")
                if not entry.isreg():
                    continue
                _check_member(entry.name)
                if content := packed_files.extractfile(entry):
                    yield from _blocks(content)
        return
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as unpacked:
            yield from _blocks(cast(IO[bytes], unpacked))
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                if path.suffix != ".xlsx":
                    _check_member(name)
                with packed.open(name) as member:
                    yield from _blocks(member)
    with path.open("rb") as file:
        yield from _blocks(file)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    held = b""
    while block := file.read(BLOCK):
        yield held + block
        held = block[-LONGEST:]


def _shown(path: Path) -> str:
    target = path.resolve()
    return f"{path} (a link to {target})" if path.is_symlink() else str(path)
