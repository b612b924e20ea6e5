"""One published version, verified and opened.

Its files are opened once. It keeps working after its folder is pruned, because the store is an
open file and everything else is in memory.
"""

import asyncio
import contextlib
import json
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from api.store import checks, explainer
from api.store.checks import BadVersion
from api.store.explainer import Explainer, explainer_of
from python_jobs.publication import candidate, feature_facts, lookup_store, onnx_model, prediction
from python_jobs.publication.attribute_values import Encoder
from python_jobs.publication.feature_facts import FeatureFact
from python_jobs.publication.impossible import Contradictions
from python_jobs.publication.manifest import manifest_of
from python_jobs.publication.signature import NOT_SIGNED, is_accepted

if TYPE_CHECKING:
    import onnxruntime

VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,80}")
REQUIRED = ("lookup.sqlite", "model.onnx", "features.json", "golden.json", "metrics.json")
OPTIONAL = ("typical.json", *explainer.FILES)
"""Versions of earlier releases lack some of them."""
SHARD = re.compile(r"lookup-\d+\.sqlite")
MONITORING = (
    *("feature_drift", "prediction_drift", "model_performance", "performance_intervals"),
    *("risk_bands", "churn_calendar", "risk_by_attribute"),
    *("campaign_lift", "save_rates", "policy_value", "effect_model", "job_runs"),
)
SHOWN_DATES = 60
SHOWN_ROWS = 500
"""Of a table without dates of scoring."""

WEEK_DAYS = 7
MANY_VALUES = 60
"""An attribute with more values than this is no choice in a list."""

PARAMETERS = {"limit", "cursor", "include", "min_risk", "band", "eligible", "in_holdout"}
"""What lists are asked with: an attribute with such a name is shown, and is no filter."""


