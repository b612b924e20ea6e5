"""Promotion: decide whether a version becomes production, record the decision and apply it."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from python_jobs.errors import JobError
from python_jobs.ingest import persons
from python_jobs.publication import onnx_model
from python_jobs.publication.models import in_words
from python_jobs.registry import approvals, store
from python_jobs.registry import persons as persons_of_versions
from python_jobs.registry.tables import add_decision
from python_jobs.settings import Settings
from python_jobs.training.bootstrap import Interval
from python_jobs.training.judging import is_baseline, paired_difference, pooled
from python_jobs.training.metrics import RANKING, average_precision, by_date
from python_jobs.warehouse.connection import give_up
from python_jobs.warehouse.features import Features

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class ChampionComparison:
    """RANKING of champion and challenger on the same eligible held-out rows.

    `lead` is challenger minus champion, with an interval from the same bootstrap users for both.
    """

    challenger: float
    champion: float
    lead: Interval
    rows: int
    where: str


@dataclass(frozen=True)
class Decision:
    """Decision on a version: whether it becomes production, why, and the champion it met."""

    is_promoted: bool
    reasons: list[str]
    version: str = ""
    champion: str | None = None
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Return the reasons as one text."""
        return "; ".join(self.reasons)


def decide(
    challenger: Metrics,
    baselines: Mapping[str, Metrics],
    comparison: ChampionComparison | None,
    leads: Mapping[str, Interval] | None = None,
    *,
    has_champion: bool,
    must_go: str | None = None,
) -> Decision:
    """Decide: promote a model that is better than the champion beyond the interval.

    `challenger` and `baselines` hold metrics on eligible held-out rows; one of None or NaN could
    not be measured, and one in `challenger` refuses it, unless nothing is in production: some list
    is better than none. The challenger is better than the champion if the whole interval of its
    lead is above zero: a smaller lead may be chance. `must_go`: why a challenger that is not
    worse replaces the champion as well; None if nothing asks for it.
    A metric that the challenger's release did not know is not in `challenger`.
    `baselines` and `leads` over them are for the reasons alone: training chose the best of
    candidates and rules.
    """
    against: list[str] = []
    speaking_for: list[str] = []
    ours = challenger.get(RANKING)
    unknown = [name for name, value in challenger.items() if _unknown(value)]
    if unknown:
        what = "nothing" if len(unknown) == len(challenger) else ", ".join(unknown)
        (against if has_champion else speaking_for).append(
            "it is not judged yet" if what == "nothing" else f"{what} could not be measured"
        )
    for name, metrics in baselines.items():
        theirs = metrics[RANKING]
        if ours is not None and theirs is not None:
            speaking_for.append(
                f"average precision within dates {ours:.4f}, "
                f"{theirs:.4f} of {name}{_bounds((leads or {}).get(name))}"
            )
    if not has_champion:
        speaking_for.append("no model is in production yet")
        return Decision(not against, against or speaking_for)
    found = _against_champion(comparison)
    holds = found == "better than" or (must_go is not None and found != "worse than")
    reason = f"{found} the champion" if comparison else "the champion cannot be compared with it"
    if comparison:
        reason += (
            f": {comparison.challenger:.4f} against {comparison.champion:.4f}"
            f"{_bounds(comparison.lead)} on {comparison.rows:,} rows ({comparison.where})"
        )
    (speaking_for if holds else against).append(reason)
    if holds and must_go and found != "better than":
        speaking_for.append(must_go)
    return Decision(not against, against or speaking_for)


def _against_champion(comparison: ChampionComparison | None) -> str | None:
    """Return how the challenger compares with the champion; None if that is not known."""
    if comparison is None:
        return None
    low, high = comparison.lead.low, comparison.lead.high
    if low is None or high is None:
        return "cannot be told from"
    return "better than" if low > 0 else "worse than" if high < 0 else "no better than"


