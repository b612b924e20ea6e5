"""Files: their hash, writing them so that they survive a crash, and their names in SQL."""

import errno
import hashlib
import json
import os
import re
import reprlib
import stat
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from python_jobs.errors import JobError

LARGEST_MANIFEST = 64 * 2**20
"""Bytes, also of other small JSON files."""


def check_name(path: Path) -> Path:
    """Return the path unchanged. Raises JobError if DuckDB cannot take its name as text."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise JobError(
            f"The name {str(path)!a} cannot be read as UTF-8.",
            next_step="rename it, or set PYTHONUTF8=1 if only this locale cannot read it.",
        ) from None
    return path


def sha256_of(path: Path) -> str:
    """Return the sha256 of a regular file's content, in hexadecimal. Raises OSError for others."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON as UTF-8: readable, keys in their given order, NaN refused."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    path.write_text(text, encoding="utf-8")


def replace_json(path: Path, content: Any) -> None:
    """Replace a JSON file durably: readers see the old file or the new one, also after a crash."""
    temporary = path.with_name(f"{path.name}.new")
    write_json(temporary, content)
    fsync(temporary)
    temporary.replace(path)
    fsync(path.parent)


def opened(path: Path) -> BufferedReader:
    """Return an open regular file. Raises OSError for other files: a pipe would never answer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most so many bytes.

    Raises OSError for other files: a device or a huge file would fill the memory.
    """
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, "it is too large", str(path))
    return content


def text_of(path: Path, *, next_step: str) -> str:
    """Return a file's UTF-8 text. Raises JobError, with this next step, if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise JobError(f"{path} cannot be read ({error.strerror}).", next_step=next_step) from None
    except UnicodeDecodeError:
        raise JobError(f"{path} is not UTF-8 text.", next_step="save it as UTF-8.") from None


def read_json(
    path: Path, kind: Any, *, next_step: str, most: int = LARGEST_MANIFEST
) -> dict[str, Any]:
    """Return the object in a JSON file; see json_of.

    Raises JobError, with this next step, if the file cannot be read or is damaged.
    """
    try:
        return json_of(path, kind, most)
    except OSError as error:
        raise JobError(f"{path} cannot be read ({error.strerror}).", next_step=next_step) from None
    except ValueError as error:
        raise JobError(f"{path} is damaged: {error}.", next_step=next_step) from None


def json_of(path: Path, kind: Any, most: int = LARGEST_MANIFEST) -> dict[str, Any]:
    """Return the object in a JSON file of at most so many bytes.

    `kind`: its type, such as a TypedDict; members that it does not name may be anything. Raises
    OSError if the file cannot be read, and ValueError, which says what is wrong, if it is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(read_bounded(path, most))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:
        raise ValueError("it is no JSON") from None
    try:
        _adapter(kind).validate_python(content, strict=True)
    except ValidationError as error:
        raise ValueError(_mistake(error)) from None
    return content


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _mistake(error: ValidationError) -> str:
    """Return the first mistake in words, with the value that was found."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    where = where if where.isprintable() else ascii(where)
    if first["type"] == "missing":
        return f"it lacks {where}"
    if not where:
        return "it is no object"
    return f"{where} is {reprlib.repr(first['input'])} ({first['msg']})"


def sequence_of(folder: Path) -> int:
    """Return the number of a version, from its manifest; 0 for one of an earlier release.

    Versions are ordered by it, never by time: a clock may once have been ahead. A damaged version
    has 0 too, which makes it the oldest.
    """
    try:
        content = json.loads(read_bounded(folder / "manifest.json", LARGEST_MANIFEST))
        return int(content["sequence"])
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return 0


def sql_text(value: object) -> str:
    """Return a value as a SQL text literal, quotes included."""
    return "'" + str(value).replace("'", "''") + "'"


FORMULA = "^([=+@\t\r\n\uff1d\uff0b\uff0d\uff20]|-[0-9.]*[^0-9.])"
"""What some spreadsheet reads as a formula, also in the wide characters of Japanese.

A negative number is none. DuckDB and Python read it the same way.
"""


def sql_name(name: str) -> str:
    """Return a name as a SQL identifier, quotes included."""
    return '"' + name.replace('"', '""') + '"'


def harmless(value: object) -> object:
    """Return a value for CSV: text that looks like a formula gets an apostrophe."""
    if isinstance(value, str) and re.match(FORMULA, value):
        return f"'{value}"
    return value
