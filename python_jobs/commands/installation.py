"""The installation: a domain of its own, health, forgetting, upgrades."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from python_jobs import terminal
from python_jobs.commands.app import app, domains, job_runs, pipeline, remote, warehouse
from python_jobs.errors import JobError
from python_jobs.options import (
    DomainName,
    RawFolder,
    operating_user,
    user_ids,
)
from python_jobs.settings import Settings

command = partial(app.command, rich_help_panel="Installation")


@command()
def init(
    name: Annotated[str, typer.Argument(help="The new domain's name.")],
    events: Annotated[
        str,
        typer.Option(
            help="A file of events (CSV, JSON, Parquet, Excel), its URL, or with --table the "
            "environment variable of a database."
        ),
    ],
    table: Annotated[str, typer.Option(help="The database's table of events.")] = "",
    users: Annotated[str | None, typer.Option(help="A file of users beside it.")] = None,
    user: Annotated[str, typer.Option(help="The column of the user.")] = "",
    when: Annotated[str, typer.Option("--time", help="The column of the time.")] = "",
    kind: Annotated[str, typer.Option("--type", help="The column of the event's type.")] = "",
    event_id: Annotated[str, typer.Option("--id", help="The column of the event's id.")] = "",
    first: Annotated[
        str, typer.Option(help="What dates such as 03/04/2026 begin with: day or month.")
    ] = "",
    timezone: Annotated[
        str,
        typer.Option(help="The zone of times without an offset, and of days: Europe/Berlin."),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; take what is likely.")] = False,
) -> None:
    """Look at a file of events and write a domain for it, domains/NAME."""
    from python_jobs.ingest.look import Table
    from python_jobs.operations.init import init as make_domain

    given = {"user": user, "time": when, "type": kind, "id": event_id, "order": first}
    given["timezone"] = timezone

    def ask(subject: str, question: str, likely: str, names: list[str]) -> str:
        told = _spelled(given.get(subject, ""), names)
        if told or yes or (subject == "order" and not sys.stdin.isatty()):
            return told or likely
        if not sys.stdin.isatty():
            raise JobError(
                f"{question}? Nobody can be asked here.",
                next_step="add --yes to take what is likely, or name the columns by options.",
            )
        listed = "the zones, such as Europe/Berlin" if subject == "timezone" else ", ".join(names)

        def named(answer: str) -> str:
            answer = _spelled(answer, names)
            if answer not in names and not (subject in ("type", "id") and not answer):
                raise typer.BadParameter(f"answer with one of {listed}")
            return answer

        shown = f"{question}? ({listed})"
        answer: str = typer.prompt(shown, default=likely, value_proc=named)
        return answer

    place = events.rpartition("/")[0] or "."
    with remote.mirror(events) as found:
        file = found / events.rpartition("/")[2] if remote.is_url(events) else found
        made = make_domain(
            Settings(),
            name,
            Table(events, table) if table else file,
            users=Path(users) if users else None,
            ask=ask,
            now=pipeline.now(),
        )
    terminal.show_new_domain(made, place)


def _spelled(answer: str, names: list[str]) -> str:
    """Return the only name that an answer means whatever its case, or the answer."""
    meant = [name for name in names if name.casefold() == answer.casefold()]
    return meant[0] if answer not in names and len(meant) == 1 else answer


@command()
def horizon(domain: DomainName | None = None, raw: RawFolder = None) -> None:
    """How many silent users come back anyway, for 7 to 90 days: what silence means here."""
    from python_jobs.operations import domain_check

    settings = Settings()
    chosen = domains.load(domain, settings) if domain else None
    with remote.mirror(raw or str(settings.raw)) as folder:
        terminal.show_silences(domain_check.silences(settings, chosen, folder, now=pipeline.now()))


@command()
def doctor(
    domain: Annotated[
        str | None, typer.Option("--domain", help="Check this domain's data before a long run.")
    ] = None,
    raw: RawFolder = None,
) -> None:
    """What is wrong with this installation, and what to do about it; exit 1 if anything is."""
    from python_jobs.operations import doctor as checks

    if domain:
        from python_jobs.operations import domain_check

        settings = Settings()
        chosen = domains.load(domain, settings)
        with remote.mirror(raw or str(settings.raw)) as folder:
            report = domain_check.examine(settings, chosen, folder, now=pipeline.now())
        terminal.show_domain_report(report, chosen.vars.churn_horizon_days)
        if report.problems:
            what, next_step = report.problems[0]
            raise JobError(f"{domain}: {what}.", next_step=next_step)
        return
    findings = list(checks.examine(Settings(), now=pipeline.now()))
    terminal.console.print(checks.table(findings))
    if wrong := [finding.name for finding in findings if finding.next_step]:
        raise JobError(
            f"{len(wrong)} of {len(findings)} checks found something wrong: {', '.join(wrong)}.",
            next_step="follow the next steps above, then run `churnhouse doctor` again.",
        )


@command()
def forget(
    user_id: Annotated[
        str | None, typer.Argument(help="The person's id; other users of the machine can see it.")
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(help="A file with one id per line, or - for standard input; several at once."),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Who removes them, for raw.removals; default: you.")
    ] = None,
) -> None:
    """Remove persons from raw data, every table, model versions and what is published."""
    from python_jobs.operations import forget as removal

    settings = Settings()
    given = user_ids(user_id, from_file)
    with job_runs.job(settings, "forget"):
        with warehouse.connect(settings) as connection:
            domain = pipeline.warehouse_domain(connection, settings)
        with terminal.step("forget") as step:
            done = removal.forget(
                settings, domain, given, by=by or operating_user(), now=pipeline.now()
            )
            removed = sum(done.removed.values())
            what = f"{removed:,} rows of {len(done.removed)} tables and kinds of file"
            what = what if removed else "forgotten before; published anew to be sure"
            step.result = f"{done.persons:,} of {len(given):,} persons: {what}"
        if done.unknown:
            places = ", ".join(map(str, done.unknown[:20]))
            terminal.say(f"nothing knows the ids in places {places}", indent=2)
        for line in done.left:
            terminal.say(f"not reached: {line}", indent=2)
        try:
            pipeline.publish_without_the_forgotten(settings)
        except JobError as error:
            terminal.note(str(error), "warning")
            raise JobError(
                "The data have these persons no more, but the published versions still do.",
                next_step="mend what is said above, then run the same command again.",
            ) from None


@command()
def upgrade() -> None:
    """Bring a home of an earlier release up to this one: tables, models, publication."""
    from python_jobs.operations import upgrade as releases
    from python_jobs.warehouse.dbt import BEFORE_MODELS, Dbt

    settings = Settings()
    with job_runs.job(settings, "upgrade"):
        prepared = releases.prepare(settings)
        for line in prepared.done:
            terminal.note(line)
        chosen = domains.load(prepared.domain, settings)
        dbt = Dbt(settings)
        if prepared.has_model:
            pipeline.build_and_score(settings, chosen, dbt)
            pipeline.publish(settings)
        else:
            pipeline.build(settings, chosen, dbt, BEFORE_MODELS, "build")
            terminal.note("no model is in production, so nothing was published")
