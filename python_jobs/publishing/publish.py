"""Publish: write one complete, checked, immutable version and point `current` to it."""

import contextlib
import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from python_jobs import terminal
from python_jobs.errors import JobError
from python_jobs.files import fsync, sequence_of, sha256_of, sql_text, write_json
from python_jobs.ingest import persons
from python_jobs.ingest.words import of_warehouse
from python_jobs.publication.manifest import manifest_of
from python_jobs.publication.signature import is_accepted, signed
from python_jobs.publishing import activation, comments, exports, lookup, summary
from python_jobs.registry import store
from python_jobs.registry.published_report import published_report
from python_jobs.settings import Settings
from python_jobs.warehouse.dbt_settings import domain_vars

RECENT_DAYS = 90
KEPT_VERSIONS = 5
# A reader that resolved `current` before the switch has this long to open its files.
GRACE = timedelta(minutes=10)
# The tables of the published DuckDB file, and the query that fills each.
TABLES = {
    "churn_predictions": "from main.churn_predictions order by as_of_date, risk_rank",
    "churn_predictions_latest": "from main.churn_predictions_latest order by risk_rank",
    "churn_top_risk": "from main.churn_top_risk order by list_rank",
    "churn_calendar": "from main.churn_calendar order by week_start",
    "risk_by_attribute": "from main.risk_by_attribute order by all",
    "churn_moves": "from main.churn_moves order by move, user_id",
    "contact_candidates": "from main.contact_candidates order by user_id",
    "save_rates": "from main.save_rates order by all",
    "users": "from main.users order by user_id",
    "user_attributes_history": "from main.user_attributes_history order by user_id, valid_from",
    "user_features_latest": "from main.user_features_latest order by user_id",
    "user_daily": f"""
        from main.user_daily
        where day > (select data_through from main.build_window) - {RECENT_DAYS}
        order by day, user_id
    """,
    "feature_drift": "from main.feature_drift order by as_of_date, feature",
    "prediction_drift": "from main.prediction_drift order by as_of_date",
    "feature_consistency": "from main.feature_consistency order by as_of_date, feature",
    "prediction_outcomes": "from main.prediction_outcomes order by as_of_date, risk_rank",
    "model_performance": "from main.model_performance order by as_of_date",
    "contacts": "from main.contacts order by all",
    "treatments": "from main.treatments order by user_id, campaign",
    "campaign_outcomes": "from main.campaign_outcomes order by campaign, month, user_id",
    "campaign_lift": "from main.campaign_lift order by campaign, month",
    "policy_value": "from main.policy_value order by policy",
    "effect_model": "from main.effect_model",
    "rejected_rows": "from main.rejected_rows order by ingested_at desc, table_name, row_id desc",
    "rejected_counts": "from main.rejected_counts order by table_name, row_count desc",
    "fold_metrics": "from ml.fold_metrics order by all",
    "model_versions": "from ml.model_versions order by version",
    "promotions": "from ml.promotions order by decision_number nulls first, decided_at",
    "approvals": "from ml.approvals order by decision_number nulls first, decided_at",
    "job_runs": "from ml.job_runs order by step_number nulls first, started_at",
    "dbt_run_results": "from ml.dbt_run_results order by run_number, node",
}
MODEL_FILES = ("model.onnx", "features.json", "golden.json", "metrics.json", "typical.json")
REASON_FILES = ("reasons.onnx", "reasons.json")
"""Model files that explain it, with the domain's words; a model of an early release has none."""


@dataclass(frozen=True)
class Published:
    """The version that is now current."""

    version: str
    folder: Path
    manifest: dict[str, Any]


