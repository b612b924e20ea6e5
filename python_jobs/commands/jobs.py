"""The jobs: from raw files to a published version."""

from datetime import date
from functools import partial
from typing import Annotated

import typer

from python_jobs import terminal
from python_jobs.commands.app import app, domains, job_runs, pipeline
from python_jobs.commands.published import status
from python_jobs.options import (
    Days,
    DomainName,
    RawFolder,
    Seed,
    TimeBudget,
    Users,
    day,
    share,
)
from python_jobs.settings import Settings

command = partial(app.command, rich_help_panel="Jobs")


@command()
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


@command()
def ingest(domain: DomainName = "elearning", raw: RawFolder = None) -> None:
    """Load new raw files, each once, all or nothing."""
    settings = Settings()
    chosen = domains.load(domain, settings)
    with job_runs.job(settings, "ingest"):
        pipeline.ingest(settings, chosen, raw)


@command(
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


@command(
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


@command()
def train(seed: Seed = 7, time_budget: TimeBudget = None) -> None:
    """Train the candidates, judge them on later dates, register a new version."""
    settings = Settings()
    with job_runs.job(settings, "train"):
        pipeline.train(settings, seed, time_budget)
        pipeline.learn_effect(settings, seed)


@command()
def score() -> None:
    """Score every user at the latest as_of_date with the production model; build what follows."""
    from python_jobs.warehouse.dbt import Dbt

    settings = Settings()
    with job_runs.job(settings, "score"):
        pipeline.score(settings, Dbt(settings))


@command()
def publish() -> None:
    """Build what follows the models, then publish a version if every gate passes."""
    from python_jobs.warehouse.dbt import Dbt

    settings = Settings()
    with job_runs.job(settings, "publish"):
        pipeline.build_after_models(settings, Dbt(settings))
        pipeline.publish(settings)


@command()
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


@command()
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


@command()
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
