"""The production model, verified and ready to score."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import duckdb

from python_jobs.errors import JobError
from python_jobs.publication import onnx_model
from python_jobs.reasons.teller import Teller
from python_jobs.reasons.words import Words
from python_jobs.registry import store
from python_jobs.settings import Settings
from python_jobs.warehouse.dbt_settings import horizon_of_domain
from python_jobs.warehouse.features import Features

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True)
class Production:
    """The model version that scores. Its files are those that were registered."""

    version: str
    horizon_days: int
    files: dict[str, bytes]
    """model.onnx and reasons.onnx; a version of an early release has no reasons."""
    features: Features
    teller: Teller
    """Tells the reasons of users."""

    @cached_property
    def risk(self) -> "InferenceSession":
        """Return the session that computes the risk, opened at first use in each process."""
        return onnx_model.open_session(self.files["model.onnx"])

    @cached_property
    def contributions(self) -> "InferenceSession | None":
        """Return the session that computes the contributions of features to the risk."""
        reasons = self.files.get("reasons.onnx")
        return onnx_model.open_session(reasons) if reasons else None


def production(settings: Settings, words: Words | None = None) -> Production | None:
    """Return the production model; None if there is none. `words`: the domain's, for reasons.

    Raises JobError if a file of the model differs from the registered one, if its golden rows get
    other scores, or if there is a signing key and the choice of this model is not signed.
    """
    store.check_signed(settings)
    found = store.production(settings.models)
    if found is None:
        return None
    models, version = settings.models, found.version
    manifest = store.read_manifest(models, version)
    registered = manifest["files"]
    files = {
        name: store.verified(models, version, name).read_bytes()
        for name in ("model.onnx", "reasons.onnx")
        if name in registered
    }
    golden = store.read_json(models, version, "golden.json")
    onnx_model.check_golden(onnx_model.open_session(files["model.onnx"]), golden)
    return Production(
        version=version,
        horizon_days=manifest["horizon_days"],
        files=files,
        features=store.read_features(models, version),
        teller=teller_of(settings, version, words or Words()),
    )


def required(settings: Settings, words: Words | None = None) -> Production:
    """Return the production model. Raises JobError if there is none, or as `production` does."""
    found = production(settings, words)
    if found is None:
        raise JobError(
            "No model is in production.",
            next_step="run `churnhouse train` and `churnhouse promote`; a model that was refused "
            "needs more users or days to learn from (`churnhouse models` shows its figures).",
        )
    return found


def check_features(model: Production, con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Raise JobError unless a table has the model's features, by name and type, and its horizon.

    Additional features are allowed: the model never reads them.
    """
    wanted = horizon_of_domain(con)
    if wanted is not None and model.horizon_days != wanted:
        raise JobError(
            f"The model {model.version} predicts {model.horizon_days} days, but churn_horizon_days "
            f"is {wanted}.",
            next_step="run `churnhouse train` and `churnhouse promote`, then score again.",
        )
    there = Features.of_table(con, table, model.features.values)
    if differences := model.features.differences(there):
        raise JobError(
            f"{table} does not fit the model {model.version}: {'; '.join(differences[:5])}.",
            next_step="run `churnhouse train` and `churnhouse promote`, then score again.",
        )


def teller_of(settings: Settings, version: str, words: Words) -> Teller:
    """Return what tells the reasons of a version, with what its training knew of them."""
    models = settings.models
    files = store.read_manifest(models, version)["files"]
    typical, known = (
        store.read_json(models, version, name) if name in files else {}
        for name in ("typical.json", "reasons.json")
    )
    features = store.read_json(models, version, "features.json")
    return Teller.of(features, typical, known, words)
