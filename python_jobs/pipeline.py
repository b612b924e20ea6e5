"""The jobs as steps of a run: each shows its progress and leaves one line when it is done."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from python_jobs import terminal
from python_jobs.errors import JobError
from python_jobs.ingest import domain as domains
from python_jobs.publication.models import in_words
from python_jobs.publication.prediction import BANDS
from python_jobs.settings import Settings
from python_jobs.warehouse import job_runs
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.engines import engine_of

if TYPE_CHECKING:
    import duckdb

    from python_jobs.ingest.domain import Domain
    from python_jobs.publishing.publish import Published
    from python_jobs.warehouse.dbt import Built, Dbt


def now() -> datetime:
    """Return the current time in UTC. Jobs get it as an argument and never read a clock."""
    return datetime.now(UTC)


def needs_generating(settings: Settings) -> bool:
    """Return True if raw/ is empty or holds unfinished synthetic data.

    Raw files from another source count as data: nothing is generated over them.
    """
    from python_jobs.synthetic.generate import is_finished

    if settings.truth.exists():
        return not is_finished(settings.raw, settings.truth)
    return not any(settings.raw.glob("*/*"))


def generate(
    settings: Settings,
    users: int,
    days: int,
    start: date,
    seed: int,
    *,
    append: bool = False,
    effect: float | None = None,
    from_list: bool = False,
) -> None:
    """Generate synthetic data; with `append`, add days to the data that are there.

    `effect`: how strongly the contacts of a simulated team work; None for no team. `from_list`: the
    team works off the published list.
    """
    from python_jobs.synthetic.generate import generate as generate_world

    called = None
    if from_list:
        from python_jobs.publishing.call_list import nightly

        called = nightly((settings.published / "current").resolve())
    with terminal.step("generate") as step:
        made = generate_world(
            settings.raw,
            settings.truth,
            users=users,
            days=days,
            start=start,
            seed=seed,
            append=append,
            effect=effect,
            holdout_share=domains.load("elearning", settings).vars.holdout_share,
            called=called,
            progress=step.count,
        )
        step.result = f"{made.users:,} users, {made.events:,} events through {made.last_day}"
        step.rows = made.events


def ingest(settings: Settings, domain: "Domain", raw: str | None) -> None:
    """Load the new files of a folder or URL; for a domain that reads git, export it first."""
    from python_jobs.ingest.load import ingest as load
    from python_jobs.ingest.remote import mirror

    whole = domain.vars.delivery == "full_snapshot"
    with (
        terminal.step("ingest") as step,
        connect(settings) as connection,
        mirror(raw or str(settings.raw), connection, whole=whole, progress=step.count) as folder,
    ):
        if any(source.reader == "git_log" for source in domain.files.events):
            from python_jobs.ingest import git_log

            folder = git_log.export(folder, settings.raw / domain.name, progress=step.count)
        done = load(
            connection,
            domain,
            folder,
            now=now(),
            progress=step.count,
            received=engine_of(settings).all_received_rows,
            contacts_folder=settings.contacts,
        )
        step.result = (
            f"{done.rows['users']:,} users, {done.rows['events']:,} events in "
            f"{len(done.loaded)} new files ({done.known} known)"
        )
        step.rows = sum(done.rows.values())
        step.rejected_rows = sum(one.rows for one in done.rejected)
    for found in filter(None, [domain.note, *done.notes]):
        terminal.note(f"note: {found}")
    for one in done.rejected:
        sample = f", for example {one.sample!r}" if one.sample is not None else ""
        terminal.note(f"{one.rows:,} {one.table} rejected: {one.reason}{sample}")


def build(
    settings: Settings, domain: "Domain | None", dbt: "Dbt", selection: Sequence[str], name: str
) -> "Built":
    """Run dbt over a selection."""
    from python_jobs.warehouse.build_notes import notes
    from python_jobs.warehouse.dbt import build as build_tables

    with terminal.step(name) as step:
        built = build_tables(settings, domain, dbt, selection, progress=step.count)
        step.result = f"{built.models} models, {built.tests} tests passed"
    for found in notes(settings) if name == "build" else []:
        terminal.note(f"note: {found}")
    return built


def check_from_day(settings: Settings, from_day: date) -> None:
    """Raise JobError if `from_day` is after the last build's data_through.

    Such a rebuild would change nothing. Before the first build, every day is accepted.
    """
    with connect(settings, read_only=True) as connection:
        built = connection.execute(
            "select 1 from information_schema.tables where table_name = 'build_window'"
        ).fetchone()
        row = built and connection.execute("select data_through from main.build_window").fetchone()
    if row and row[0] and from_day > row[0]:
        raise JobError(
            f"--from {from_day} is after {row[0]}, the last day that was built; days after that "
            "are built anyway.",
            next_step=f"give a day up to {row[0]}, or leave --from out.",
        )


def train(settings: Settings, seed: int, time_budget: float | None) -> None:
    """Train and register a version, unless nothing changed since the newest one.

    `time_budget`: see seconds_of_search. Keeps a sample of the training rows.
    """
    from python_jobs.ingest import raw_tables
    from python_jobs.registry import store, tracking
    from python_jobs.registry.register import register
    from python_jobs.registry.tables import write_registry_tables
    from python_jobs.scoring.snapshots import save_training_sample
    from python_jobs.training.inputs import domain_inputs
    from python_jobs.training.sample import draw
    from python_jobs.training.train import train as train_models

    tracking.check_installed()
    with terminal.step("train") as step, connect(settings) as connection:
        domain = warehouse_domain(connection, settings)
        draw(connection, settings)
        inputs = domain_inputs(
            connection,
            domain,
            seed=seed,
            time_budget=seconds_of_search(time_budget, settings, domain),
            progress=step.say,
        )
        version = store.made_from(settings.models, inputs.hash)
        if version and not store.not_trained_here(settings, version):
            write_registry_tables(connection, settings.models)
            save_training_sample(connection, settings, version)
            step.result = f"data, settings and code are unchanged: {version} stands"
            return
        parameters = store.champion_parameters(settings.models)
        trained = train_models(inputs, champion=parameters, progress=step.say)
        registered = register(
            connection,
            settings,
            trained,
            now=now(),
            raw_files=raw_tables.loaded_files(connection),
        )
        save_training_sample(connection, settings, registered.version)
        step.result = f"{in_words(registered.manifest['estimator'])}, {registered.version}"
    track(settings, domain.name, registered.version, "challenger")


def learn_effect(settings: Settings, seed: int) -> bool:
    """Learn from contacts whom they keep; return True if what lists count with changed.

    Nothing is said while there are no contacts.
    """
    from python_jobs.registry import effects

    if not engine_of(settings).runs_python_models:
        return False
    before = effects.version_in_use(settings.models)
    with connect(settings) as connection:
        decision = effects.learn(connection, settings.models, seed=seed, now=now())
    if decision and decision.contacts:
        terminal.note(f"effect of contacts: {decision.reason}")
    return effects.version_in_use(settings.models) != before


def seconds_of_search(option: float | None, settings: Settings, domain: "Domain") -> float:
    """Return the time budget: the option's, else the variable's, else the domain's."""
    given = (option, settings.time_budget, domain.vars.models.time_budget)
    return next(seconds for seconds in given if seconds is not None)


