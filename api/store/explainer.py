"""Tells why the model gives a risk, with what a published version knows of its features."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from python_jobs.publication import onnx_model, prediction
from python_jobs.reasons.teller import Teller
from python_jobs.reasons.telling import told_of_one
from python_jobs.reasons.words import Words

if TYPE_CHECKING:
    import onnxruntime

FILES = ("reasons.onnx", "reasons.json", "words.json")
"""What a version explains with; those of earlier releases lack it."""


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
    """Return the explainer of a version, by the content of its files and of features.json."""
    if not {*FILES} <= content.keys():
        return None
    typical, known, words = (
        json.loads(content.get(name, b"{}"))
        for name in ("typical.json", "reasons.json", "words.json")
    )
    teller = Teller.of(features, typical, known, Words(**words))
    return Explainer(onnx_model.open_session(content["reasons.onnx"]), teller)
