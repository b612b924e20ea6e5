"""Promote: decide whether a version becomes production, point to it, and record the decision."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import duckdb
import numpy as np

from python_jobs import onnx_model, registry
from python_jobs.errors import JobError
from python_jobs.metrics import average_precision, pooled
from python_jobs.registry import Features
from python_jobs.settings import Settings

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Duel:
    """Average precision of champion and challenger on the same eligible rows; both held out."""

    challenger: float
    champion: float
    rows: int
    where: str


@dataclass(frozen=True)
class Decision:
    """Whether the version becomes production, why, and whom it was compared with."""

    is_promoted: bool
    reasons: list[str]
    version: str = ""
    champion: str | None = None

    @property
    def reason(self) -> str:
        """The reasons as one text."""
        return "; ".join(self.reasons)


def decide(challenger: Metrics, rivals: Mapping[str, Metrics], duel: Duel | None) -> Decision:
    """Promote only what is measured in full, beats every rival, and is not worse than the champion.

    `challenger` and `rivals` hold pooled metrics on eligible held-out rows; None or NaN is a
    metric that could not be measured. A tie with a rival refuses: a model must earn its keep. A tie
    with the champion promotes: the newer one has seen newer data. Without a duel, the rivals
    alone decide.
    """
    unknown = [name for name, value in challenger.items() if _unknown(value)]
    if unknown:
        return Decision(False, [f"{', '.join(unknown)} could not be measured"])
    ours = challenger["average_precision"]
    against, speaking_for = [], []
    for name, metrics in rivals.items():
        theirs = metrics["average_precision"]
        beats = not _unknown(theirs) and ours > theirs
        (speaking_for if beats else against).append(
            f"average precision {ours:.4f} {'beats' if beats else 'does not beat'} {name} "
            + ("of unknown precision" if _unknown(theirs) else f"at {theirs:.4f}")
        )
    if duel:
        holds = duel.challenger >= duel.champion  # False for NaN
        (speaking_for if holds else against).append(
            f"{'not worse' if holds else 'worse'} than the champion: {duel.challenger:.4f} against "
            f"{duel.champion:.4f} on {duel.rows:,} rows ({duel.where})"
        )
    else:
        speaking_for.append("there is no champion that it can be compared with")
    return Decision(not against, against or speaking_for)


def _unknown(value: float | None) -> bool:
    return value is None or math.isnan(value)


def promote(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    *,
    now: datetime,
    version: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Decision:
    """Decide on a version, the newest by default; record the decision and act on it.

    Promoting what is in production already changes and records nothing. Raises JobError if there
    is no such version, a file of it is not what was registered, or another promotion was faster.
    """
    say = progress or (lambda line: None)
    models = settings.models
    champion = registry.production(models)
    version = version or next(reversed(registry.versions(models)), None)
    if version is None:
        raise JobError("There is no model version yet.", next_step="run `churnhouse train`.")
    if champion and champion.version == version:
        decision = Decision(False, ["it is in production already"], version, version)
    else:
        decision = _judged(con, settings, version, champion and champion.version)
        con.begin()
        try:
            con.execute(
                "insert into ml.promotions values (?, ?, ?, ?, ?)",
                [
                    registry.utc(now),
                    version,
                    decision.champion,
                    decision.is_promoted,
                    decision.reason,
                ],
            )
            if decision.is_promoted:
                registry.swap_production(models, champion, version, now)
            con.commit()
        except BaseException:
            con.rollback()
            raise
    say(f"{version} {'promoted' if decision.is_promoted else 'not promoted'}: {decision.reason}")
    return decision


def _judged(
    con: duckdb.DuckDBPyConnection, settings: Settings, version: str, champion: str | None
) -> Decision:
    """Read what decide() needs and ask it."""
    for name in registry.read_manifest(settings.models, version)["files"]:
        registry.verified(settings.models, version, name)
    metrics = registry.read_json(settings.models, version, "metrics.json")
    tables = metrics["models"]
    rivals = {n: pooled(tables, n) for n, table in tables.items() if table["kind"] == "rival"}
    duel = champion and (
        _duel_on_unseen_rows(con, settings, version, champion)
        or _duel_of_recipes(settings, tables, metrics["selected"], champion)
    )
    decision = decide(pooled(tables, metrics["selected"]), rivals, duel)
    return replace(decision, version=version, champion=champion)


def _duel_on_unseen_rows(
    con: duckdb.DuckDBPyConnection, settings: Settings, version: str, champion: str
) -> Duel | None:
    """The champion's own file against the challenger's fold models, where neither cheats.

    A fold model never saw its test rows. The champion never saw a row whose as_of_date is a
    horizon or more after its last training date; of rows before that it knows the label's window
    at least in part. None if the rows left are not of both classes, or if the champion cannot
    read today's features.
    """
    models = settings.models
    manifest = registry.read_manifest(models, champion)
    features = registry.read_features(models, champion)
    if features.differences(Features.of_table(con, "evaluation_set")):
        return None
    chosen = registry.read_manifest(models, version)["estimator"]
    last = datetime.fromisoformat(manifest["last_as_of_date"]).date()
    session = onnx_model.load(models / champion / "model.onnx", manifest["files"]["model.onnx"])
    parts = [
        (frame, onnx_model.score(session, matrix))
        for frame, matrix in features.chunks(
            con,
            ["h.churn_label", f'h."{chosen}" as challenger'],
            "from read_parquet(?) as h join evaluation_set as f using (user_id, as_of_date) "
            "where h.is_eligible and h.as_of_date >= ? order by h.as_of_date, h.user_id",
            str(models / version / "held_out.parquet"),
            last + timedelta(days=manifest["horizon_days"]),
        )
    ]
    y = np.concatenate([frame["churn_label"] for frame, _ in parts])
    if not 0 < y.sum() < len(y):
        return None
    ours = np.concatenate([frame["challenger"] for frame, _ in parts])
    theirs = np.concatenate([risk for _, risk in parts])
    return Duel(
        average_precision(y, ours),
        average_precision(y, theirs),
        len(y),
        "held-out rows that neither has seen",
    )


def _duel_of_recipes(
    settings: Settings, tables: dict[str, dict], chosen: str, champion: str
) -> Duel | None:
    """The champion's recipe, refitted on the challenger's folds, against the challenger's.

    This is what is left when the champion has trained on the challenger's test dates, as it has
    when models are retrained more often than once a horizon: its own scores there would flatter
    it. None if the recipe is no longer among the candidates.
    """
    recipe = registry.read_manifest(settings.models, champion)["estimator"]
    if recipe not in tables:
        return None
    return Duel(
        pooled(tables, chosen)["average_precision"],
        pooled(tables, recipe)["average_precision"],
        tables[chosen]["folds"]["pooled"]["eligible"]["rows"],
        f"the champion's recipe, {recipe}, refitted on the same folds",
    )