def _unknown(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _bounds(lead: Interval | None) -> str:
    if lead is None or lead.low is None:
        return ""
    chance = ", so it may be chance" if lead.low <= 0 <= (lead.high or 0) else ""
    return f" (95 % interval of the lead {lead.low:+.4f} to {lead.high:+.4f}{chance})"


def promote(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    *,
    now: datetime,
    version: str | None = None,
    replace_after_days: int | None = None,
    failed: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Decision:
    """Decide on a version, the newest by default; record the decision and apply it.

    `replace_after_days`: age from which an equal model replaces the champion; None for never.
    `failed`: why the champion failed in production, which lets an equal model replace it too.

    For the version already in production, nothing changes and nothing is recorded. A version that
    was rolled back is promoted only if it is named. With a signing key, production.json is signed:
    naming the version in production signs it anew. Raises JobError if there is no such version, one
    of its files differs from the registered one, production.json lacks the signature, or another
    promotion was faster.
    """
    say = progress or (lambda line: None)
    models = settings.models
    persons_of_versions.upgrade(settings)
    champion = store.production(models)
    named, version = version, version or next(reversed(store.versions(models)), None)
    if version is None:
        raise JobError("There is no model version yet.", next_step="run `churnhouse train`.")
    is_champion = champion is not None and champion.version == version
    if not (named and is_champion):
        store.check_signed(settings)
    if champion is None and not named:
        _check_first(con, settings)
    if is_champion:
        decision = _again(con, settings, version, now)
    else:
        must_go = failed
        if champion and not must_go:
            must_go = _must_go(con, models, champion.version, version, now, replace_after_days)
        in_production = champion.version if champion else None
        decision = _judged(con, settings, version, in_production, must_go)
        held_back = store.not_trained_here(settings, version)
        held_back = held_back or _held_back(settings, version, bool(named))
        if decision.is_promoted and held_back:
            decision = replace(decision, is_promoted=False, reasons=[held_back])
        given = approvals.approval(settings, version) or {}
        swap = partial(store.swap_production, settings, champion, version, now)
        record(con, decision, now, swap, approved_by=given.get("by"), note=given.get("note"))
    say(f"{version} {'promoted' if decision.is_promoted else 'not promoted'}: {decision.reason}")
    return decision


def _again(
    con: duckdb.DuckDBPyConnection, settings: Settings, version: str, now: datetime
) -> Decision:
    """Decide on the version in production, which is signed anew if its signature is missing.

    Then it has to be whole, approved where that is required, and not rejected.
    """
    if store.is_signed(settings):
        return Decision(False, ["it is in production already"], version, version)
    if held_back := _held_back(settings, version, is_named=True):
        return Decision(False, [held_back], version, version)
    for name in store.read_manifest(settings.models, version)["files"]:
        store.verified(settings.models, version, name)
    decision = Decision(True, ["signed anew, by name"], version, version)
    record(con, decision, now, partial(store.sign_production, settings))
    return decision


def _check_first(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Raise JobError if there is a signing key and production.json has disappeared."""
    if settings.signing_key is None:
        return
    (earlier,) = con.execute("select count(*) from ml.promotions where is_promoted").fetchall()[0]
    if earlier:
        raise JobError(
            f"{settings.models / 'production.json'} is missing, although versions were promoted.",
            next_step="restore models/ from a backup, or name one: `churnhouse promote VERSION`.",
        )


def record(
    con: duckdb.DuckDBPyConnection,
    decision: Decision,
    now: datetime,
    act: Callable[[], object],
    *,
    approved_by: str | None = None,
    note: str | None = None,
) -> None:
    """Write a decision to ml.promotions, and call `act` if it promotes: both or neither.

    `approved_by` and `note`: the version's approval, if it has one.
    """
    row = {
        "decided_at": store.utc(now),
        "version": decision.version,
        "champion": decision.champion,
        "is_promoted": decision.is_promoted,
        "reason": decision.reason,
        "numbers": json.dumps(decision.numbers),
        "approved_by": approved_by,
        "approval_note": note,
    }
    con.begin()
    try:
        add_decision(con, "ml.promotions", row)
        if decision.is_promoted:
            act()
        con.commit()
    except BaseException:
        give_up(con)
        raise


def _held_back(settings: Settings, version: str, is_named: bool) -> str | None:
    """Return why a version that has earned promotion cannot be promoted yet; None if it can."""
    if rejected := approvals.rejection(settings.models, version):
        return (
            f"it was rejected by {rejected['by']} ({rejected['note']}); `churnhouse approve "
            f"{version} --by NAME --note TEXT` lifts that"
        )
    if not is_named and version in approvals.withdrawn(settings.models):
        return f"it was rolled back; `churnhouse promote {version}` promotes it again"
    if settings.approval_required and (waits := approvals.still_needed(settings, version)):
        return (
            f"it has earned promotion and {waits}: "
            f"`churnhouse approve {version} --by NAME --note TEXT`, then promote again"
        )
    return None


def _must_go(
    con: duckdb.DuckDBPyConnection,
    models: Path,
    champion: str,
    version: str,
    now: datetime,
    replace_after_days: int | None,
) -> str | None:
    """Return why a version that is not worse replaces the champion, or None."""
    if _lacks_features(con, models, champion):
        return "the champion's features are gone, so it cannot score"
    old, new = (store.read_manifest(models, name) for name in (champion, version))
    if old["horizon_days"] != new["horizon_days"]:
        return f"the champion predicts {old['horizon_days']} days, not {new['horizon_days']}"
    if withdrawn := sorted(old.get("attributes", {}).keys() - new.get("attributes", {}).keys()):
        return f"the champion uses {', '.join(withdrawn)}, which the new version does not"
    if old["estimator"] not in store.read_json(models, version, "metrics.json")["models"]:
        return f"{in_words(old['estimator'])} is no longer a candidate"
    age = (now - datetime.fromisoformat(old["created_at"])).days
    if replace_after_days is not None and age >= replace_after_days:
        return f"the champion is {age} days old, and replace_after_days is {replace_after_days}"
    return None


def _lacks_features(con: duckdb.DuckDBPyConnection, models: Path, version: str) -> bool:
    features = store.read_features(models, version)
    return bool(features.differences(Features.of_table(con, "evaluation_set", features.values)))


def _judged(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    version: str,
    champion: str | None,
    must_go: str | None,
) -> Decision:
    """Read the metrics and comparisons that decide() needs, and return its decision."""
    for name in store.read_manifest(settings.models, version)["files"]:
        store.verified(settings.models, version, name)
    metrics = store.read_json(settings.models, version, "metrics.json")
    tables, chosen = metrics["models"], metrics["selected"]
    baselines = {
        name: pooled(tables, name)
        for name, table in tables.items()
        if is_baseline(table) and name != chosen
    }
    leads = {
        name: Interval(**over[RANKING])
        for name, over in tables[chosen]["over"].items()
        if name in baselines and RANKING in over
    }
    comparison = None
    if champion:
        comparison = _compared_on_unseen_rows(
            con, settings, version, champion
        ) or _compared_by_recipe(settings, tables, chosen, champion, metrics["horizon_days"])
    ours = pooled(tables, chosen)
    known = tables[chosen]["folds"]["pooled"]["eligible"].keys() - {"expected_value"}
    judged = {name: value for name, value in ours.items() if name in known}
    numbers = {
        "challenger": ours,
        "baselines": {name: metrics[RANKING] for name, metrics in baselines.items()},
        "leads": {name: asdict(lead) for name, lead in leads.items()},
        "champion_comparison": asdict(comparison) if comparison else None,
    }
    decision = decide(
        judged, baselines, comparison, leads, has_champion=bool(champion), must_go=must_go
    )
    return replace(decision, version=version, champion=champion, numbers=numbers)


def _compared_on_unseen_rows(
    con: duckdb.DuckDBPyConnection, settings: Settings, version: str, champion: str
) -> ChampionComparison | None:
    """Compare the champion's model file with the challenger's fold models on rows new to both.

    A fold model has never seen its test rows. The champion has never seen rows at least a horizon
    after its last training date; labels of earlier rows overlap its training labels in time.
    None if these rows have one class only, or if the champion lacks one of its features or has
    another horizon.
    """
    models = settings.models
    manifest = store.read_manifest(models, champion)
    horizon = store.read_manifest(models, version)["horizon_days"]
    if manifest["horizon_days"] != horizon or _lacks_features(con, models, champion):
        return None
    features = store.read_features(models, champion)
    chosen = store.read_manifest(models, version)["estimator"]
    last = datetime.fromisoformat(manifest["last_as_of_date"]).date()
    session = onnx_model.load(models / champion / "model.onnx", manifest["files"]["model.onnx"])
    persons.define(con, settings.home)
    parts = [
        (frame, onnx_model.score(session, matrix))
        for frame, matrix in features.chunks(
            con,
            ["h.person_hash", "h.as_of_date", "h.churn_label", f'h."{chosen}" as challenger'],
            "from read_parquet(?) as h join evaluation_set as f "
            "on h.person_hash = person_hash(f.user_id) and h.as_of_date = f.as_of_date "
            "where h.is_eligible and h.as_of_date >= ? order by h.as_of_date, h.person_hash",
            str(models / version / "held_out.parquet"),
            last + timedelta(days=manifest["horizon_days"]),
        )
    ]
    y = np.concatenate([frame["churn_label"] for frame, _ in parts])
    if not 0 < y.sum() < len(y):
        return None
    ours = np.concatenate([frame["challenger"] for frame, _ in parts])
    theirs = np.concatenate([risk for _, risk in parts])
    dates = np.concatenate([frame["as_of_date"] for frame, _ in parts])
    users = pd.factorize(np.concatenate([frame["person_hash"] for frame, _ in parts]))[0]
    return ChampionComparison(
        by_date(average_precision, y, ours, dates),
        by_date(average_precision, y, theirs, dates),
        paired_difference(y, ours, theirs, users, dates, manifest["seed"]),
        len(y),
        "held-out rows that neither has seen",
    )


def _compared_by_recipe(
    settings: Settings,
    tables: dict[str, dict[str, Any]],
    chosen: str,
    champion: str,
    horizon_days: int,
) -> ChampionComparison | None:
    """Compare the challenger with the champion's kind of model, refitted on the same folds.

    Needed if models are retrained more than once per horizon: then the champion was trained on the
    challenger's test dates, and its own scores there would be too good. None if that kind of model
    is no longer a candidate, cannot be measured, or was for another horizon.
    """
    manifest = store.read_manifest(settings.models, champion)
    recipe = manifest["estimator"]
    if recipe not in tables or manifest["horizon_days"] != horizon_days:
        return None
    ours, theirs = (pooled(tables, name)[RANKING] for name in (chosen, recipe))
    if ours is None or theirs is None:
        return None
    over = tables[chosen]["over"].get(recipe)
    lead = Interval(**over[RANKING]) if over and RANKING in over else Interval(0.0, 0.0, 0.0)
    return ChampionComparison(
        ours,
        theirs,
        lead,
        tables[chosen]["folds"]["pooled"]["eligible"]["rows"],
        f"the champion's kind, {in_words(recipe)}, fitted again on the same folds",
    )
