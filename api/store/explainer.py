"""Tells why the model gives a risk, with what a published version knows of its features."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired

import numpy as np
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from api.store.checks import BadVersion
from python_jobs.publication import onnx_model, prediction
from python_jobs.reasons.teller import Teller
from python_jobs.reasons.telling import told_of_one
from python_jobs.reasons.words import Words

if TYPE_CHECKING:
    import onnxruntime

FILES = ("reasons.onnx", "reasons.json", "words.json")
"""What a version explains with; those of earlier releases lack it."""


class Known(TypedDict):
    """What reasons.json holds; see Teller."""

    usual: NotRequired[dict[str, dict[str, float]]]
    raised_by: NotRequired[dict[str, str]]


KINDS: dict[str, TypeAdapter[Any]] = {
    "typical.json": TypeAdapter(dict[str, dict[str, float | None]]),
    "reasons.json": TypeAdapter(Known),
    "words.json": TypeAdapter(Words),
}


@dataclass(frozen=True)
class Explainer:
    """Computes the contributions of features to a risk, and tells them as reasons."""

    session: "onnxruntime.InferenceSession"
    teller: Teller

    def explain(self, matrix: np.ndarray, risk: float) -> dict[str, Any]:
        """Return reasons, effects and action of the only row of a matrix, which has this risk."""
        (moved,) = self.session.run(["contributions"], {"features": matrix})
        return prediction.shown(told_of_one(self.teller, moved, matrix, risk))


def explainer_of(content: dict[str, bytes], features: dict[str, Any]) -> Explainer | None:
    """Return the explainer of a version, by the content of its files and of features.json.

    Raises BadVersion if a file holds something else.
    """
    if not {*FILES} <= content.keys():
        return None
    typical, known, words = (_read(content.get(name, b"{}"), name) for name in KINDS)
    teller = Teller.of(features, typical, known, words)
    return Explainer(onnx_model.open_session(content["reasons.onnx"]), teller)


def _read(content: bytes, name: str) -> Any:
    try:
        return KINDS[name].validate_json(content)
    except ValidationError:
        raise BadVersion(f"{name} is damaged") from None
