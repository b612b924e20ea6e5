"""What the registry's small files hold of what is read from them.

Versions of earlier releases lack what is not required. Other files of a version are compared with
their hashes in its manifest.
"""

from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator
from typing_extensions import TypedDict

from python_jobs.publication.manifest import Day, Moment


def _with_model(hashes: dict[str, str]) -> dict[str, str]:
    for name in ("model.onnx", "model.joblib"):
        if name not in hashes:
            raise ValueError(f"{name} is missing")
    return hashes


Parameters = dict[str, dict[str, float]]
"""Parameters of models by member."""


class Manifest(TypedDict):
    """The manifest of a model version; `files` are hashes."""

    version: str
    created_at: Moment
    estimator: str
    parameters: Parameters
    seed: int
    horizon_days: int
    data_hash: str
    data_through: Day
    last_as_of_date: Day
    features_fingerprint: str
    libraries: dict[str, str]
    git_commit: str | None
    files: Annotated[dict[str, str], AfterValidator(_with_model)]
    attributes: NotRequired[dict[str, list[str]]]
    candidates: NotRequired[list[str]]
    champion_parameters: NotRequired[Parameters]
    time_budget: NotRequired[float]
    inputs_hash: NotRequired[str]
    unjudged: NotRequired[str | None]


class Pointer(TypedDict):
    """production.json; the hashes are there if it is signed."""

    version: str
    promoted_at: Moment
    previous: str | None
    files: NotRequired[dict[str, str]]
    previous_files: NotRequired[dict[str, str] | None]


class Decision(TypedDict):
    """An approval or a rejection, by version in approvals.json."""

    by: str
    note: str
    onnx_sha256: NotRequired[str]
    files: NotRequired[dict[str, str]]
    approved_at: NotRequired[str]
    rejected_at: NotRequired[str]


Decisions = dict[str, Decision]
Withdrawn = dict[str, dict[str, Any]]
"""withdrawn.json: when versions were rolled back."""


class EffectPointer(TypedDict):
    """effect.json: the version of the effect model in use."""

    version: str | None


EffectFiles = TypedDict("EffectFiles", {"treated.onnx": str, "control.onnx": str})


class EffectVersion(TypedDict):
    """effects/<version>/effect.json."""

    names: list[str]
    types: list[str]
    values: dict[str, list[str]]
    files: EffectFiles
