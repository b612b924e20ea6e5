"""What is published: lists, checks and the server."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from python_jobs import terminal
from python_jobs.commands.app import app, pipeline
from python_jobs.errors import DRIFT, JobError
from python_jobs.options import (
    money,
    one_of,
    pairs,
    whole_number,
)
from python_jobs.settings import Settings

command = partial(app.command, rich_help_panel="What is published")


@command()
def status() -> None:
    """What is published, how old it is, which model made it."""
    from python_jobs.ingest.contacts import read_all
    from python_jobs.publishing import status as published
    from python_jobs.publishing.call_list import users_waiting

    settings = Settings()
    manifest = published.read(settings)
    folder = settings.published / manifest["version"]
    waiting = users_waiting(folder, manifest, read_all(settings.contacts))
    listed = [user for user in manifest["riskiest"] if user["user_id"] not in waiting]
    manifest |= {"riskiest": listed}
    age = published.age(manifest, pipeline.now())
    terminal.show(manifest, age, str(settings.published / "current"))


@command(name="list")
def call_list(
    top: Annotated[
        int | None,
        typer.Option(
            parser=whole_number(1), metavar="N", help="At most so many; default: the domain's."
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(parser=money, metavar="MONEY", help="As many as it pays for, by offer_cost."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Only users of this attribute; repeatable."),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            parser=one_of("gain", "loss", "risk"),
            metavar="gain|loss|risk",
            help="Default beside other options: gain.",
        ),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
) -> None:
    """Whom to contact: the nightly list less those contacted since, or one by these options."""
    from python_jobs.ingest.contacts import read_all
    from python_jobs.publishing import call_list as lists
    from python_jobs.publishing import status as published

    settings = Settings()
    manifest = published.read(settings)
    folder = (settings.published / "current").resolve()
    chosen = lists.choose(
        folder,
        manifest,
        contacts=read_all(settings.contacts),
        order=order,
        top=top,
        budget=budget,
        where=pairs(where or []),
    )
    if csv:
        terminal.print_csv(chosen.columns, chosen.users)
    elif chosen.users:
        terminal.show_list(chosen, manifest)
    elif chosen.is_nightly:
        terminal.say(
            "Nobody: the nightly list is empty, or all of it was contacted or snoozed since. Next: "
            "try --order risk --top 50."
        )
    elif where:
        terminal.say(
            f"Nobody with {' and '.join(where)} may be contacted and is expected to gain more than "
            "it costs. Next: check the values, or try --order risk."
        )
    else:
        terminal.say(
            "Nobody: no contact is expected to gain more than it costs. Next: see offer_cost, "
            "save_rate and value in domain.yml, or try --order risk."
        )


@command()
def outcomes() -> None:
    """What became of the users that the models pointed at: realised against expected."""
    pipeline.outcomes(Settings())


@command()
def drift() -> None:
    """Check the published version for drift; exit 2 where a feature fails."""
    from python_jobs.monitoring import drift as drift_check

    settings = Settings()
    checked = drift_check.check(settings)
    terminal.show_drift(checked, str(drift_check.write(settings, checked)))
    if checked["status"] == "fail":
        raise typer.Exit(DRIFT)


@command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(parser=whole_number(1, 65535), metavar="N", help="Port to listen on.")
    ] = 8000,
    workers: Annotated[
        int, typer.Option(parser=whole_number(1), metavar="N", help="Processes that answer.")
    ] = 1,
) -> None:
    """Serve the API and the desk from what is published."""
    from api.serve import serve as serve_published

    serve_published(Settings(), host=host, port=port, workers=workers)


@command()
def smoke(
    url: Annotated[
        str, typer.Argument(help="Address of the API, such as https://churn.shop.example.")
    ],
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="File with a reader's key; - reads standard input. Without: keyless checks."
        ),
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="The published version that must be served.")
    ] = None,
    max_age_hours: Annotated[
        float, typer.Option(min=0, help="How old the served version may be.")
    ] = 36,
) -> None:
    """Ask a running API a few questions, as after a deployment; exit 1 if an answer is wrong."""
    from python_jobs.operations import smoke as asked

    key = None
    if key_file:
        try:
            text = (
                sys.stdin.read() if str(key_file) == "-" else key_file.read_text(encoding="utf-8")
            )
        except (OSError, UnicodeDecodeError) as error:
            raise JobError(
                f"{key_file} cannot be read: {error}.", next_step="give a file with the key alone."
            ) from None
        key = text.strip() or None
    checks = []
    for check in asked.run(asked.Api(url, key), version=version, max_age_hours=max_age_hours):
        terminal.console.print(
            f"{'ok' if check.problem is None else 'no'}  {check.name}"
            + (f": {check.problem}" if check.problem else ""),
            markup=False,
        )
        checks.append(check)
    if wrong := [check.name for check in checks if check.problem]:
        raise JobError(
            f"{len(wrong)} of {len(checks)} answers of {url} are wrong: {', '.join(wrong)}.",
            next_step="see its logs; docs/runbook.md, or go back to the release before.",
        )
