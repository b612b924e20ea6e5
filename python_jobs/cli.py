"""The `churnhouse` command: one subcommand per job. Large libraries are imported on first use."""

import contextlib
import gc
import importlib.util
import io
import locale
import sys
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import Annotated, Any

import typer

from python_jobs import terminal
from python_jobs.commands import installation, jobs, models, published  # noqa: F401 - adds commands
from python_jobs.commands.app import app
from python_jobs.errors import FAILED, INTERRUPTED, JobError
from python_jobs.settings import Settings

# Typer has no public name for the base class of its usage errors.
UsageError: Any = typer.BadParameter.__base__

STOPPED = "Interrupted; nothing has to be cleaned up. Next: run it again."


def main() -> None:
    """Run the command and end the process."""
    # dbt and pandas create millions of long-lived objects; repeated garbage collection of them
    # takes 6 % of a run
    gc.set_threshold(200_000, 50, 100)
    _ignore_the_locale()
    code = execute(sys.argv[1:])
    if "dbt" in sys.modules and "pyspark" not in sys.modules:
        from python_jobs.warehouse.dbt_internals import end_process

        end_process(code)
    sys.exit(code)


def _ignore_the_locale() -> None:
    """Make text and case the same under every locale; a terminal keeps its encoding."""
    for stream in (sys.stdout, sys.stderr):
        # text that the terminal cannot show must not end a job
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        # for libraries: in Turkish, upper-case i is not I, which breaks protobuf's field names
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        locale.setlocale(locale.LC_CTYPE, "C")


def execute(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; an expected failure is one line on stderr."""
    with contextlib.suppress(JobError):  # the command will say what is wrong with the settings
        terminal.log_as(Settings())
    try:
        code = app(list(arguments), prog_name="churnhouse", standalone_mode=False) or 0
        return _failed(STOPPED, code) if code == INTERRUPTED else code
    except typer.Abort:  # at a question
        return _failed(STOPPED, INTERRUPTED)
    except UsageError as error:
        command = error.ctx.command_path if error.ctx else "churnhouse"
        if not arguments:  # the message is the help
            typer.echo(error.format_message())
            return FAILED
        what = " ".join(error.format_message().split())
        stop = "" if what.endswith((".", "?")) else "."
        return _failed(f"{what}{stop} Next: see `{command} --help`.")
    except JobError as error:
        return _failed(str(error), error.exit_code)
    except ImportError as error:
        if importlib.util.find_spec("duckdb"):
            raise
        return _failed(f"{error}: this only serves. Next: use the image churnhouse-ml.")


def _failed(line: str, code: int = FAILED) -> int:
    terminal.failed(line)
    return code


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"churnhouse {installed_version('churnhouse')}")
        raise typer.Exit()


@app.callback()
def churnhouse(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Churn prediction from raw events to a published list, SQL first."""
