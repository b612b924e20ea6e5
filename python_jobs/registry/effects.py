"""The effect model: trained on contacts, and in use only where its choice earns more.

models/effects/<version>/ holds treated.onnx, control.onnx and effect.json; models/effect.json names
the version in use, if any. Each training decides anew.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from python_jobs.errors import JobError
from python_jobs.files import fsync, read_json, replace_json, sha256_of, write_json
from python_jobs.publication import onnx_model
from python_jobs.registry import store
from python_jobs.registry.records import EffectPointer, EffectVersion
from python_jobs.registry.tables import add_decision
from python_jobs.training import effect, onnx_export
from python_jobs.training.effect import MIN_CLASS, MIN_CONTACTS, Effect, Lead, Outcomes
from python_jobs.warehouse.features import Features

FILES = ("treated.onnx", "control.onnx")
OUTCOMES = """
    from contact_outcomes as o
    inner join ml.scored_features as f on o.user_id = f.user_id and o.scored_on = f.as_of_date
    inner join save_rates as s on o.risk_band = s.risk_band and o.silence_group = s.silence_group
    left join list_outcomes as l on o.user_id = l.user_id and o.week = l.week
    where o.risk_band <> 'gone'
    order by o.week, o.user_id
"""
COLUMNS = (
    *("o.user_id", "o.is_treated", "o.churn_label", "s.save_rate"),
    *("l.list_probability", "l.called_share", "l.expected_loss", "l.user_value"),
)


RESTORE = "restore it from a backup, or run `churnhouse retrain`."


@dataclass(frozen=True)
class Decision:
    """Whether lists use the effect model, and what is missing.

    `state`: too_few_contacts, not_covered (no random places), not_better or promoted.
    `missing_contacts`: None if no number is known to do.
    """

    state: str
    contacts: int
    missing_contacts: int | None
    lead: Lead | None = None

    @property
    def is_promoted(self) -> bool:
        """Return True if lists use the model."""
        return self.state == "promoted"

    @property
    def reason(self) -> str:
        """Return the decision in words."""
        found = f"{self.contacts:,} contacts with an outcome"
        if self.state == "too_few_contacts":
            return (
                f"{found}, at least {self.missing_contacts:,} are missing to learn whom they keep"
            )
        if self.state == "not_covered" or self.lead is None:
            return f"{found}, but no random places to compare on: give the list an explore_share"
        earns = (
            f"a contact chosen by the effect model earns {self.lead.value:+.2f} "
            f"({self.lead.low:+.2f} to {self.lead.high:+.2f}) more than by save rates"
        )
        if self.is_promoted:
            return f"{found}: {earns}, so lists follow it"
        if self.missing_contacts is None:
            return f"{found}: {earns}, so lists go on by save rates"
        return f"{found}: {earns}; about {self.missing_contacts:,} more would tell"


def decide(contacts: int, smallest_class: int, lead: Lead | None) -> Decision:
    """Decide: the effect model is used if the whole interval of its lead is above 0.

    `lead` is None if nothing was trained. While contacts or a class are too few, as many more are
    missing as the rarest class needs at its present share.
    """
    if contacts < MIN_CONTACTS or smallest_class < MIN_CLASS or lead is None:
        times = MIN_CLASS / smallest_class if smallest_class else 1
        missing = math.ceil(max(MIN_CONTACTS - contacts, contacts * (times - 1), 1))
        return Decision("too_few_contacts", contacts, missing)
    if not lead.covered:
        return Decision("not_covered", contacts, None, lead)
    if lead.low > 0:
        return Decision("promoted", contacts, 0, lead)
    half = lead.value - lead.low
    missing_contacts = None
    if lead.value > 0:
        missing_contacts = max(1, math.ceil(lead.contacts * ((half / lead.value) ** 2 - 1)))
    return Decision("not_better", contacts, missing_contacts, lead)


def learn(
    con: duckdb.DuckDBPyConnection, models: Path, *, seed: int, now: datetime
) -> Decision | None:
    """Train on all contacts, decide, record the decision in ml.effect_models and apply it.

    None without a model in production, or before the tables of contacts were built. Raises JobError
    if an ONNX file differs from its model.
    """
    champion = store.production(models)
    there = {name for (name,) in con.execute("select table_name from duckdb_tables()").fetchall()}
    if champion is None or not {"contact_outcomes", "list_outcomes", "save_rates"} <= there:
        return None
    features = store.read_features(models, champion.version)
    served = Features.of_table(con, "ml.scored_features", features.values)
    if features.differences(served):
        return None
    outcomes = read(con, features)
    smallest, found, lead = outcomes.smallest_class(), None, None
    if outcomes.contacts >= MIN_CONTACTS and smallest >= MIN_CLASS:
        lead = effect.lead(outcomes, effect.out_of_fold(outcomes, seed))
        found = effect.fit(outcomes, np.arange(len(outcomes.y)), seed)
    decision = decide(outcomes.contacts, smallest, lead)
    version = f"{store.utc(now):%Y-%m-%dT%H%M%SZ}"
    if decision.is_promoted and found:
        _write(models / "effects" / version, features, outcomes, found, decision)
    replace_json(models / "effect.json", {"version": version if decision.is_promoted else None})
    row = {
        "decided_at": store.utc(now),
        "state": decision.state,
        "contacts": decision.contacts,
        "missing_contacts": decision.missing_contacts,
        "lead": lead.value if lead and lead.covered else None,
        "lead_low": lead.low if lead and lead.covered else None,
        "lead_high": lead.high if lead and lead.covered else None,
        "reason": decision.reason,
    }
    add_decision(con, "ml.effect_models", row)
    return decision


def read(con: duckdb.DuckDBPyConnection, features: Features) -> Outcomes:
    """Return the outcomes of contacts and of the holdout, with the features as served."""
    chunks = list(features.chunks(con, list(COLUMNS), OUTCOMES))
    table = pd.concat([frame for frame, _ in chunks], ignore_index=True)

    def numbers(name: str) -> np.ndarray:
        values: np.ndarray = table[name].to_numpy(np.float64, na_value=np.nan)
        return values

    return Outcomes(
        X=np.concatenate([matrix for _, matrix in chunks]),
        y=table["churn_label"].to_numpy(np.int64),
        treated=table["is_treated"].to_numpy(bool),
        users=table["user_id"].to_numpy(object),
        chance=numbers("list_probability"),
        called_share=numbers("called_share"),
        expected_loss=numbers("expected_loss"),
        user_value=numbers("user_value"),
        save_rate=numbers("save_rate"),
    )


def _write(
    folder: Path, features: Features, outcomes: Outcomes, found: Effect, decision: Decision
) -> None:
    """Write the two models and what they need to score."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in zip(FILES, (found.treated, found.control), strict=True):
        content = onnx_export.export(model, features.width)
        onnx_export.check_parity(model, content, outcomes.X)
        (folder / name).write_bytes(content)
    saved: dict[str, Any] = {
        "names": features.names,
        "types": features.types,
        "values": features.values,
        "files": {name: sha256_of(folder / name) for name in FILES},
        "reason": decision.reason,
    }
    write_json(folder / "effect.json", saved)
    for path in [*folder.iterdir(), folder]:
        fsync(path)