def publish(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    *,
    now: datetime,
    progress: Callable[[str], None] = lambda line: None,
) -> Published:
    """Write published/<version>/, read it back, then point `current` at it; prune old versions.

    Raises JobError, and leaves `current` unchanged, if there is nothing to publish, a file cannot
    be written, or a written file does not read back.
    """
    _check_link(settings.published)
    as_of_date, model_version = _what_to_publish(connection)
    version = f"{as_of_date}-{_stamp(now)}"
    folder = settings.published / version
    work = settings.published / f".{version}.partial"
    try:
        settings.published.mkdir(parents=True, exist_ok=True)
        sweep(settings.published)
        work.mkdir()
        for name in _model_files(settings, model_version):
            file = store.verified(settings.models, model_version, name)
            shutil.copyfile(file, work / name)
        write_json(work / "words.json", asdict(of_warehouse(connection, settings)))
        page = published_report(connection, settings, model_version)
        (work / "reports").mkdir()
        (work / "reports" / f"{model_version}.html").write_text(page, encoding="utf-8")
        progress("tables")
        rows = _write_tables(connection, work / "churnhouse.duckdb")
        progress("lookup store")
        shard_users = settings.lookup_shard_users
        attributes = _attributes(connection)
        stored, ids = lookup.write(connection, work / "lookup.sqlite", shard_users, attributes, now)
        rows |= stored
        progress("exports")
        rows |= _write_exports(connection, work, as_of_date)
        persons.prepare(connection)
        rows |= activation.write(connection, work, _before(settings))
        progress("reading back")
        _read_back(work, rows, ids)
        manifest = {
            "version": version,
            "sequence": 1 + max(map(sequence_of, _versions(settings.published)), default=0),
            "published_at": f"{store.utc(now).isoformat()}Z",
            "as_of_date": as_of_date.isoformat(),
            "model_version": model_version,
            "code_commit": store.git_commit(),
            "attributes": attributes,
            **summary.of(connection, settings, model_version),
            "files": _files(work, rows, ids),
        }
        manifest = signed(manifest, "publication", settings.signing_key)
        write_json(work / "manifest.json", manifest)
        for path in [*work.rglob("*"), work]:
            fsync(path)
        work.rename(folder)
        point(settings.published, version)
    except (OSError, duckdb.Error, sqlite3.Error) as error:
        shutil.rmtree(work, ignore_errors=True)
        reason = str(error).splitlines()[0]
        raise JobError(
            f"Version {version} could not be published: {reason}.",
            next_step=f"make room or repair {settings.published}, then run `churnhouse publish`.",
        ) from None
    prune(settings.published, KEPT_VERSIONS, replaced_before=now - GRACE)
    return Published(version, folder, manifest)


def _model_files(settings: Settings, model_version: str) -> tuple[str, ...]:
    registered = store.read_manifest(settings.models, model_version)["files"]
    return MODEL_FILES + (REASON_FILES if {*REASON_FILES} <= {*registered} else ())


def _check_link(published: Path) -> None:
    """Raise JobError if `current` is no link, which a new one could not replace."""
    current = published / "current"
    if current.is_dir() and not current.is_symlink():
        raise JobError(
            f"{current} is a folder, not a link to a version.",
            next_step="remove it, then run `churnhouse publish`.",
        )


def point(published: Path, version: str) -> None:
    """Make `current` a link to a version, atomically: readers see the old or the new version."""
    link = published / f".current-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(version)
    link.replace(published / "current")
    fsync(published)


def _before(settings: Settings) -> Path | None:
    """Return the folder of the version before, if its tables are as they were published."""
    folder = (settings.published / "current").resolve()
    if not folder.exists():
        return None
    with contextlib.suppress(OSError, ValueError, LookupError):
        manifest = manifest_of(folder)
        expected = manifest["files"]["churnhouse.duckdb"]["sha256"]
        is_whole = sha256_of(folder / "churnhouse.duckdb") == expected
        if is_whole and is_accepted(manifest, "publication", settings.signing_key):
            return folder
    terminal.note(
        f"{folder.name} is not as it was published: the changes of the list tell all of it anew",
        "warning",
    )
    return None


def prune(published: Path, keep: int, *, replaced_before: datetime | None = None) -> None:
    """Remove all but the newest `keep` versions. The current version always stays.

    With `keep` 1 no other stays, not even one that claims to be newer. `replaced_before`: remove
    only versions that had a successor by then. A version is renamed before it is removed, so that
    no reader sees a part of it.
    """
    current = (published / "current").resolve().name

    def place(folder: Path) -> tuple[bool, int, str]:
        return folder.name == current, sequence_of(folder), _published_at(folder)

    by_age = sorted(_versions(published), key=place)
    for folder, successor in itertools.pairwise(by_age[: 1 - keep or None]):
        is_read = replaced_before and _published_at(successor) > _stamp(replaced_before)
        if folder.name != current and not is_read:
            shutil.rmtree(folder.rename(published / f".{folder.name}.removed"))


def _stamp(moment: datetime) -> str:
    """Return a time as text for a version's name; it sorts by time."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"


def _versions(published: Path) -> list[Path]:
    """Return the folders of the versions."""
    folders = [path.parent for path in published.glob("[!.]*/manifest.json")]
    return [folder for folder in folders if not folder.is_symlink()]


def _published_at(folder: Path) -> str:
    return folder.name.rsplit("-", 1)[-1]


def _what_to_publish(connection: duckdb.DuckDBPyConnection) -> tuple[date, str]:
    """Return as_of_date and model of the newest predictions. Raises JobError if incomplete."""
    as_of_date, model_version, models, scored = connection.execute(
        """
        select max(as_of_date), max(model_version), count(distinct model_version), count(*)
        from main.churn_predictions_latest
        """
    ).fetchall()[0]
    if not scored:
        raise JobError(
            "There are no predictions to publish.",
            next_step="run `churnhouse train`, `promote`, `score`, then publish again.",
        )
    _check_gates(connection)
    through, users, is_finished = connection.execute(
        """
        select
            data_through,
            (select count(*) from main.user_features_latest),
            ingested_through
            = (select max_by(ingested_through, build_number) from main.build_log)
        from main.build_window
        """
    ).fetchall()[0]
    if not is_finished:
        raise JobError(
            "The last build broke off before its tables were done.",
            next_step="run `churnhouse build` and `score`, then publish again.",
        )
    if (as_of_date, scored, models) != (through, users, 1):
        raise JobError(
            f"The newest predictions are {scored} of {as_of_date}; the features are {users} of "
            f"{through}.",
            next_step="run `churnhouse score`, build again and publish.",
        )
    return as_of_date, model_version


def _attributes(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the attributes that the domain declares; readers need them to know these columns."""
    attributes: list[str] = domain_vars(connection)["attributes"]
    return attributes


