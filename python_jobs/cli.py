"""The `churnhouse` command: one subcommand per job. Large libraries are imported on first use."""

import contextlib
import gc
import importlib.util
import io
import locale
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version as installed_version
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from python_jobs import terminal
from python_jobs.errors import DRIFT, FAILED, INTERRUPTED, JobError
from python_jobs.options import (
    Days,
    DecidedBy,
    DecidedWhy,
    DomainName,
    RawFolder,
    Seed,
    TimeBudget,
    Users,
    day,
    money,
    one_of,
    operating_user,
    pairs,
    share,
    user_ids,
    whole_number,
)
from python_jobs.settings import Settings


def _at_first_use(name: str) -> ModuleType:
    """Return a module that is loaded on first use, so that `serve` needs no jobs library."""
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(name)
        spec.loader = importlib.util.LazyLoader(spec.loader)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


domains = _at_first_use("python_jobs.ingest.domain")
pipeline = _at_first_use("python_jobs.pipeline")
warehouse = _at_first_use("python_jobs.warehouse.connection")
job_runs = _at_first_use("python_jobs.warehouse.job_runs")
remote = _at_first_use("python_jobs.ingest.remote")

# Typer has no public name for the base class of its usage errors.
UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
        if code == INTERRUPTED:
            _failed("Interrupted; nothing has to be cleaned up. Next: run it again.")
        return code
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


@app.command()
def generate(
    users: Users = 2000,
    days: Days = 120,
    start: Annotated[
        date, typer.Option(parser=day, metavar="YYYY-MM-DD", help="First day.")
    ] = date(2025, 1, 1),
    seed: Seed = 7,
    append: Annotated[bool, typer.Option("--append", help="Continue the world there.")] = False,
    campaigns: Annotated[
        bool, typer.Option("--campaigns", help="A team contacts users each week.")
    ] = False,
    effect: Annotated[
        float,
        typer.Option(
            parser=share, metavar="0..1", help="With --campaigns: how strongly contacts work."
        ),
    ] = 0.3,
    from_list: Annotated[
        bool,
        typer.Option("--from-list", help="With --append: the team contacts the published list."),
    ] = False,
) -> None:
    """Make synthetic e-learning users and events, dirt and late arrivals included."""
    settings = Settings()
    if from_list and not append:
        raise typer.BadParameter("--from-list continues a world: add --append")
    with job_runs.job(settings, "generate"):
        pipeline.generate(
            settings,
            users,
            days,
            start,
            seed,
            append=append,
            effect=effect if campaigns else None,
            from_list=from_list,
        )


@app.command()
def ingest(domain: DomainName = "elearning", raw: RawFolder = None) -> None:
    """Load new raw files, each once, all or nothing."""
    settings = Settings()
    chosen = domains.load(domain, settings)
    with job_runs.job(settings, "ingest"):
        pipeline.ingest(settings, chosen, raw)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="[OPTIONS] [DBT OPTIONS, such as --select MODEL or --full-refresh]",
)
def build(
    context: typer.Context,
    from_day: Annotated[
        date | None,
        typer.Option(
            "--from",
            parser=day,
            metavar="YYYY-MM-DD",
            help="Recompute from this day; one before the first day recomputes all.",
        ),
    ] = None,
) -> None:
    """Run `dbt build`; any dbt selection passes through."""
    from python_jobs.warehouse.dbt import Dbt, check_selection

    settings = Settings()
    check_selection(context.args)
    variables = {"rewrite_from": from_day.isoformat()} if from_day else {}
    with job_runs.job(settings, "build"):
        if from_day:
            pipeline.check_from_day(settings, from_day)
        pipeline.build(settings, None, Dbt(settings, variables), context.args, "build")


@app.command(
    name="test",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="[DBT OPTIONS, such as --select MODEL]",
)
def test_all(context: typer.Context) -> None:
    """Run `dbt test` over every row; a build tests the rows that it wrote."""
    from python_jobs.warehouse.dbt import Dbt, check_selection

    settings = Settings()
    check_selection(context.args)
    with job_runs.job(settings, "test"), terminal.step("test") as step:
        tested = Dbt(settings).test(context.args, progress=step.count)
        step.result = f"{tested.tests} tests passed over every row"


@app.command()
def train(seed: Seed = 7, time_budget: TimeBudget = None) -> None:
    """Train the candidates, judge them on later dates, register a new version."""
    settings = Settings()
    with job_runs.job(settings, "train"):
        pipeline.train(settings, seed, time_budget)
        pipeline.learn_effect(settings, seed)


@app.command()
def promote(
    version: Annotated[str | None, typer.Argument(help="Default: the newest.")] = None,
) -> None:
    """Put a version into production if it has earned it."""
    settings = Settings()
    with job_runs.job(settings, "promote"):
        pipeline.promote(settings, version)


@app.command()
def score() -> None:
    """Score every user at the latest as_of_date with the production model; build what follows."""
    from python_jobs.warehouse.dbt import Dbt

    settings = Settings()
    with job_runs.job(settings, "score"):
        pipeline.score(settings, Dbt(settings))


@app.command()
def publish() -> None:
    """Build what follows the models, then publish a version if every gate passes."""
    from python_jobs.warehouse.dbt import Dbt

    settings = Settings()
    with job_runs.job(settings, "publish"):
        pipeline.build_after_models(settings, Dbt(settings))
        pipeline.publish(settings)


