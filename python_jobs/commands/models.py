"""The model versions: which there are, and which one is in production."""

from functools import partial
from typing import Annotated

import typer

from python_jobs import terminal
from python_jobs.commands.app import app, job_runs, pipeline, remote, warehouse
from python_jobs.errors import JobError
from python_jobs.options import (
    DecidedBy,
    DecidedWhy,
    RawFolder,
)
from python_jobs.settings import Settings

command = partial(app.command, rich_help_panel="Models")


@command()
def promote(
    version: Annotated[str | None, typer.Argument(help="Default: the newest.")] = None,
) -> None:
    """Put a version into production if it has earned it."""
    settings = Settings()
    with job_runs.job(settings, "promote"):
        pipeline.promote(settings, version)


@command()
def models() -> None:
    """List the model versions, newest first, with status and metrics."""
    from python_jobs.registry import listing

    settings = Settings()
    with warehouse.connect(settings, read_only=True) as connection:
        terminal.show_models(listing.listing(connection, settings))


@command()
def reproduce(version: str, raw: RawFolder = None) -> None:
    """Train a version again from its raw files and say whether the bytes are the same."""
    from python_jobs.operations import reproduce as second_training

    settings = Settings()
    with (
        job_runs.job(settings, "reproduce"),
        remote.mirror(raw or str(settings.raw)) as folder,
        terminal.step("reproduce") as step,
    ):
        found = second_training.reproduce(settings, version, folder, progress=step.say)
        step.result = f"{found.files:,} raw files loaded, built and trained on"
    for line in found.others:
        terminal.note(line)
    if not found.same_model:
        what = "model" if found.same_data else "training data"
        raise JobError(
            f"Not reproduced: the {what} differs from that of {version}.",
            next_step="see what differs above; the domain's files may have changed too.",
        )
    terminal.say(f"{version} is reproduced: the same bytes.")


@command()
def approve(
    version: str,
    by: DecidedBy,
    note: DecidedWhy,
) -> None:
    """Approve a version where the environment asks for a name; then promote it."""
    _decide(version, is_approved=True, by=by, note=note)
    line = f"{version} is approved by {by}. Next: churnhouse promote {version}"
    terminal.say(line)


@command()
def reject(
    version: str,
    by: DecidedBy,
    note: DecidedWhy,
) -> None:
    """Keep a version out of production until somebody approves it."""
    _decide(version, is_approved=False, by=by, note=note)
    terminal.say(f"{version} is rejected by {by}.")


def _decide(version: str, *, is_approved: bool, by: str, note: str) -> None:
    from python_jobs.registry.approvals import decide

    settings, name = Settings(), "approve" if is_approved else "reject"
    with job_runs.job(settings, name), warehouse.connect(settings) as connection:
        now = pipeline.now()
        decide(connection, settings, version, is_approved=is_approved, by=by, note=note, now=now)


@command()
def rollback() -> None:
    """Return to the previous production version, score with it and publish."""
    from python_jobs.registry.rollback import rollback as return_to_previous

    settings = Settings()
    with job_runs.job(settings, "rollback"):
        with warehouse.connect(settings) as connection:
            version = return_to_previous(connection, settings, now=pipeline.now())
            domain = pipeline.warehouse_domain(connection, settings)
        terminal.note(f"{version} is in production again")
        pipeline.score_and_publish(settings)
        pipeline.track(settings, domain.name, version, "production")