def _check_gates(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise JobError if a gate or a model failed in the last build.

    A node's last result counts if it is not older than the last build of the day tables. Runs are
    ordered by number: after a clock that was once ahead, times would hide a failure.
    """
    bad = connection.execute(
        """
        with
        last as (
            select
                node,
                resource_type,
                max_by(status, coalesce(run_number, 0)) as status,
                max(coalesce(run_number, 0)) as run_number
            from ml.dbt_run_results
            group by all
        )
        select resource_type, node
        from last
        where
            status in ('fail', 'error')
            and resource_type <> 'source' -- data that stopped arriving is old, not broken
            and run_number >= (
                select max(coalesce(run_number, 0)) from ml.dbt_run_results
                where node = 'build_window'
            )
        order by node
        """
    ).fetchone()
    if bad:
        raise JobError(
            f"Nothing was published: {bad[0]} {bad[1]} failed in the last build.",
            next_step="run `churnhouse build` to see what it found.",
        )


def _write_tables(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, dict[str, int]]:
    """Copy the tables into a new DuckDB file; return {file: {table: rows}}."""
    # older DuckDB clients, such as BI tools carry, must be able to open the file
    connection.execute(f"attach {sql_text(path)} as publication (storage_version 'v1.2.0')")
    try:
        for name, query in TABLES.items():
            connection.execute(f"create table publication.main.{name} as {query}")
        comments.write(connection, "publication")
        rows = {name: _count(connection, f"publication.main.{name}") for name in TABLES}
    finally:
        connection.execute("detach publication")
    return {path.name: rows}


def _write_exports(
    connection: duckdb.DuckDBPyConnection, work: Path, as_of_date: date
) -> dict[str, dict[str, int]]:
    top = f"churn_top_{domain_vars(connection).get('top_k', 50)}"
    tables = [
        ("churn_predictions", "churn_predictions_latest", "risk_rank"),
        (top, "churn_top_risk", "list_rank"),
    ]
    rows = {}
    for name, table, order in tables:
        count = _count(connection, f"main.{table}")
        file = work / f"{name}_{as_of_date}"
        for path in exports.write(connection, f"main.{table}", order, file):
            rows[path.name] = {table: count}
    return rows


def _read_back(work: Path, rows: dict[str, dict[str, int]], ids: dict[str, str]) -> None:
    """Open every file as its readers do; count its rows and compare the ids of users.

    Raises JobError at a difference.
    """
    for name, expected in rows.items():
        counts = _count_rows(work / name, list(expected))
        if counts != expected:
            raise JobError(
                f"{name} does not read back: {counts} instead of {expected} rows.",
                next_step="check the disk, then run `churnhouse publish` again.",
            )
    for name, expected_ids in ids.items():
        if lookup.ids(work / name) != expected_ids:
            raise JobError(
                f"{name} does not hold the users of churn_predictions_latest.",
                next_step="run `churnhouse build`, then publish again.",
            )


def _count_rows(path: Path, tables: list[str]) -> dict[str, int]:
    if path.suffix == ".sqlite":
        return lookup.count(path, tables)
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as copy:
            return {name: _count(copy, name) for name in tables}
    with duckdb.connect() as reader:
        return {name: _count(reader, f"{sql_text(path)}") for name in tables}


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    (count,) = connection.execute(f"select count(*) from {relation}").fetchall()[0]
    return int(count)


def _files(
    work: Path, rows: dict[str, dict[str, int]], ids: dict[str, str]
) -> dict[str, dict[str, Any]]:
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in work.rglob("*") if path.is_file()):
        name = path.relative_to(work).as_posix()
        files[name] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        if name in rows:
            files[name]["rows"] = rows[name]
        if name in ids:
            files[name]["ids_sha256"] = ids[name]
    return files


def sweep(published: Path) -> None:
    """Remove leftovers of an interrupted publication; the job's lock ensures that none runs."""
    for path in published.glob(".*"):
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
