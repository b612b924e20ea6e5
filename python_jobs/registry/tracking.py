"""Tracking: log versions to an MLflow server, if MLFLOW_TRACKING_URI names one.

It only reads the folders of registered versions. Training, promotion and serving do not depend on
it, and an unreachable server causes only a warning.
"""

import importlib.util
import logging
import os
import re
import tempfile
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from python_jobs.errors import JobError
from python_jobs.registry import store
from python_jobs.registry.tables import headline
from python_jobs.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI = "MLFLOW_TRACKING_URI"
"""MLflow's own variable. Its variables for credentials and timeouts work too."""

DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # the product makes no calls to the outside
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default of 7, with growing pauses, takes minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
STAYS_HERE = {"model.joblib", "held_out.parquet"}
"""Files that are not sent: a pickle, which is unsafe to load, and rows about single users."""

PARAMETERS = ["estimator", "seed", "horizon_days", "rows", "positives", "data_from", "data_through"]
PARAMETERS += ["first_as_of_date", "last_as_of_date", "data_hash", "features_fingerprint"]


def is_on() -> bool:
    """Return True if an MLflow server is set."""
    return bool(os.environ.get(URI))


def check_installed() -> None:
    """Raise JobError if an MLflow server is set and MLflow's client is not installed."""
    if is_on() and importlib.util.find_spec("mlflow") is None:
        raise JobError(
            f"{URI} is set, but MLflow's client is not installed.",
            next_step="run `pip install 'churnhouse[mlflow]'`, or unset the variable.",
        )


def track(settings: Settings, domain: str, version: str, alias: str) -> str | None:
    """Give a version an alias in MLflow; return what went wrong, in one line, or None.

    A version that MLflow does not know yet is logged first, for example if the server could not be
    reached after training. The experiment and the registered model are called churnhouse-<domain>.
    A version that goes into production loses the alias `challenger`.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.ERROR)  # hide "Created version '1' of ..."
        client, model = MlflowClient(os.environ[URI]), f"churnhouse-{domain}"
        number = _known(client, model, version) or _log(client, model, settings.models, version)
        client.set_registered_model_alias(model, alias, number)
        if alias == "production":
            aliases = client.get_registered_model(model).aliases
            if aliases.get("challenger") == number:
                client.delete_registered_model_alias(model, "challenger")
    except Exception as problem:  # no failure here may affect a registered version
        line = shorten(str(problem) or type(problem).__name__, 200, placeholder=" ...")
        return re.sub(r"//[^/@\s]*@", "//", line)
    return None


def _known(client: "MlflowClient", model: str, version: str) -> str | None:
    """Return MLflow's number of a version; None if MLflow does not know it."""
    known = client.search_model_versions(f"name = '{model}'")
    return next((m.version for m in known if m.tags.get("churnhouse.version") == version), None)


def _log(client: "MlflowClient", model: str, models: Path, version: str) -> str:
    """Log a version as a run, register its model, and return MLflow's number of it."""
    manifest = store.read_manifest(models, version)
    metrics = store.read_json(models, version, "metrics.json")
    experiment = client.get_experiment_by_name(model)
    tags = {"churnhouse.version": version, "mlflow.source.git.commit": manifest["git_commit"] or ""}
    run = client.create_run(
        experiment.experiment_id if experiment else client.create_experiment(model),
        run_name=version,
        tags=tags,
    ).info
    try:
        _log_numbers(client, run.run_id, manifest, metrics)
        _log_files(client, run.run_id, models, version)
        if not client.search_registered_models(f"name = '{model}'"):
            client.create_registered_model(model)
        source = f"{run.artifact_uri}/model"
        number: str = client.create_model_version(model, source, run.run_id, tags=tags).version
    except BaseException:
        client.set_terminated(run.run_id, "FAILED")
        raise
    client.set_terminated(run.run_id)
    return number


def _log_numbers(
    client: "MlflowClient", run_id: str, manifest: dict[str, Any], metrics: dict[str, Any]
) -> None:
    """Log parameters, the chosen model's pooled metrics, and every model's metrics by fold."""
    from mlflow.entities import Metric, Param

    parameters = {name: manifest[name] for name in PARAMETERS} | {
        f"{member}.{name}": value
        for member, chosen in manifest["parameters"].items()
        for name, value in chosen.items()
    }
    moment = 0  # the time of each metric; not used, since the fold is the metric's step
    values = [
        Metric(name, value, moment, 0)
        for name, value in headline(metrics["models"], metrics["selected"]).items()
        if value is not None
    ]
    for name, table in metrics["models"].items():
        for fold, populations in table["folds"].items():
            values += [
                Metric(f"{name}/{population}/{metric}", measure["value"], moment, int(fold))
                for population, measures in populations.items()
                for metric, measure in measures.items()
                if fold != "pooled" and isinstance(measure, dict) and measure["value"] is not None
            ]
    client.log_batch(run_id, values, [Param(key, str(value)) for key, value in parameters.items()])


def _log_files(client: "MlflowClient", run_id: str, models: Path, version: str) -> None:
    """Log the version's files except STAYS_HERE, its plots, and the model in MLflow's format."""
    import mlflow.onnx
    import numpy as np
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    for name in store.read_manifest(models, version)["files"].keys() - STAYS_HERE:
        client.log_artifact(run_id, str(store.verified(models, version, name)), "version")
    client.log_artifact(run_id, str(models / version / "manifest.json"), "version")
    page = store.verified(models, version, "report.html").read_text(encoding="utf-8")
    for number, plot in enumerate(re.findall(r"<svg.*?</svg>", page, re.DOTALL), 1):
        client.log_text(run_id, plot, f"plots/{number}.svg")
    width = store.read_features(models, version).width
    with tempfile.TemporaryDirectory() as folder:
        mlflow.onnx.save_model(
            onnx.load(store.verified(models, version, "model.onnx")),
            f"{folder}/model",
            signature=ModelSignature(
                Schema([TensorSpec(np.dtype("float32"), (-1, width), "features")])
            ),
            pip_requirements=["onnx", "onnxruntime"],
        )
        client.log_artifacts(run_id, f"{folder}/model", "model")
