"""One clear line for what DuckDB says about a file."""

import contextlib
import csv
import re
import textwrap
import zlib
from collections.abc import Iterator

import duckdb

from python_jobs.errors import JobError
from python_jobs.ingest.batch import RawFile

UNCHANGED = "correct or replace the file and run again; nothing was loaded."
CAUSES = {
    r"Expected Number of Columns: (\d+) Found: (\d+)": "{1} columns instead of {0}",
    r"unterminated quote": "a quote is opened and not closed",
    r"[Ii]nvalid unicode|not utf-8 encoded": "it is not UTF-8 text",
    r"[Mm]aximum line size of (\d+)": "the line is longer than {0} bytes",
    r"maximum_object_size.*?of (\d+)": "an object is longer than {0} bytes",
    r"state machine reached an invalid state": "line ends or quotes are mixed",
}
NEXT = {
    "it is not UTF-8 text": "add its `encoding` to the source in domain.yml, perhaps cp1252.",
    "a quote is opened and not closed": "correct the line, or set `quote` in domain.yml.",
}


def explain(error: duckdb.Error, name: str) -> JobError:
    """Return the JobError for a file that DuckDB cannot read: file, line, cause and a sample."""
    said = str(error)
    line = re.search(r"CSV Error on Line: (\d+)|[Ll]ine (\d+)", said)
    sample = re.search(r"Original Line: ?(.*)", said)
    for pattern, cause in CAUSES.items():
        if found := re.search(pattern, said):
            what = cause.format(*found.groups())
            where = f", line {line[1] or line[2]}" if line else ""
            shown = textwrap.shorten(sample[1], 80, placeholder=" ...") if sample else ""
            return JobError(
                f"{name}{where}: {what}" + (f": {shown!r}." if shown else "."),
                next_step=NEXT.get(what, UNCHANGED),
            )
    return JobError(f"{name} cannot be loaded: {in_one_line(error)}.", next_step=UNCHANGED)


def in_one_line(error: duckdb.Error) -> str:
    """Return DuckDB's error message in one line, without its hints and quoted rows."""
    said = re.split(r"\n\s*(?:Possible|LINE \d|file =)", str(error), maxsplit=1)[0]
    return textwrap.shorten(said, 240, placeholder=" ...").rstrip(".")


@contextlib.contextmanager
def explained(file: RawFile) -> Iterator[None]:
    """Turn an error of DuckDB about a file into one line."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise explain(error, file.name) from None


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn an error of the system about a file into one line."""
    try:
        yield
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        if isinstance(error, UnicodeError):
            why = f"it is not {getattr(error, 'encoding', 'text')} text"
        raise JobError(
            f"{name} cannot be read ({why}).",
            next_step="replace the file and run again; nothing was loaded.",
        ) from None