@app.command()
def run(
    domain: DomainName = "elearning",
    raw: RawFolder = None,
    users: Users = 2000,
    days: Days = 120,
    seed: Seed = 7,
    time_budget: TimeBudget = None,
) -> None:
    """The main job, first to last. Without raw files, elearning generates them first."""
    from python_jobs.warehouse.dbt import BEFORE_MODELS, Dbt

    settings = Settings()
    chosen = domains.load(domain, settings)
    dbt = Dbt(settings)
    with job_runs.job(settings, "run"):
        if domain == "elearning" and raw is None and pipeline.needs_generating(settings):
            pipeline.generate(settings, users, days, date(2025, 1, 1), seed)
        pipeline.ingest(settings, chosen, raw)
        pipeline.build(settings, chosen, dbt, BEFORE_MODELS, "build")
        pipeline.train(settings, seed, time_budget)
        pipeline.promote(settings, None)
        pipeline.learn_effect(settings, seed)
        pipeline.score(settings, dbt)
        pipeline.publish(settings)
    status()


@app.command()
def daily(domain: DomainName = "elearning", raw: RawFolder = None) -> None:
    """What runs every night: ingest, build with scores, outcomes, publish."""
    from python_jobs.warehouse.dbt import Dbt

    settings = Settings()
    chosen = domains.load(domain, settings)
    dbt = Dbt(settings)
    with job_runs.job(settings, "daily"):
        pipeline.ingest(settings, chosen, raw)
        pipeline.build_and_score(settings, chosen, dbt)
        pipeline.outcomes(settings)
        pipeline.publish(settings)


@app.command()
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


@app.command()
def retrain(
    if_drifted: Annotated[
        bool, typer.Option("--if-drifted", help="Only where drift or performance failed.")
    ] = False,
    seed: Seed = 7,
    time_budget: TimeBudget = None,
) -> None:
    """Train and promote; a promoted version scores and publishes at once."""
    settings = Settings()
    with job_runs.job(settings, "retrain"):
        failed = pipeline.why_retrain(settings) if if_drifted else None
        if if_drifted and not failed:
            terminal.note("neither drift nor realised performance has failed")
            return
        if failed:
            terminal.note(f"retraining: {failed}")
        pipeline.train(settings, seed, time_budget)
        is_promoted = pipeline.promote(settings, None, failed)
        if pipeline.learn_effect(settings, seed) or is_promoted:
            pipeline.score_and_publish(settings)


@app.command()
def models() -> None:
    """List the model versions, newest first, with status and metrics."""
    from python_jobs.registry import listing

    settings = Settings()
    with warehouse.connect(settings, read_only=True) as connection:
        terminal.show_models(listing.listing(connection, settings))


@app.command()
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


@app.command()
def approve(
    version: str,
    by: DecidedBy,
    note: DecidedWhy,
) -> None:
    """Approve a version where the environment asks for a name; then promote it."""
    _decide(version, is_approved=True, by=by, note=note)
    line = f"{version} is approved by {by}. Next: churnhouse promote {version}"
    terminal.say(line)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def outcomes() -> None:
    """What became of the users that the models pointed at: realised against expected."""
    pipeline.outcomes(Settings())


@app.command()
def drift() -> None:
    """Check the published version for drift; exit 2 where a feature fails."""
    from python_jobs.monitoring import drift as drift_check

    settings = Settings()
    checked = drift_check.check(settings)
    terminal.show_drift(checked, str(drift_check.write(settings, checked)))
    if checked["status"] == "fail":
        raise typer.Exit(DRIFT)


@app.command()
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
        pipeline.publish_without_the_forgotten(settings)
        for line in done.left:
            terminal.say(f"not reached: {line}", indent=2)


@app.command(name="list")
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
        str, typer.Option(parser=one_of("gain", "loss", "risk"), metavar="gain|loss|risk")
    ] = "gain",
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
) -> None:
    """Whom to contact, so that the expected gain is largest; from the published version."""
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
        terminal.print_csv(lists.COLUMNS, chosen.users)
    elif chosen.users:
        terminal.show_list(chosen, manifest)
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


@app.command()
def status() -> None:
    """What is published, how old it is, which model made it."""
    from python_jobs.publishing import status as published

    settings = Settings()
    manifest = published.read(settings)
    age = published.age(manifest, pipeline.now())
    terminal.show(manifest, age, str(settings.published / "current"))


@app.command()
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
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; take what is likely.")] = False,
) -> None:
    """Look at a file of events and write a domain for it, domains/NAME."""
    from python_jobs.ingest.look import Table
    from python_jobs.operations.init import init as make_domain

    given = {"user": user, "time": when, "type": kind, "id": event_id, "order": first}

    def ask(subject: str, question: str, likely: str, names: list[str]) -> str:
        told = given.get(subject)
        if told or yes or (subject == "order" and not sys.stdin.isatty()):
            return told or likely
        if not sys.stdin.isatty():
            raise JobError(
                f"{question}? Nobody can be asked here.",
                next_step="add --yes to take what is likely, or name the columns by options.",
            )

        def named(answer: str) -> str:
            if answer not in names and not (subject in ("type", "id") and not answer):
                raise typer.BadParameter(f"answer with one of {', '.join(names)}")
            return answer

        shown = f"{question}? ({', '.join(names)})"
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


@app.command()
def horizon(domain: DomainName | None = None, raw: RawFolder = None) -> None:
    """How many silent users come back anyway, for 7 to 90 days: what silence means here."""
    from python_jobs.operations import domain_check

    settings = Settings()
    chosen = domains.load(domain, settings) if domain else None
    with remote.mirror(raw or str(settings.raw)) as folder:
        terminal.show_silences(domain_check.silences(settings, chosen, folder, now=pipeline.now()))


@app.command()
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


@app.command()
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
