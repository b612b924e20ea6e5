"""Doctor: check this installation, and say what is wrong and what to do.

A check returns one line if all is well, or raises the JobError that a job would raise. Checks
change nothing and do not disturb a running job. Libraries that may be broken are imported in the
checks that need them, so that the other checks still work.
"""

import contextlib
import importlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.table import Table

from api.keys import Keys
from api.settings import ApiSettings
from python_jobs.errors import JobError
from python_jobs.ingest import domain as domains
from python_jobs.publishing import status
from python_jobs.settings import PROJECT, Settings
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.limits import machine_failed
from python_jobs.warehouse.lock import holder

if TYPE_CHECKING:
    import duckdb

LOCK = PROJECT / "requirements.lock"
# Libraries with compiled parts, or with parts in separate packages.
LOADED = (
    *("duckdb", "dbt.cli.main", "dbt.adapters.duckdb", "numpy", "pandas", "scipy", "sklearn"),
    *("onnx", "skl2onnx", "onnxruntime", "pydantic", "orjson", "fastapi", "uvicorn"),
    *("httptools", "uvloop"),
)
LEAST_ROOM = 200 * 2**20
TOLERANCE = timedelta(minutes=5)
AT_WORK = "a run is at work on it: look again when it has finished"


@dataclass(frozen=True)
class Finding:
    """Result of one check; `next_step` says what to do, or is "" if all is well."""

    name: str
    found: str
    next_step: str = ""


