"""Train: judge candidates and simple rules on later dates, and fit the best one on all rows."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import cached_property
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from python_jobs.errors import JobError
from python_jobs.publication import onnx_model
from python_jobs.publication.attribute_values import UNKNOWN
from python_jobs.publication.feature_facts import FeatureFact
from python_jobs.publication.models import in_words
from python_jobs.publication.prediction import HIGH_FROM, MEDIUM_FROM
from python_jobs.training import attribution, onnx_export
from python_jobs.training.estimators import CANDIDATES, Blend, baselines
from python_jobs.training.feature_facts import facts_of
from python_jobs.training.fit import fit_and_hold_out
from python_jobs.training.judging import best_model, judge, levels, slices
from python_jobs.training.leakage import check_leaks
from python_jobs.training.metrics import Campaign
from python_jobs.training.splits import HeldOut, Rows
from python_jobs.warehouse.features import Features

TIME_BUDGET = 2.5
"""Seconds for the search of parameters; see search.plan."""

FEWEST_OF_A_BAND = 30
"""Fewest rows of a risk band that say how far a reason usually moves the risk there."""

UNJUDGED_RULE = "rfm_logistic"
"""What is published while no date can be tested: the rule that knows most."""

LIBRARIES = [
    *("duckdb", "joblib", "numpy", "onnx", "onnxruntime"),
    *("pandas", "scikit-learn", "scipy", "skl2onnx"),
]


@dataclass(frozen=True)
class Inputs:
    """All inputs of a training except the champion's parameters."""

    rows: Rows
    features: Features
    feature_facts: dict[str, FeatureFact]
    data_from: date
    data_through: date
    horizon_days: int
    seed: int
    time_budget: float
    campaign: Campaign | None
    candidates: tuple[str, ...]

    @cached_property
    def hash(self) -> str:
        """Return the sha256 over data, settings, code and library versions."""
        facts = {name: asdict(fact) for name, fact in self.feature_facts.items()}
        settings = [self.horizon_days, self.seed, self.time_budget, self.candidates]
        campaign = self.campaign and asdict(self.campaign)
        parts = [self.rows.data_hash, self.features.fingerprint, facts, settings, campaign]
        text = json.dumps([*parts, _code_hash(), _libraries()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Trained:
    """A fitted and judged model, and everything that is stored with its version.

    `metrics` is the content of metrics.json, `facts` the manifest's entries about the training,
    `known_reasons` that of reasons.json.
    """

    model: Blend
    onnx: bytes
    reasons_onnx: bytes
    features: Features
    feature_facts: dict[str, FeatureFact]
    rows: Rows
    held: HeldOut
    metrics: dict[str, Any]
    facts: dict[str, Any]
    golden: dict[str, Any]
    typical: dict[str, Any]
    known_reasons: dict[str, Any]


def read_inputs(
    con: duckdb.DuckDBPyConnection,
    *,
    horizon_days: int,
    explained: Mapping[str, FeatureFact],
    attributes: Collection[str] = (),
    seed: int = 7,
    time_budget: float = TIME_BUDGET,
    campaign: Campaign | None = None,
    candidates: Collection[str] = CANDIDATES,
    progress: Callable[[str], None] | None = None,
) -> Inputs:
    """Read and check evaluation_set and the settings of a training.

    `explained`: facts of the domain's features; see feature_facts.explained_features.
    `attributes`: text columns that may become inputs; see Features.learned.
    `time_budget`: seconds of search. `campaign`: used for the expected value, which is None without
    them. Raises JobError if there is no closed label, the labels are of one class, there is no
    feature, or a feature is infinite or looks into the future.
    """
    window = con.execute("select data_from, data_through from build_window")
    data_from, data_through = window.fetchall()[0]
    features = Features.learned(con, "evaluation_set", attributes)
    rows = _read(con, features, data_through, horizon_days)
    if progress:
        progress(f"read {len(rows.y):,} rows with {len(features.names)} features")
    windows = [fact.window for fact in explained.values() if isinstance(fact.window, int)]
    first_date = data_from + timedelta(days=min(windows, default=1) - 1)
    _check_history(rows, first_date + timedelta(days=horizon_days), data_from, data_through)
    _check_classes(rows)
    return Inputs(
        rows,
        features,
        facts_of(features.names, explained),
        data_from,
        data_through,
        horizon_days,
        seed,
        time_budget,
        campaign,
        tuple(name for name in CANDIDATES if name in candidates),
    )


def train(
    inputs: Inputs,
    *,
    champion: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Trained:
    """Judge candidates and rules on later dates; fit the best one on all of evaluation_set.

    `champion`: parameters by member, tried early in the search. The same inputs and champion give
    the same model bytes and metrics. While no date can be tested, the rule UNJUDGED_RULE is
    fitted, and the fact `unjudged` says what is missing. Raises JobError if a feature looks into
    the future, or the ONNX file differs from its model.
    """
    say = progress or (lambda line: None)
    rows, features, campaign, seed = inputs.rows, inputs.features, inputs.campaign, inputs.seed
    rules = baselines(inputs.feature_facts)
    check_leaks(rows, features.names)

    held, final = fit_and_hold_out(
        rows,
        rules,
        horizon_days=inputs.horizon_days,
        seed=seed,
        budget=inputs.time_budget,
        say=say,
        champion=champion,
        candidates=inputs.candidates,
    )
    with threadpool_limits(1, user_api="blas"):  # the products are small: threads only wait
        tables = judge(rows, held, inputs.candidates, campaign=campaign, seed=seed)
    chosen = best_model(tables)
    unjudged = None if chosen else _why_unjudged(rows, held, inputs.horizon_days)
    chosen = chosen or UNJUDGED_RULE
    say(unjudged or f"{in_words(chosen)} ranks best")
    model = final.models[chosen]
    onnx = onnx_export.export(model, features.width)
    reasons = attribution.export(model, features.width)
    facts = {
        "estimator": chosen,
        "parameters": {p: final.search[p].parameters for p in CANDIDATES.get(chosen, ())},
        "calibration": {
            "method": "sigmoid" if chosen in CANDIDATES else "none",
            "checked_on": final.checked_on if chosen in CANDIDATES else "nothing",
            "rows": final.check_rows if chosen in CANDIDATES else 0,
            "weights": model.weights,
            "intercept": model.intercept,
        },
        "search": {name: found.trials for name, found in final.search.items()},
        "unjudged": unjudged,
        "champion_parameters": champion or {},
        "seed": seed,
        "time_budget": inputs.time_budget,
        "candidates": list(inputs.candidates),
        "horizon_days": inputs.horizon_days,
        "data_hash": rows.data_hash,
        "inputs_hash": inputs.hash,
        "data_from": str(inputs.data_from),
        "data_through": str(inputs.data_through),
        "first_as_of_date": str(rows.dates.min()),
        "last_as_of_date": str(rows.dates.max()),
        "rows": int(rows.eligible.sum()),
        "positives": int(rows.y[rows.eligible].sum()),
        "features_fingerprint": features.fingerprint,
        "attributes": features.values,
        "parity_max_difference": onnx_export.check_parity(model, onnx, rows.X),
        "libraries": _libraries(),
    }
    sample = _sample(rows)
    moved = _contributions(reasons, sample)
    metrics = {
        "selected": chosen,
        "horizon_days": inputs.horizon_days,
        "costs": campaign and {**vars(campaign), "threshold": campaign.threshold},
        "folds": held.folds,
        "models": tables,
        "levels": levels(rows, held, chosen),
        "slices": slices(rows, held, chosen),
        "importances": _importances(moved, features),
    }
    return Trained(
        model=model,
        onnx=onnx,
        reasons_onnx=reasons,
        features=features,
        feature_facts=inputs.feature_facts,
        rows=rows,
        held=held,
        metrics=metrics,
        facts=facts,
        golden=onnx_export.golden(onnx, rows.X, rows.attribute_columns.values()),
        typical=_typical(rows, features),
        known_reasons=_known_reasons(moved, onnx, sample, features, inputs.feature_facts),
    )


def _libraries() -> dict[str, str]:
    return {name: library_version(name) for name in LIBRARIES}


def _code_hash() -> str:
    """Return the sha256 of the product's version and of the source that makes a model."""
    digest = hashlib.sha256(library_version("churnhouse").encode())
    jobs = Path(__file__).parent.parent
    for pattern in ("training/*.py", "publication/*.py", "warehouse/features.py"):
        for path in sorted(jobs.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _typical(rows: Rows, features: Features) -> dict[str, dict[str, float | None]]:
    """Return {feature: {median, p10, p90}} of eligible training rows; None without any value.

    Attributes have none.
    """
    values = rows.X[rows.eligible][:, : len(features.numbers)]
    typical = {}
    for name, column in zip(features.numbers, values.T, strict=True):
        known = column[~np.isnan(column)].astype(float)
        points = np.quantile(known, [0.5, 0.1, 0.9]).tolist() if len(known) else [None] * 3
        typical[name] = dict(zip(("median", "p10", "p90"), points, strict=True))
    return typical


def _sample(rows: Rows) -> np.ndarray:
    """Return the inputs of eligible rows, evenly thinned out where there are many."""
    sample: np.ndarray = rows.X[rows.eligible]
    return np.asarray(sample[:: max(1, len(sample) // onnx_export.PARITY_ROWS)])


def _contributions(reasons: bytes, sample: np.ndarray) -> np.ndarray:
    """Return the contributions of each column to the log-odds of each row."""
    session = onnx_model.open_session(reasons)
    moved: np.ndarray = session.run(["contributions"], {"features": sample})[0]
    return moved


def _importances(moved: np.ndarray, features: Features) -> dict[str, float]:
    """Return each feature's mean absolute contribution to the log-odds."""
    return {
        name: round(float(np.abs(moved[:, columns].sum(axis=1)).mean()), 9)
        for name, columns in features.places.items()
    }


def _known_reasons(
    moved: np.ndarray,
    onnx: bytes,
    sample: np.ndarray,
    features: Features,
    facts: Mapping[str, FeatureFact],
) -> dict[str, Any]:
    """Return what the sample's rows say of reasons: how far each moves the risk, and by what.

    `usual`: the mean absolute contribution to the log-odds of each reason in each risk band; a band
    with few rows is left out. `raised_by`: whether more or less of a measure goes with a higher
    risk, all else not being equal.
    """
    risk = np.asarray(onnx_model.score(onnx_model.open_session(onnx), sample))
    columns: dict[str, list[int]] = {}
    for name, places in features.places.items():
        reason = name if name in features.values else facts[name].reason
        columns.setdefault(reason, []).extend(places)
    sums = {reason: moved[:, places].sum(axis=1) for reason, places in columns.items()}
    usual = {}
    bands = {"high": risk >= HIGH_FROM, "low": risk < MEDIUM_FROM}
    bands["medium"] = ~(bands["high"] | bands["low"])
    for band, chosen in bands.items():
        if chosen.sum() >= FEWEST_OF_A_BAND:
            usual[band] = {
                reason: round(float(np.abs(total[chosen]).mean()), 9)
                for reason, total in sums.items()
            }
    raised_by = {}
    everything = moved.sum(axis=1)
    for reason in sums:
        if reason not in features.values:
            together = sum(_covariance(sample[:, place], everything) for place in columns[reason])
            raised_by[reason] = "more" if together > 0 else "less"
    return {"usual": usual, "raised_by": raised_by}


def _covariance(values: np.ndarray, moved: np.ndarray) -> float:
    """Return the covariance of contributions with the values' ranks from 0 to 1."""
    known = ~np.isnan(values)
    ranks = np.searchsorted(np.sort(values[known]), values[known]) / max(known.sum(), 1)
    return float(((ranks - ranks.mean()) * moved[known]).mean()) if known.any() else 0.0


def _read(
    con: duckdb.DuckDBPyConnection, features: Features, data_through: date, horizon_days: int
) -> Rows:
    """Read evaluation_set and check its values."""
    if not features.names:
        raise JobError(
            "evaluation_set has no feature column.",
            next_step="declare measures in the domain's domain.yml, then run `churnhouse build`.",
        )
    unlabelled, still_open = con.execute(
        "select count(*) filter (churn_label is null), count(*) filter (as_of_date > ?)"
        " from evaluation_set",
        [data_through - timedelta(days=horizon_days)],
    ).fetchall()[0]
    if unlabelled or still_open:
        raise JobError(
            f"evaluation_set has {unlabelled:,} rows without a label, and {still_open:,} whose "
            f"label window of {horizon_days} days is not closed on {data_through}.",
            next_step="run `churnhouse build`, then train again.",
        )
    texts = features.texts(con, "evaluation_set")
    ids = ["f.user_id", "f.as_of_date", "f.churn_label", "f.is_eligible"]
    ids += [f'f."{name}"' for name in texts]
    rest = "from evaluation_set as f order by f.as_of_date, f.user_id"
    chunks = list(features.chunks(con, ids, rest))
    table = pd.concat([frame for frame, _ in chunks])
    X = np.concatenate([matrix for _, matrix in chunks])
    infinite = np.isinf(X).any(axis=0)
    if infinite.any():
        raise JobError(
            f"The feature {features.names[infinite.argmax()]} is infinite in evaluation_set.",
            next_step="guard the division that makes it, run `churnhouse build`, then train again.",
        )
    return Rows(
        X=X,
        y=table["churn_label"].to_numpy(np.int64),
        dates=table["as_of_date"].to_numpy("datetime64[D]"),
        users=table["user_id"].to_numpy(object),
        eligible=table["is_eligible"].to_numpy(bool),
        attributes={name: table[name].fillna(UNKNOWN).to_numpy(object) for name in texts},
        attribute_columns={name: features.places[name] for name in features.values},
    )


def _check_history(rows: Rows, first_closed: date, data_from: date, data_through: date) -> None:
    """Raise JobError, with the number of missing days, if no label has closed yet."""
    if not len(rows.y):
        missing = max(1, (first_closed - data_through).days)
        raise JobError(
            f"History is too short: the data from {data_from} to {data_through} close no label "
            f"window; at least {missing} days are missing.",
            next_step="ingest more days of events, or shorten churn_horizon_days in domain.yml.",
        )


def _why_unjudged(rows: Rows, held: HeldOut, horizon_days: int) -> str:
    """Return what is missing for a test on later dates."""
    missing = horizon_days - int((rows.dates[-1] - rows.dates[0]).astype(int))
    if held.folds:
        return "not judged yet: no test date has both churners and stayers"
    if missing > 0:
        return f"not judged yet: a test on a later date needs at least {missing} more days"
    return "not judged yet: no test date has churners and stayers before it to learn from"


def _check_classes(rows: Rows) -> None:
    """Raise JobError unless eligible rows have both labels."""
    labels = np.unique(rows.y[rows.eligible])
    if len(labels) < 2:
        what = f"have churn_label {labels[0]}" if len(labels) else "are missing"
        raise JobError(
            f"The {rows.eligible.sum():,} eligible rows of evaluation_set all {what}: "
            "there is nothing to learn.",
            next_step="check churn_horizon_days and eligibility_days against the data.",
        )