def promote(settings: Settings, version: str | None, failed: str | None = None) -> bool:
    """Promote a version if it has earned it, and print the reasons; return True if promoted.

    `failed`: why the model in production failed; None if it did not.
    """
    from python_jobs.registry.promotion import promote as decide
    from python_jobs.scoring.snapshots import save_training_sample
    from python_jobs.training.sample import draw

    with terminal.step("promote") as step, connect(settings) as connection:
        draw(connection, settings)
        domain = warehouse_domain(connection, settings)
        decision = decide(
            connection,
            settings,
            now=now(),
            version=version,
            replace_after_days=domain.vars.models.replace_after_days,
            failed=failed,
            progress=step.say,
        )
        if decision.is_promoted:
            save_training_sample(connection, settings, decision.version)
        step.result = "promoted" if decision.is_promoted else "not promoted"
    for reason in decision.reasons:
        terminal.note(reason)
    in_production = decision.is_promoted or decision.champion == decision.version
    alias = "production" if in_production else "challenger"
    track(settings, domain.name, decision.version, alias)
    return decision.is_promoted


def track(settings: Settings, domain: str, version: str, alias: str) -> None:
    """Give a version an alias in MLflow, if MLflow is set up; print a warning if that fails."""
    from python_jobs.registry import tracking

    if not tracking.is_on():
        return
    with terminal.step("track") as step:
        problem = tracking.track(settings, domain, version, alias)
        step.result = f"{'not told' if problem else alias} in MLflow"
    if problem:
        terminal.note(
            f"MLflow was not told that {version} is {alias}: {problem}. Nothing is lost: "
            f"the version is kept here. Next: `churnhouse promote {version}` tells MLflow again.",
            "warning",
        )


def build_and_score(settings: Settings, domain: "Domain", dbt: "Dbt") -> None:
    """Build everything, with scores by the production model.

    Raises JobError if no model is in production, once the tables before it are built.
    """
    from python_jobs.scoring.production import required
    from python_jobs.warehouse.dbt import BEFORE_MODELS

    if engine_of(settings).runs_python_models:
        build(settings, domain, dbt, (), "build")
        required(settings)
        say_scores(settings)
    else:
        build(settings, domain, dbt, BEFORE_MODELS, "build")
        score(settings, dbt)


