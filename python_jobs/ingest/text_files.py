"""CSV and JSON files as text: their encoding, their header, and copies that DuckDB can read."""

import codecs
import csv
import gzip
import io
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

import duckdb

from python_jobs.errors import JobError
from python_jobs.ingest.batch import Batch, RawFile
from python_jobs.ingest.explain import explained, reading
from python_jobs.ingest.paths import listed
from python_jobs.ingest.sources import RawFiles

BUFFER = 30 * 2**20
"""Bytes of a line that DuckDB reads without being told to."""

LARGE_PACKED = 64 * 2**20

COPY = ".utf8"
"""Ending of copies that are made for DuckDB to read; they are not compressed."""


def opened(path: Path, compression: str) -> IO[bytes]:
    """Open a file for reading its bytes, unpacked."""
    return cast(IO[bytes], gzip.open(path, "rb") if compression == "gzip" else path.open("rb"))


def encoding_of(source: RawFiles, path: Path, compression: str) -> str:
    """Return a file's encoding: the declared one, or UTF-16 where its first bytes say so."""
    if source.encoding == "utf-8" and compression != "zstd":
        with opened(path, compression) as file:
            return utf_16(file.read(4)) or source.encoding
    return source.encoding


def utf_16(start: bytes) -> str | None:
    """Return the kind of UTF-16 that a file's first bytes show, with a mark or without."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    kinds = {(False, True): "utf-16-le", (True, False): "utf-16-be"}
    return kinds.get((start[:1] == b"\0", start[1:2] == b"\0"))


def write_packed(path: Path, content: bytes, compression: str) -> None:
    """Write bytes to a file, packed with gzip or not; the same bytes give the same file."""
    path.write_bytes(gzip.compress(content, mtime=0) if compression == "gzip" else content)


_numbers = itertools.count()


def readable(batch: Batch, file: RawFile, work: Path, is_careful: bool) -> Path:
    """Return the path of the file, or of a copy in UTF-8 with one kind of line ends."""
    kind, compression = batch.shape.format, batch.shape.compression
    if kind not in ("csv", "json"):
        return file.path
    with reading(file.name):
        encoding = encoding_of(batch.source, file.path, compression)
        is_utf8 = encoding in ("utf-8", "utf-8-sig")
        if is_utf8 and not (
            is_careful and kind == "csv" and _has_mixed_ends(file.path, compression)
        ):
            return file.path
        if compression == "zstd":
            raise JobError(
                f"{file.name} is {encoding} in zstd, which is not supported.",
                next_step="unpack it, or pack it with gzip.",
            )
        copy = work / f"{file.path.name}.{next(_numbers)}{COPY}"
        decoder = codecs.getincrementaldecoder(encoding)()
        with opened(file.path, compression) as raw, copy.open("wb") as text:
            held = ""
            while block := raw.read(2**20):
                decoded = held + decoder.decode(block)
                held = "\r" if decoded.endswith("\r") else ""
                text.write(decoded.removesuffix("\r").replace("\r\n", "\n").encode())
            text.write((held + decoder.decode(b"", final=True)).encode())
    return copy


def last_line_size(path: Path, compression: str) -> int:
    """Return the bytes after the last line break, or 0 if they are few for certain.

    DuckDB drops a last line that is longer than its buffer without a word. A large file packed
    with gzip is not unpacked for this.
    """
    size = path.stat().st_size
    if compression == "gzip":
        if size > LARGE_PACKED or _unpacked_size(path) <= BUFFER:
            return 0
        tail = 0
        with gzip.open(path, "rb") as file:
            while block := file.read(2**20):
                place = max(block.rfind(b"\n"), block.rfind(b"\r"))
                tail = tail + len(block) if place < 0 else len(block) - place - 1
        return tail
    if compression != "none" or size <= BUFFER:
        return 0
    with path.open("rb") as file:
        for start in range(size - 2**20, -(2**20), -(2**20)):
            file.seek(max(start, 0))
            block = file.read(2**20)
            place = max(block.rfind(b"\n"), block.rfind(b"\r"))
            if place >= 0:
                return size - max(start, 0) - place - 1
    return size


def _unpacked_size(path: Path) -> int:
    """Return the size that the end of a file packed with gzip tells, which is modulo 4 GiB."""
    with path.open("rb") as file:
        file.seek(-4, io.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def _has_mixed_ends(path: Path, compression: str) -> bool:
    """Return True if some lines of a file end in CRLF and others in LF."""
    if compression == "zstd":
        return False
    crlf = ends = 0
    with opened(path, compression) as raw:
        last = b""
        while block := raw.read(2**20):
            crlf += block.count(b"\r\n") + (last == b"\r" and block.startswith(b"\n"))
            ends += block.count(b"\n")
            last = block[-1:]
    return 0 < crlf < ends


def header(
    connection: duckdb.DuckDBPyConnection, source: RawFiles, file: RawFile, compression: str
) -> list[str]:
    """Return the column names of a CSV file; a repeated name gets its position appended."""
    if compression == "zstd":
        with explained(file):
            lines = zstd_lines(connection, file.path, 1)
        header = next(_parsed(source, lines), [])
    else:
        with reading(file.name):
            encoding = encoding_of(source, file.path, compression)
            encoding = "utf-8-sig" if encoding == "utf-8" else encoding
            with (
                opened(file.path, compression) as raw,
                io.TextIOWrapper(raw, encoding, errors="replace", newline="") as text,
            ):
                header = next(_parsed(source, text), [])
    if not header:
        raise JobError(
            f"{file.name} does not begin with a line of column names.",
            next_step="replace the file and run again; nothing was loaded.",
        )
    names: list[str] = []
    for position, name in enumerate(header, start=1):
        taken = not name or name.lower() in map(str.lower, names)
        names.append(f"{name}_{position}" if taken else name)
    return names


def zstd_lines(connection: duckdb.DuckDBPyConnection, path: Path, limit: int) -> list[str]:
    """Return the first lines of a text file that is packed with zstd."""
    scan = (
        f"read_csv({listed([path])}, columns = {{line: 'VARCHAR'}}, header = false, "
        "auto_detect = false, delim = '\x01', quote = '', escape = '', compression = 'zstd')"
    )
    rows = connection.execute(f"select line from {scan} limit {limit}").fetchall()
    return [str(row[0]) for row in rows]


def _parsed(source: RawFiles, lines: Iterable[str]) -> Iterator[list[str]]:
    if len(source.delimiter) > 1:
        return (
            [part.strip(source.quote) for part in line.rstrip("\r\n").split(source.delimiter)]
            for line in lines
        )
    csv.field_size_limit(2**30)
    return csv.reader(
        lines,
        delimiter=source.delimiter,
        quotechar=source.quote or None,
        quoting=0 if source.quote else 3,
    )
