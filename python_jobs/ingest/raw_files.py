"""Raw files: find those that a domain declares, and tell new ones from known ones."""

import fnmatch
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sha256_of
from python_jobs.ingest.batch import RawFile
from python_jobs.ingest.explain import reading
from python_jobs.ingest.readers import format_of
from python_jobs.ingest.sources import Files, RawFiles

NAMED = 20
"""Most files that are named one by one where they are not read."""


@dataclass
class Found:
    """The files of a domain with their sources, users before events, and what is not read."""

    files: list[tuple[RawFiles, RawFile]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find(folder: Path, files: Files, *, is_needed: bool = True) -> Found:
    """Return the readable files below `folder`, and a note for each other one that matches.

    The first source of a table whose path matches a file reads it. Raises JobError where a table
    other than treatments and identities has no file at all, but not with `is_needed` False.
    """
    if not folder.is_dir() and is_needed:
        raise JobError(
            f"The raw folder {folder} does not exist.",
            next_step="name the folder with --raw; for the demo, `churnhouse generate` makes it.",
        )
    found = Found()
    unread: dict[str, str] = {}
    readable: set[str] = set()
    for table, sources in files.by_table().items():
        taken: set[str] = set()
        for source in (source for source in sources if source.path):
            for name, path in _matching(folder, str(source.path)):
                if name in taken or ("**" in str(source.path) and path.is_dir()):
                    continue
                if why := _unreadable(path, name, source):
                    unread[name] = why
                    continue
                with reading(name):
                    status = path.stat()
                taken.add(name)
                file = RawFile(table, path, name, status.st_size, status.st_mtime_ns)
                found.files.append((source, file))
        readable |= taken
        places = [source.path for source in sources if source.path]
        has_files = table in ("users", "events") and len(places) == len(sources) > 0
        if is_needed and has_files and not taken:
            why = f" ({next(iter(unread.values()))})" if len(unread) == 1 else ""
            raise JobError(
                f"No readable file for {table} at {folder / str(places[0])}{why}.",
                next_step="put the files there, or name another folder with --raw.",
            )
    found.notes = _notes({name: why for name, why in unread.items() if name not in readable})
    return found


def _matching(folder: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    """Yield the names and paths that match, sorted by name; `**` stands for any folders."""
    parts = pattern.removesuffix("/**") + "/**/*" if pattern.endswith("/**") else pattern
    if pattern == "**":
        parts = "**/*"
    wanted = parts.split("/")
    names = sorted(_walk(str(folder), "", wanted))
    for name in names:
        yield name, folder / name


def _walk(folder: str, name: str, wanted: list[str]) -> Iterator[str]:
    """Yield the names below a folder that match the parts of a pattern. Links to folders count."""
    first, rest = wanted[0], wanted[1:]
    if first == "**":
        yield from _walk(folder, name, rest)
    try:
        entries = list(os.scandir(Path(folder, name)))
    except OSError:
        return
    for entry in entries:
        below = f"{name}/{entry.name}" if name else entry.name
        if first == "**":
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder, below, wanted)
        elif fnmatch.fnmatchcase(entry.name, first):
            if not rest:
                yield below
            elif entry.is_dir():
                yield from _walk(folder, below, rest)


def _unreadable(path: Path, name: str, source: RawFiles) -> str | None:
    """Return why a file is not read; None if it is. Raises JobError for a damaged one."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    by_ending = source.format or format_of(name)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if by_ending and error.strerror:
            raise JobError(
                f"{name} cannot be read ({error.strerror}).",
                next_step="replace the file and run again; nothing was loaded.",
            ) from None
        return str(error.strerror)
    kinds = {
        stat.S_IFDIR: 'a folder; a path with "**" reads what is in it',
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    if why := kinds.get(stat.S_IFMT(mode)):
        if stat.S_ISDIR(mode) and format_of(name):
            raise JobError(
                f"{name} cannot be read (Is a directory).",
                next_step="replace the file and run again; nothing was loaded.",
            )
        return f"it is {why}"
    if by_ending is None:
        ending = Path(name).suffix or "nothing"
        return f"files ending in {ending} are read only where the source has a `format`"
    return None


def _notes(unread: dict[str, str]) -> list[str]:
    """Return one note for each unread file, up to a limit."""
    notes = [f"{_printable(name)} was not read: {why}" for name, why in sorted(unread.items())]
    more = len(notes) - NAMED
    return [*notes[:NAMED], *([f"{more} more files were not read"] if more > 0 else [])]


def _printable(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def new_files(
    connection: duckdb.DuckDBPyConnection,
    files: list[tuple[RawFiles, RawFile]],
    *,
    snapshots: frozenset[str] = frozenset(),
) -> list[tuple[RawFiles, RawFile]]:
    """Return the files whose content was never loaded, with their hashes.

    A file with known name, size and modification time counts as unchanged; others are hashed. A
    changed file under a known name raises JobError, but not in a table of `snapshots`: there the
    new files are one delivery, or all files if one of them changed in place.
    """
    rows = connection.execute(
        "select table_name, name, sha256, size, modified_ns from raw.files order by file_id"
    ).fetchall()
    stats = {(table, name): (size, modified) for table, name, _, size, modified in rows}
    by_name = {(table, name): sha256 for table, name, sha256, _, _ in rows}
    by_content = {(table, sha256) for table, _, sha256, _, _ in rows}
    new = []
    changed: set[str] = set()
    for source, file in files:
        key = (file.table, file.name)
        if stats.get(key) == (file.size, file.modified_ns):
            continue
        with reading(file.name):
            sha256 = sha256_of(file.path)
        is_snapshot = file.table in snapshots
        if by_name.get(key, sha256) != sha256:
            if not is_snapshot:
                raise JobError(
                    f"{file.name} has changed since it was loaded.",
                    next_step="restore it, and land corrections in a file of a new name; "
                    "for a full export, set `delivery: full_snapshot` in domain.yml.",
                )
            changed.add(file.table)
        if (file.table, sha256) not in by_content or (is_snapshot and by_name.get(key) != sha256):
            by_content.add((file.table, sha256))
            new.append((source, replace(file, sha256=sha256)))
    if changed:  # a snapshot that is written in place: unchanged parts belong to it
        with_hash = {(file.table, file.name): (source, file) for source, file in new}
        new = [
            with_hash.get(
                (f.table, f.name), (s, replace(f, sha256=by_name.get((f.table, f.name), "")))
            )
            for s, f in files
            if f.table in changed or (f.table, f.name) in with_hash
        ]
    return new


def check_unchanged(files: list[RawFile]) -> None:
    """Raise JobError for a file that changed since `find`: its last rows may be cut off."""
    for file in files:
        with reading(file.name):
            status = file.path.stat()
        if (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns):
            raise JobError(
                f"{file.name} changed while it was read; nothing was loaded.",
                next_step="run again when the file is complete; let the sender write under another "
                "name and rename it at the end.",
            )