def score(settings: Settings, dbt: "Dbt") -> None:
    """Score every user with the production model, and build what follows.

    Raises JobError if no model is in production.
    """
    from python_jobs.scoring.production import required

    required(settings)
    if not engine_of(settings).runs_python_models:
        from python_jobs.scoring import spark_score

        with terminal.step("score"), connect(settings) as connection:
            spark_score.score(connection, settings, now=now())
    build_after_models(settings, dbt)
    say_scores(settings)


def build_after_models(settings: Settings, dbt: "Dbt") -> None:
    """Build what follows the models; on DuckDB this scores as well."""
    from python_jobs.warehouse.dbt import AFTER_MODELS

    name = "score" if engine_of(settings).runs_python_models else "marts"
    build(settings, None, dbt, AFTER_MODELS, name)


def say_scores(settings: Settings) -> None:
    """Print how many users the latest predictions have in each risk band."""
    with connect(settings, read_only=True) as connection:
        counts = connection.execute(
            "select risk_band, count(*), max(as_of_date) "
            "from main.churn_predictions_latest group by risk_band"
        ).fetchall()
    bands = {band: users for band, users, _ in counts}
    day = max((row[2] for row in counts), default="nothing")
    said = ", ".join(f"{bands.get(band, 0):,} {band}" for band in BANDS)
    terminal.note(f"{sum(bands.values()):,} users scored as of {day}: {said}")


def publish(settings: Settings, keep: int | None = None) -> None:
    """Publish a new version, then tell the webhook's receiver, if there is one.

    `keep`: remove all but so many versions at once; by default the older ones go after a while.
    """
    from python_jobs.publishing.publish import prune
    from python_jobs.publishing.publish import publish as publish_version

    with terminal.step("publish") as step, connect(settings) as connection:
        job_runs.keep(connection)
        published = publish_version(connection, settings, now=now(), progress=step.say)
        step.result, step.rows = published.version, published.manifest["users"]
    if keep:
        prune(settings.published, keep)
    tell(settings, published)


def tell(settings: Settings, published: "Published") -> None:
    """Tell the webhook's receiver of a version; a failure costs the line that says so."""
    from python_jobs.publishing import webhook

    if settings.webhook_url is None:
        return
    with terminal.step("webhook") as step:
        try:
            step.result = webhook.send(settings, published.folder, published.manifest, now=now())
        except Exception as error:  # the version is published, whatever happens here
            step.result = f"nobody was told: {type(error).__name__}"


def outcomes(settings: Settings) -> None:
    """Print realised against expected churn."""
    from python_jobs.monitoring.outcomes import latest

    with connect(settings, read_only=True) as connection:
        terminal.show_outcomes(latest(connection))


def warehouse_domain(connection: "duckdb.DuckDBPyConnection", settings: Settings) -> "Domain":
    """Return the domain that filled this warehouse."""
    name = connection.execute("select name from raw.domain").fetchall()[0][0]
    return domains.load(name, settings)


def score_and_publish(settings: Settings, keep: int | None = None) -> None:
    """Score with the production model, build the tables that follow, and publish; see publish."""
    from python_jobs.warehouse.dbt import Dbt

    score(settings, Dbt(settings))
    publish(settings, keep)


def publish_without_the_forgotten(settings: Settings) -> None:
    """Count, score and publish anew after a removal, and remove all earlier publications."""
    from python_jobs.registry import store
    from python_jobs.scoring.snapshots import save_training_sample
    from python_jobs.training.sample import draw
    from python_jobs.warehouse.dbt import COUNTED_ANEW, Dbt

    if not (settings.published / "current").exists():
        return
    production = store.production(settings.models)
    # these tables still count the persons
    build(settings, None, Dbt(settings), COUNTED_ANEW, "recount")
    if production:
        with connect(settings) as connection:
            draw(connection, settings)
            save_training_sample(connection, settings, production.version)  # unless it has one
    score_and_publish(settings, keep=1)


def why_retrain(settings: Settings) -> str | None:
    """Return why the production model should be retrained: drift or a shortfall; None if neither.

    Raises JobError if no model is in production.
    """
    from python_jobs.monitoring.outcomes import failure
    from python_jobs.registry import store

    production = store.production(settings.models)
    if production is None:
        raise JobError(
            "No model is in production, so nothing can have drifted from it.",
            next_step="run `churnhouse retrain` without --if-drifted.",
        )
    with connect(settings, read_only=True) as connection:
        return failure(connection, production.version)