@dataclass(frozen=True)
class InUse:
    """The effect model that lists follow."""

    features: Features
    sessions: tuple[Any, Any]
    """ONNX sessions of a user who is called, and of one who is not."""

    def effect(self, matrix: np.ndarray) -> np.ndarray:
        """Return how much a contact lowers the risk of each row."""
        treated, control = (onnx_model.score(session, matrix) for session in self.sessions)
        difference: np.ndarray = control - treated
        return difference


def version_in_use(models: Path) -> str | None:
    """Return the version of the effect model that lists follow; None if they go by save rates."""
    pointer = models / "effect.json"
    if not pointer.exists():
        return None
    version: str | None = read_json(pointer, EffectPointer, next_step=RESTORE)["version"]
    return version


def in_use(models: Path) -> InUse | None:
    """Return the effect model that lists follow; None if they go by save rates.

    Raises JobError if one of its files is not the one that was written.
    """
    version = version_in_use(models)
    if version is None:
        return None
    folder = models / "effects" / version
    if not (folder / "effect.json").exists():
        raise JobError(f"{folder} is missing, and effect.json names it.", next_step=RESTORE)
    saved = read_json(folder / "effect.json", EffectVersion, next_step=RESTORE)
    treated, control = (onnx_model.load(folder / n, saved["files"][n]) for n in FILES)
    features = Features(saved["names"], saved["types"], saved["values"])
    return InUse(features, (treated, control))