def examine(settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """Yield the result of each check, one after the other."""
    for name, check in CHECKS.items():
        try:
            yield Finding(name, check(settings, now))
        except JobError as error:
            found, _, next_step = str(error).partition(" Next: ")
            yield Finding(name, found, next_step)
        except Exception as error:  # a check that crashes has found a problem too
            what = " ".join(f"{type(error).__name__}: {error}".split())
            yield Finding(name, what, "look at what it names; the other checks went on.")


def table(findings: list[Finding]) -> Table:
    """Return the findings as a table, with the next step below each problem."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column()
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    for finding in findings:
        if finding.next_step:
            shown.add_row("[red]wrong[/red]", finding.name, _plain(finding.found))
            shown.add_row("", "", _plain(f"Next: {finding.next_step}"))
        else:
            shown.add_row("ok", finding.name, _plain(finding.found))
    return shown


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _python(settings: Settings, now: datetime) -> str:
    needed = metadata.metadata("churnhouse")["Requires-Python"]
    if sys.version_info < tuple(int(part) for part in re.findall(r"\d+", needed)):
        raise JobError(
            f"Python {sys.version.split()[0]} is too old: {needed} is needed.",
            next_step="remove .venv and run `make run PYTHON=python3.11` (or newer).",
        )
    return sys.version.split()[0]


def _packages(settings: Settings, now: datetime) -> str:
    """Check that every required package is there in its locked version, and that LOADED load."""
    required = {
        re.split(r"[^\w.-]", line, maxsplit=1)[0]
        for line in metadata.requires("churnhouse") or []
        if "extra ==" not in line
    }
    locked = _locked(LOCK)
    wrong = []
    for name in sorted(required | set(locked)):
        version = _installed(name)
        if version is None and name in required:
            wrong.append(f"{name} is not installed")
        elif version and version not in locked.get(name, {version}):
            wrong.append(f"{name} is {version}, locked is {' or '.join(sorted(locked[name]))}")
    for module in LOADED:
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken library may raise anything
            wrong.append(f"{module} does not load ({' '.join(str(error).split())})")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise JobError(
            f"{'; '.join(wrong[:3])}{more}.",
            next_step="run `pip install --require-hashes -r requirements.lock` in its environment."
            if locked
            else "install churnhouse anew, with what it needs.",
        )
    return f"{len(required)} are there{', as locked,' if locked else ''} and load"


def _locked(lock: Path) -> dict[str, set[str]]:
    """Return the versions of each package in a lock file; {} if there is no such file."""
    versions: dict[str, set[str]] = {}
    if lock.exists():
        text = lock.read_text(encoding="utf-8")
        for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE):
            versions.setdefault(name, set()).add(version)
    return versions


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _home(settings: Settings, now: datetime) -> str:
    """Check that the home is writable, with room for a warehouse copy and one more version."""
    home = settings.home.resolve()
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"room")
    except OSError as error:
        if reason := machine_failed(settings, error):
            raise reason from None
        raise JobError(
            f"{there} cannot be written ({error.strerror}).",
            next_step="set CHURNHOUSE_HOME to a folder that this user may write.",
        ) from None
    free = shutil.disk_usage(there).free
    current = (settings.published / "current").resolve()
    files = [settings.warehouse, *current.rglob("*")]
    needed = LEAST_ROOM + sum(file.stat().st_size for file in files if file.is_file())
    if free < needed:
        raise JobError(
            f"{home} has {_megabytes(free)} left; the next run may need {_megabytes(needed)}.",
            next_step="make room there.",
        )
    missing = "" if home.exists() else "; not there yet, the first job makes it"
    return f"{home}, {_megabytes(free)} free{missing}"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MB"


def _lock(settings: Settings, now: datetime) -> str:
    held_by = holder(settings)
    return f"held: {held_by}" if held_by else "free"


def _warehouse(settings: Settings, now: datetime) -> str:
    """Check that the file opens, and that every table in it can be counted."""
    if not settings.warehouse.exists():
        return "none yet: `churnhouse ingest` makes it"
    if holder(settings):
        return AT_WORK
    with connect(settings, read_only=True) as connection:
        tables = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() order by all"
        ).fetchall()
        counts = (f"select count(*) from {name}" for (name,) in tables)
        rows = sum(connection.execute(count).fetchall()[0][0] for count in counts)
    return f"{len(tables)} tables, {rows:,} rows"


def _domain(settings: Settings, now: datetime) -> str:
    """Check that the domain that filled the warehouse is still there and valid."""
    if not settings.warehouse.exists():
        return "none yet: `churnhouse ingest` remembers it"
    if holder(settings):
        return AT_WORK
    with connect(settings, read_only=True) as connection:
        row = connection.execute("from raw.domain").fetchone()
    if row is None:
        return "none yet: `churnhouse ingest` remembers it"
    domain = domains.load(row[0], settings)
    changed = domain.built_with_json not in row
    note = ", changed since: the next build starts afresh" if changed else ""
    return f"{domain.name} in {domain.folder}{note}"


def _project(settings: Settings, now: datetime) -> str:
    """Check that dbt can read the project; no file is left behind."""
    from python_jobs.warehouse.dbt import Dbt

    with tempfile.TemporaryDirectory(prefix="churnhouse-doctor-") as work:
        nodes = Dbt(settings, work=Path(work)).parse().nodes.values()
    kinds = [node.resource_type for node in nodes]
    return f"{kinds.count('model')} models and {kinds.count('test')} tests"


def _model(settings: Settings, now: datetime) -> str:
    """Check that the production model's files are as registered, and its scores as before."""
    from python_jobs.publication import onnx_model
    from python_jobs.registry import store

    try:
        production = store.production(settings.models)
    except (ValueError, TypeError):
        raise JobError(
            f"{settings.models / 'production.json'} cannot be read.",
            next_step="restore it; without it, `churnhouse promote VERSION` writes it again.",
        ) from None
    if production is None:
        return "none in production yet: `churnhouse train` and `promote` make one"
    files = store.read_manifest(settings.models, production.version)["files"]
    for name in files:
        store.verified(settings.models, production.version, name)
    folder = settings.models / production.version
    session = onnx_model.load(folder / "model.onnx", files["model.onnx"])
    golden = store.read_json(settings.models, production.version, "golden.json")
    onnx_model.check_golden(session, golden)
    return f"{production.version}, {len(files)} files as registered"


def _published(settings: Settings, now: datetime) -> str:
    """Check that every file of the current version is as published."""
    if not os.path.lexists(settings.published / "current"):
        return "nothing yet: `churnhouse run` publishes"
    manifest = status.read(settings)
    return f"{manifest['version']}, {len(manifest['files'])} files as published"


def _signing(settings: Settings, now: datetime) -> str:
    """Check that what decides which model and which version serve is signed, where it can be."""
    from python_jobs.registry import approvals, store

    if settings.signing_key is None:
        found = "approvals and publications are not signed: CHURNHOUSE_SIGNING_KEY is not set"
        if settings.approval_required:
            raise JobError(
                f"{found}, so whoever may write {settings.models} can approve.",
                next_step="set it to `openssl rand -base64 32` for jobs and API; keep it secret.",
            )
        return found
    store.check_signed(settings)
    if unsigned := approvals.unsigned(settings):
        raise JobError(
            f"The approvals of {', '.join(unsigned)} are not signed, so they do not count.",
            next_step="approve those again that are still wanted: `churnhouse approve VERSION`.",
        )
    return "what is approved, promoted and published is signed, and refused without a signature"


def _times(settings: Settings, now: datetime) -> str:
    """Check that no time stamp is in the future: a fast clock makes old data look fresh."""
    for what, moment in _stamps(settings):
        if moment > now + TOLERANCE:
            raise JobError(
                f"{what} is stamped {moment:%Y-%m-%d %H:%M}, and it is {now:%Y-%m-%d %H:%M} (UTC).",
                next_step="set this machine's clock right; if it is right, it was not then: "
                "a load stamped ahead counts as the newest until that time has come.",
            )
    return f"nothing is stamped later than now, {now:%Y-%m-%d %H:%M} UTC"


def _stamps(settings: Settings) -> Iterator[tuple[str, datetime]]:
    """Yield the newest time stamp of each kind of work. Other checks report unreadable files."""
    from python_jobs.registry import store

    if settings.warehouse.exists() and not holder(settings):
        with (
            contextlib.suppress(JobError),
            connect(settings, read_only=True) as connection,
        ):
            last = connection.execute("select max(ingested_at) from raw.files").fetchall()[0][0]
            if last:
                yield "The newest load", last.replace(tzinfo=UTC)
            yield from _latest_step(connection)
    for version in store.versions(settings.models)[-1:]:
        made = datetime.strptime(version.rsplit("-", 1)[0], "%Y-%m-%dT%H%M%S%z")
        yield f"Model version {version}", made
    if (settings.published / "current").exists():
        with contextlib.suppress(JobError):
            published_at = status.read(settings)["published_at"]
            yield "The current version", datetime.fromisoformat(published_at)


def _latest_step(connection: "duckdb.DuckDBPyConnection") -> Iterator[tuple[str, datetime]]:
    """Yield the step of a job with the latest time stamp; none if no job has kept any."""
    kept = "from duckdb_tables() where schema_name = 'ml' and table_name = 'job_runs'"
    if connection.execute(kept).fetchone():
        steps = "select job, step, started_at from ml.job_runs order by started_at desc limit 1"
        for job, step, started_at in connection.execute(steps).fetchall():
            yield f"Step {step} of a {job}", started_at.replace(tzinfo=UTC)


def _keys(settings: Settings, now: datetime) -> str:
    """Check that the file of API keys is valid, and readable only by its owner and group."""
    path = ApiSettings(home=settings.home).api_keys
    if path is None:
        return "none set: the API answers this machine only"
    Keys(path)
    mode = path.stat().st_mode & 0o777
    if mode & 0o027:
        raise JobError(
            f"{path} is open to others (its mode is {mode:o}).", next_step=f"chmod 640 {path}"
        )
    return f"{path}, mode {mode:o}"


def _webhook(settings: Settings, now: datetime) -> str:
    """Check that what is told to a webhook can be signed. Nothing is sent."""
    if settings.webhook_url is None:
        return "none set: nobody is told of a new version"
    host = urlsplit(settings.webhook_url).hostname
    if settings.webhook_secret is None:
        raise JobError(
            f"{host} is not told of new versions: CHURNHOUSE_WEBHOOK_SECRET is not set.",
            next_step="make a secret with `echo whsec_$(openssl rand -base64 32)`, give it to the"
            " receiver and set it here.",
        )
    return f"{host} is told of each new version, signed"


CHECKS: dict[str, Callable[[Settings, datetime], str]] = {
    "python": _python,
    "packages": _packages,
    "home": _home,
    "lock": _lock,
    "warehouse": _warehouse,
    "domain": _domain,
    "dbt project": _project,
    "model": _model,
    "published": _published,
    "signing": _signing,
    "times": _times,
    "API keys": _keys,
    "webhook": _webhook,
}
