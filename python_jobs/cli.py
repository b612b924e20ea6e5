"""The `churnhouse` command: one subcommand a job. Heavy libraries load where they are used."""

import shutil
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from python_jobs import domain as domains
from python_jobs import terminal, warehouse
from python_jobs.errors import DRIFT, JobError
from python_jobs.settings import Settings

if TYPE_CHECKING:
    from python_jobs.build import Built, Dbt
    from python_jobs.domain import Domain

app = typer.Typer(
    help="Churn prediction from raw events to a published list, SQL first.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _day(text: str | date) -> date:
    """A date as typed, or as its default stands."""
    try:
        return text if isinstance(text, date) else date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date like 2025-03-01") from None


DomainName = Annotated[str, typer.Option("--domain", help="Whose data this is: domains/NAME/.")]
RawFolder = Annotated[
    Path | None, typer.Option("--raw", help="Folder of the raw files. [default: HOME/raw]")
]
Users = Annotated[int, typer.Option(help="Users who have signed up by day 120.")]
Days = Annotated[int, typer.Option(help="Days to generate.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same files, byte for byte.")]


def main() -> None:
    """Run the command; an expected failure is one line on stderr and its exit code."""
    try:
        app()
    except JobError as error:
        terminal.errors.print(f"churnhouse: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)


@app.command()
def generate(
    users: Users = 2000,
    days: Days = 120,
    start: Annotated[
        date, typer.Option(parser=_day, metavar="YYYY-MM-DD", help="First day.")
    ] = date(2025, 1, 1),
    seed: Seed = 7,
    append: Annotated[bool, typer.Option("--append", help="Continue the world there.")] = False,
) -> None:
    """Make synthetic e-learning users and events, dirt and late arrivals included."""
    settings = Settings()
    with warehouse.writing(settings, "generate"):
        _generate(settings, users, days, start, seed, append)


@app.command()
def ingest(domain: DomainName = "elearning", raw: RawFolder = None) -> None:
    """Load new raw files, each once, all or nothing."""
    settings, chosen = Settings(), domains.load(domain)
    with warehouse.writing(settings, "ingest"):
        _ingest(settings, chosen, raw)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def build(
    context: typer.Context,
    from_day: Annotated[
        date | None,
        typer.Option("--from", parser=_day, metavar="YYYY-MM-DD", help="Recompute from this day."),
    ] = None,
) -> None:
    """Run `dbt build`; any dbt selection passes through."""
    from python_jobs.build import Dbt

    settings = Settings()
    variables = {"rewrite_from": from_day.isoformat()} if from_day else {}
    with warehouse.writing(settings, "build"):
        _build(settings, None, Dbt(settings, variables), context.args, "build")


@app.command()
def train(seed: Seed = 7) -> None:
    """Train the candidates, judge them on later dates, register the better one."""
    settings = Settings()
    with warehouse.writing(settings, "train"):
        _train(settings, seed)


@app.command()
def promote(
    version: Annotated[str | None, typer.Argument(help="Default: the newest.")] = None,
) -> None:
    """Put a version into production if it has earned it."""
    settings = Settings()
    with warehouse.writing(settings, "promote"):
        _promote(settings, version)


@app.command()
def score() -> None:
    """Score every user at the latest as_of_date with the production model."""
    settings = Settings()
    with warehouse.writing(settings, "score"):
        _score(settings)


@app.command()
def publish() -> None:
    """Build what follows the predictions, then publish a version if every gate passes."""
    from python_jobs.build import AFTER_MODELS, Dbt

    settings = Settings()
    with warehouse.writing(settings, "publish"):
        _build(settings, None, Dbt(settings), AFTER_MODELS, "marts")
        _publish(settings)


@app.command()
def run(
    domain: DomainName = "elearning",
    raw: RawFolder = None,
    users: Users = 2000,
    days: Days = 120,
    seed: Seed = 7,
) -> None:
    """The main job, first to last. Without raw files, elearning generates them first."""
    from python_jobs.build import AFTER_MODELS, BEFORE_MODELS, Dbt

    settings, chosen = Settings(), domains.load(domain)
    dbt = Dbt(settings)
    with warehouse.writing(settings, "run"):
        if domain == "elearning" and raw is None and _needs_generating(settings):
            _generate(settings, users, days, date(2025, 1, 1), seed, append=False)
        _ingest(settings, chosen, raw)
        _build(settings, chosen, dbt, BEFORE_MODELS, "build")
        _train(settings, seed)
        _promote(settings, None)
        _score(settings)
        _build(settings, chosen, dbt, AFTER_MODELS, "marts")
        _publish(settings)
    status()


@app.command()
def daily(domain: DomainName = "elearning", raw: RawFolder = None) -> None:
    """What runs every night: ingest, build, score, outcomes, publish."""
    from python_jobs.build import AFTER_MODELS, BEFORE_MODELS, Dbt

    settings, chosen = Settings(), domains.load(domain)
    dbt = Dbt(settings)
    with warehouse.writing(settings, "daily"):
        _ingest(settings, chosen, raw)
        _build(settings, chosen, dbt, BEFORE_MODELS, "build")
        _score(settings)
        _build(settings, chosen, dbt, AFTER_MODELS, "marts")
        _outcomes(settings)
        _publish(settings)


@app.command()
def outcomes() -> None:
    """What became of the users that the models pointed at: realised against expected."""
    _outcomes(Settings())


@app.command()
def drift() -> None:
    """Check the published version for drift; exit 2 where a feature fails."""
    from python_jobs import drift as drift_check

    settings = Settings()
    found = drift_check.check(settings)
    terminal.show_drift(found, str(drift_check.write(settings, found)))
    if found["status"] == "fail":
        sys.exit(DRIFT)


@app.command()
def forget(user_id: str) -> None:
    """Remove one person from raw data, every table and the published versions."""
    from python_jobs import forget as removal
    from python_jobs.build import AFTER_MODELS, Dbt

    settings = Settings()
    with warehouse.writing(settings, "forget"):
        with warehouse.connect(settings) as connection:
            domain = _warehouse_domain(connection)
        with terminal.step("forget") as step:
            removed = removal.forget(settings, domain, user_id, now=_now())
            step.result = f"{sum(removed.values()):,} rows of {len(removed)} tables and files"
        if (settings.published / "current").exists():
            _score(settings)
            _build(settings, None, Dbt(settings), AFTER_MODELS, "marts")
            _publish(settings)
            pruned = removal.prune_published(settings)
            terminal.console.print(f"  {pruned} older versions removed")
        # dbt notes the command that called it, and this one names the user
        shutil.rmtree(settings.home / "dbt", ignore_errors=True)


@app.command()
def status() -> None:
    """What is published, how old it is, which model made it."""
    from python_jobs import status as published

    settings = Settings()
    manifest = published.read(settings)
    age = published.age(manifest, _now())
    terminal.show(manifest, age, str(settings.published / "current"))


def _now() -> datetime:
    """The only clock: every job is told the time."""
    return datetime.now(UTC)


def _needs_generating(settings: Settings) -> bool:
    """Whether raw/ is empty or holds a world that was not finished; files of others are left."""
    from python_jobs.generate import is_finished

    if settings.truth.exists():
        return not is_finished(settings.raw, settings.truth)
    return not any(settings.raw.glob("*/*"))


def _generate(settings, users, days, start, seed, append) -> None:
    from python_jobs.generate import generate as generate_world

    with terminal.step("generate") as step:
        made = generate_world(
            settings.raw,
            settings.truth,
            users=users,
            days=days,
            start=start,
            seed=seed,
            append=append,
            progress=step.count,
        )
        step.result = f"{made.users:,} users, {made.events:,} events through {made.last_day}"


def _ingest(settings: Settings, domain: "Domain", raw: Path | None) -> None:
    from python_jobs.ingest import ingest as load

    with terminal.step("ingest") as step, warehouse.connect(settings) as connection:
        folder = raw or settings.raw
        if domain.files.events.reader == "git_log":
            from python_jobs import git_log

            folder = git_log.export(folder, settings.raw / domain.name, progress=step.count)
        done = load(connection, domain, folder, now=_now(), progress=step.count)
        step.result = (
            f"{done.rows['users']:,} users, {done.rows['events']:,} events in "
            f"{len(done.loaded)} new files ({done.known} known)"
        )
    for note in done.notes:
        terminal.console.print(f"  note: {note}")


def _build(settings: Settings, domain, dbt: "Dbt", selection, name: str) -> "Built":
    from python_jobs.build import build as build_tables

    with terminal.step(name) as step:
        built = build_tables(settings, domain, dbt, selection, progress=step.count)
        step.result = f"{built.models} models, {built.tests} tests passed"
    return built


def _train(settings: Settings, seed: int) -> None:
    from python_jobs.kept import freeze_reference
    from python_jobs.train import train as train_models

    with terminal.step("train") as step, warehouse.connect(settings) as connection:
        horizon = _warehouse_domain(connection).vars.churn_horizon_days
        trained = train_models(
            connection, settings, now=_now(), horizon_days=horizon, seed=seed, progress=step.say
        )
        freeze_reference(connection, settings, trained.version)
        step.result = f"{trained.manifest['estimator']}, {trained.version}"


def _promote(settings: Settings, version: str | None) -> None:
    from python_jobs.promote import promote as decide

    with terminal.step("promote") as step, warehouse.connect(settings) as connection:
        decision = decide(connection, settings, now=_now(), version=version, progress=step.say)
        step.result = "promoted" if decision.is_promoted else "not promoted"
    terminal.console.print(f"  {decision.reason}")


def _score(settings: Settings) -> None:
    from python_jobs.kept import keep_served
    from python_jobs.score import score as score_users

    with terminal.step("score") as step, warehouse.connect(settings) as connection:
        scored = score_users(connection, settings, now=_now(), progress=step.say)
        keep_served(connection, scored.as_of_date)
        bands = ", ".join(f"{count:,} {band}" for band, count in scored.bands.items())
        step.result = f"{scored.users:,} users as of {scored.as_of_date}: {bands}"


def _publish(settings: Settings) -> None:
    from python_jobs.publish import publish as publish_version

    with terminal.step("publish") as step, warehouse.connect(settings) as connection:
        published = publish_version(connection, settings, now=_now(), progress=step.say)
        step.result = published.version


def _outcomes(settings: Settings) -> None:
    from python_jobs.outcomes import latest

    with warehouse.connect(settings, read_only=True) as connection:
        terminal.show_outcomes(latest(connection))


def _warehouse_domain(connection) -> "Domain":
    """The domain that filled this warehouse."""
    row = connection.execute("select name from raw.domain").fetchone()
    return domains.load(row[0])
