"""Options that several subcommands take, and the parsers that name a value they refuse."""

import getpass
import math
import os
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from python_jobs.errors import JobError
from python_jobs.files import text_of


def day(text: str | date) -> date:
    """Return a date from typed text; a default date is returned unchanged."""
    try:
        return text if isinstance(text, date) else date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date like 2025-03-01") from None


def user_ids(user_id: str | None, file: Path | None) -> list[str]:
    """Return the ids of an argument or of a file's lines (`-` for standard input), each once."""
    if (user_id is None) == (file is None):
        raise typer.BadParameter("give one id, or --from-file FILE with one id per line")
    if file is None:
        return [user_id or ""]
    source = Path("/dev/stdin") if str(file) == "-" else file
    lines = text_of(source, next_step="name a file of ids.").removeprefix("\ufeff").splitlines()
    ids = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not ids:
        raise JobError(f"{file} names nobody.", next_step="put one id on each line.")
    return ids


def operating_user() -> str:
    """Return the name of the user who runs this, or their number where they have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def whole_number(least: int, most: int | None = None) -> Callable[[str | int], int]:
    """Return a parser of whole numbers that names the value it refuses."""
    bounds = f"of {least} or more" if most is None else f"from {least} to {most}"

    def parse(text: str | int) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise typer.BadParameter(f"{str(text)!r} is no whole number {bounds}")
        return number

    return parse


def seconds(text: str | float) -> float:
    """Return a finite number of seconds, 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise typer.BadParameter(f"{str(text)!r} is no number of seconds, 0 or more")
    return number


def money(text: str | float) -> float:
    """Return a finite amount above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise typer.BadParameter(f"{str(text)!r} is no amount above 0")
    return number


def share(text: str | float) -> float:
    """Return a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise typer.BadParameter(f"{str(text)!r} is no number from 0 to 1")
    return number


def one_of(*known: str) -> Callable[[str], str]:
    """Return a parser that takes one of these words."""

    def parse(text: str) -> str:
        if text not in known:
            raise typer.BadParameter(f"{text!r} is none of {', '.join(known)}")
        return text

    return parse


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """Return NAME=VALUE texts as a dict."""
    for text in texts:
        if "=" not in text or text.startswith("="):
            raise typer.BadParameter(f"{text!r} is not like plan=premium")
    return dict(text.split("=", 1) for text in texts)


DomainName = Annotated[
    str, typer.Option("--domain", help="Whose data this is: a folder in ./domains, or shipped.")
]
RawFolder = Annotated[
    str | None,
    typer.Option("--raw", help="Folder of the raw files, or a URL, s3://... [default: HOME/raw]"),
]
Users = Annotated[
    int,
    typer.Option(parser=whole_number(1), metavar="N", help="Users who have signed up by day 120."),
]
Days = Annotated[int, typer.Option(parser=whole_number(1), metavar="N", help="Days to generate.")]
# 2**32 - 1 is the largest seed that scikit-learn accepts.
Seed = Annotated[
    int,
    typer.Option(
        parser=whole_number(0, 2**32 - 1), metavar="N", help="The same seed gives the same result."
    ),
]
DecidedBy = Annotated[str, typer.Option("--by", help="Who decides.")]
DecidedWhy = Annotated[str, typer.Option("--note", help="Why.")]
TimeBudget = Annotated[
    float | None,
    typer.Option(
        "--time-budget",
        parser=seconds,
        metavar="N",
        help="Seconds of search; default: CHURNHOUSE_TIME_BUDGET, or the domain's.",
    ),
]