@dataclass(frozen=True)
class Publication:
    """A version: its manifest, its store, its model."""

    version: str
    manifest: dict[str, Any]
    store: sqlite3.Connection
    shards: int
    stamps: dict[Path, checks.Stamp]
    """Of each file of the store, before it was verified."""

    session: "onnxruntime.InferenceSession"
    explainer: Explainer | None
    """None in versions of earlier releases."""

    features: dict[str, str]
    known_values: dict[str, list[str]]
    """The values of each attribute among the features that the model knows."""
    feature_facts: dict[str, FeatureFact]
    nullable: frozenset[str]
    metrics: dict[str, Any]
    typical: dict[str, dict[str, float]]
    report: bytes | None
    attributes: list[str]
    prediction_columns: list[str]
    candidate_columns: list[str]
    """None in versions of earlier releases."""
    users: int
    max_rank: int
    has_identities: bool
    has_call_list: bool
    action_columns: list[str]
    """What a store of this release says of contacts and moves; see lookup_store."""

    last_active_on: str
    """SQL of a user's last active day."""

    moves: dict[str, int]
    expected_loss: float | None
    """Of everybody who is eligible; None in versions of earlier releases."""

    contacted: list[tuple[str | None, str, int]]
    """(outcome, what happened since, users) of those contacted in the last seven days."""

    choices: dict[str, dict[str, int]]
    bands: dict[str, dict[str, float]]
    risk_tenths: list[tuple[int, int, float]]
    monitoring: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    totals: dict[tuple[Any, ...], int] = field(default_factory=dict)
    """The users that pass a filter, of the filters that were counted so far."""
    scanning: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever looks at many users, so that one request at a time does."""

    comparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever compares lists."""

    @property
    def etag(self) -> str:
        """Return the entity tag of this version."""
        return f'"{self.version}"'

    @property
    def model_version(self) -> str:
        """Return the version of the model that made these predictions."""
        return str(self.manifest["model_version"])

    @property
    def timezone(self) -> str:
        """Return the time zone whose days are counted."""
        return str(self.manifest.get("timezone", "UTC"))

    @cached_property
    def zone(self) -> ZoneInfo:
        """Return the time zone whose days are counted, to convert times with."""
        return ZoneInfo(self.timezone)

    @property
    def as_of_date(self) -> str:
        """Return the day at whose end the features were known."""
        return str(self.manifest["as_of_date"])

    @property
    def eligibility_days(self) -> int | None:
        """Return how long an eligible user may be silent; None if an earlier release published."""
        days: int | None = self.manifest.get("eligibility_days")
        return days

    @cached_property
    def published_at(self) -> float:
        """Return when it was published, as a Unix time."""
        return datetime.fromisoformat(self.manifest["published_at"]).timestamp()

    @cached_property
    def positions(self) -> dict[str, int]:
        """Return the position of each feature in the model's input."""
        return {name: position for position, name in enumerate(self.features)}

    @cached_property
    def contradictions(self) -> Contradictions:
        """Return what the model's features cannot be together."""
        return Contradictions(self.feature_facts, self.features, self.manifest.get("limits"))

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(list(self.features), self.known_values)

    @cached_property
    def shown_columns(self) -> list[str]:
        """Return the columns of a user that the API shows, as `shown` takes them."""
        return [*self.prediction_columns, *self.candidate_columns, *self.attributes]

    @cached_property
    def _prediction_sql(self) -> list[str]:
        return self._of_one_user(_quoted(self.shown_columns))

    @cached_property
    def _features_sql(self) -> list[str]:
        return self._of_one_user(_quoted(self.features))

    @cached_property
    def _series_sql(self) -> list[str]:
        return self._of_one_user("activity, history")

    @cached_property
    def _action_sql(self) -> list[str]:
        actions = filter(None, (_quoted(self.action_columns), self.last_active_on))
        return self._of_one_user(", ".join(actions))

    def _of_one_user(self, columns: str) -> list[str]:
        """Return the query for one user's columns, for each shard."""
        tables = [f"shard_{number}.users" for number in range(self.shards)] or ["users"]
        return [f"select {columns} from {table} where user_id = ?" for table in tables]

    def _row(self, sql: list[str], user_id: str) -> tuple[Any, ...] | None:
        """Return the row of a user, who may also be named by another of the person's ids."""
        row = self._row_of(sql, user_id)
        if row is None and (person := self.person_of(user_id)) != user_id:
            row = self._row_of(sql, person)
        return row

    def person_of(self, user_id: str) -> str:
        """Return the id under which the person with this id is published; else the id itself."""
        if not self.has_identities:
            return user_id
        query = "select user_id from identities where from_id = ?"
        person = self.store.execute(query, (user_id,)).fetchone()
        return str(person[0]) if person else user_id

    def _row_of(self, sql: list[str], user_id: str) -> tuple[Any, ...] | None:
        """Return the row of a user from the only shard that can hold it."""
        number = lookup_store.shard_of(user_id, self.shards) if self.shards else 0
        row: tuple[Any, ...] | None = self.store.execute(sql[number], (user_id,)).fetchone()
        return row

    def prediction(self, user_id: str) -> dict[str, Any] | None:
        """Return the published prediction of a user as the API shows it, or None."""
        row = self._row(self._prediction_sql, user_id)
        return None if row is None else self.shown(row)

    def shown(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """Return a row of shown_columns as the API shows it."""
        width = len(row) - len(self.attributes)
        shown = prediction.shown(dict(zip(self.shown_columns, row[:width], strict=False)))
        shown["attributes"] = dict(zip(self.attributes, row[width:], strict=True))
        shown["published_version"] = self.version
        return shown

    def user_features(self, user_id: str) -> tuple[Any, ...] | None:
        """Return the model's inputs for a user, in the model's order, or None."""
        return self._row(self._features_sql, user_id)

    def series(self, user_id: str) -> tuple[list[Any], list[Any]]:
        """Return events per day up to as_of_date, and past {as_of_date, churn_risk, risk_band}.

        A day on which the user was not active counts 0.
        Versions of earlier releases have no risk_band there.
        """
        activity, history = self._row(self._series_sql, user_id) or (None, None)
        return json.loads(activity or "[]"), json.loads(history or "[]")

    def actions(self, user_id: str) -> dict[str, Any]:
        """Return a user's action_columns and last_active_on; {} for an unknown user.

        `contact_history` is a list of contacts, the newest last.
        """
        row = self._row(self._action_sql, user_id)
        if row is None:
            return {}
        found = dict(zip([*self.action_columns, "last_active_on"], row, strict=True))
        found["contact_history"] = json.loads(found.get("contact_history") or "[]")
        return found

    def is_damaged(self) -> bool:
        """Return whether a file of the store was written in place; one that is gone is whole."""
        for path, stamp in self.stamps.items():
            with contextlib.suppress(OSError):
                now = checks.stamp(path)
                if now.inode == stamp.inode and now != stamp:
                    return True
        return False

    def retire(self) -> None:
        """Free the cached pages; open requests go on reading through the file."""
        self.store.execute("pragma shrink_memory")

    def score(self, rows: list[Any]) -> list[float]:
        """Return the churn risk of each row of values in the model's order; None is missing."""
        scores: list[float] = onnx_model.score(self.session, self._encoder.matrix(rows)).tolist()
        return scores

    def explain(self, row: Sequence[Any], risk: float) -> dict[str, Any]:
        """Return reasons, effects and action of a row of values, which has this risk.

        They are None in versions of earlier releases.
        """
        if self.explainer is None:
            return dict.fromkeys((*prediction.LISTS, "action"))
        return self.explainer.explain(self._encoder.matrix([row]), risk)


def load(published: Path, version: str, signing_key: str | None = None) -> Publication:
    """Verify a version file by file and row by row, and open it. Raises BadVersion.

    With a signing key, a version whose manifest lacks its signature is bad.

    Hashing a large store is slow, so this runs in a thread beside the event loop.
    """
    folder = published / version
    try:
        return _load(folder, version, signing_key)
    except BadVersion:
        raise
    except Exception as error:
        raise BadVersion(f"it cannot be opened ({type(error).__name__})") from error


def _load(folder: Path, version: str, signing_key: str | None) -> Publication:
    try:
        manifest = manifest_of(folder)
    except ValueError as error:
        raise BadVersion(f"its manifest is damaged: {error}") from None
    if manifest["version"] != version:
        raise BadVersion("its manifest names another version")
    if not is_accepted(manifest, "publication", signing_key):
        raise BadVersion(f"its manifest {NOT_SIGNED}")
    files = manifest["files"]
    content = {}
    page = f"reports/{manifest['model_version']}.html"
    shards = [name for name in sorted(files) if SHARD.fullmatch(name)]
    stamps = {
        path: checks.stamp(path)
        for name in ("lookup.sqlite", *shards)
        if (path := folder / name).exists()
    }
    for name in (*REQUIRED, *shards, *(n for n in (*OPTIONAL, page) if n in files)):
        keep = not name.endswith(".sqlite")
        content[name] = checks.verified(folder / name, files.get(name), keep=keep)
    features = json.loads(content["features.json"])
    golden = json.loads(content["golden.json"])
    session = onnx_model.open_session(content["model.onnx"])
    try:
        onnx_model.check_golden(session, golden)
    except Exception:
        raise BadVersion("its model does not give the golden rows their scores") from None
    store = _open(folder / "lookup.sqlite", [folder / name for name in shards])
    names = dict(zip(features["names"], features["types"], strict=True))
    known_values = features.get("values", {})
    publication = Publication(
        version=version,
        manifest=manifest,
        store=store,
        shards=len(shards),
        stamps=stamps,
        session=session,
        explainer=explainer_of(content, features),
        features=names,
        known_values=known_values,
        feature_facts=feature_facts.from_json(features),
        nullable=_nullable(names, known_values, golden),
        metrics=json.loads(content["metrics.json"]),
        typical=json.loads(content.get("typical.json", b"{}")),
        report=content.get(page),
        **_facts(store, manifest.get("attributes")),
    )
    tables = [f"shard_{number}.users" for number in range(len(shards))] or ["main.users"]
    parts = [files[name] for name in shards or ["lookup.sqlite"]]
    checks.check_users(store, dict(zip(tables, parts, strict=True)), manifest)
    checks.check_scores(store, list(names), publication.score, publication.explain)
    if any(checks.stamp(path) != stamp for path, stamp in stamps.items()):
        raise BadVersion("its store was changed while it was read")
    return publication


def _open(path: Path, shards: list[Path]) -> sqlite3.Connection:
    """Open the store read-only; it is made in a thread, then used only on the event loop.

    The users of all shards form one view; ordered lists merge the shards' indexes.
    """
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    store = sqlite3.connect(uri, uri=True, check_same_thread=False, cached_statements=256)
    store.execute("pragma temp_store = memory")  # first: this pragma drops temporary tables
    for number, shard in enumerate(shards):
        uri = f"{shard.resolve().as_uri()}?mode=ro&immutable=1"
        store.execute(f"attach ? as shard_{number}", (uri,))
    if shards:
        parts = [f"select * from shard_{number}.users" for number in range(len(shards))]
        store.execute(f"create temp view users as {' union all '.join(parts)}")
    store.execute("pragma mmap_size = 0")  # a mapped file that is cut short kills the process
    store.execute("pragma cache_size = -4096")
    return store


def _facts(store: sqlite3.Connection, attributes: list[str] | None) -> dict[str, Any]:
    """Return the facts of a version that many requests need.

    `attributes`: those of the manifest, None if an earlier release published it.
    """
    tables = {row[0] for row in store.execute("select name from sqlite_master")}
    columns = lookup_store.columns(store)
    if attributes is None:
        attributes = lookup_store.guessed_attributes(store)
    users, max_rank = store.execute("select count(*), max(risk_rank) from users").fetchone()
    choices = {}
    for name in attributes:
        if name in PARAMETERS:
            continue
        sql = f'select "{name}", count(*) from users where "{name}" is not null group by 1'
        counts = store.execute(f"{sql} order by 2 desc, 1 limit {MANY_VALUES + 1}").fetchall()
        if len(counts) <= MANY_VALUES:
            choices[name] = dict(counts)
    bands = {
        band: {"users": n, "eligible_users": eligible, "expected_churners": expected}
        for band, n, eligible, expected in store.execute(
            "select risk_band, count(*), sum(is_eligible), total(churn_risk * is_eligible)"
            " from users group by 1"
        )
    }
    # tenth of churn_risk (1 to 10; 0.1 belongs to the first), eligible users, sum of their risks
    tenths = store.execute(
        "select max(1, 10 - cast((1 - churn_risk) * 10 as integer)), count(*), sum(churn_risk)"
        " from users where is_eligible group by 1"
    ).fetchall()
    actions = (*candidate.COLUMNS, "contact_history")
    known_actions = [name for name in actions if name in columns]
    return {
        "action_columns": known_actions,
        "last_active_on": lookup_store.last_active_on(store),
        "moves": _moves(store) if "churn_move" in columns else {},
        "contacted": _contacted(store)
        if {"contact_history", "last_contact_on"} <= {*columns}
        else [],
        "expected_loss": _expected_loss(store) if "expected_loss" in columns else None,
        "attributes": attributes,
        "prediction_columns": [name for name in prediction.NAMES if name in columns],
        "candidate_columns": [name for name in candidate.COLUMNS if name in columns],
        "users": users,
        "max_rank": max_rank or 0,
        "has_identities": "identities" in tables,
        "has_call_list": "churn_top_risk" in tables,
        "choices": choices,
        "bands": bands,
        "risk_tenths": tenths,
        "monitoring": {name: _table(store, name) for name in MONITORING if name in tables},
    }


def _moves(store: sqlite3.Connection) -> dict[str, int]:
    """Return the number of users by their move since a week before."""
    sql = "select churn_move, count(*) from users where churn_move is not null group by 1"
    return dict(store.execute(sql).fetchall())


def _expected_loss(store: sqlite3.Connection) -> float:
    sql = "select total(expected_loss) from users where is_eligible"
    return float(store.execute(sql).fetchone()[0])


def _contacted(store: sqlite3.Connection) -> list[tuple[str | None, str, int]]:
    """Return the users contacted in the last seven days, counted by outcome and what followed.

    `active`: active on a day after the contact; `silent`: not; `open`: no such day is known.
    """
    return store.execute(
        f"""
        select
            (
                select json_extract(value, '$.outcome') from json_each(contact_history)
                where json_extract(value, '$.action') = 'contacted' order by key desc limit 1
            ),
            case
                when last_contact_on >= as_of_date then 'open'
                when {lookup_store.last_active_on(store)} > last_contact_on then 'active'
                else 'silent'
            end,
            count(*)
        from users
        where last_contact_on > date(as_of_date, '-{WEEK_DAYS} days')
        group by 1, 2
        """
    ).fetchall()


def _table(store: sqlite3.Connection, name: str) -> list[dict[str, Any]]:
    """Return the rows of the newest dates, oldest date first; without dates, the first rows."""
    columns = {row[1] for row in store.execute(f"pragma table_info({name})")}
    if "as_of_date" in columns:
        dates = f"select distinct as_of_date from {name} order by 1 desc limit {SHOWN_DATES}"
        query = f"select * from {name} where as_of_date in ({dates}) order by 1, 2, 3"
    else:
        query = f"select * from {name} limit {SHOWN_ROWS}"
    cursor = store.execute(query)
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor]
    for row in rows:
        row |= {n: row[n] == 1 for n in names if n.startswith("is_") and row[n] is not None}
    return sorted(rows, key=lambda row: row.get("as_of_date", ""))


def _nullable(
    features: dict[str, str], known_values: dict[str, list[str]], golden: dict[str, Any]
) -> frozenset[str]:
    """Return numbers that may be null: non-integers, and those that were null."""
    numbers = [name for name in features if name not in known_values]
    return frozenset(
        name
        for position, name in enumerate(numbers)  # its column in the golden rows
        if not is_whole(features[name]) or any(row[position] is None for row in golden["rows"])
    )


def is_whole(kind: str) -> bool:
    """Return whether a SQL type holds only whole numbers."""
    return "INT" in kind


def _quoted(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
