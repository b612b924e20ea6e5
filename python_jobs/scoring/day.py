"""One day to score: what both engines are given."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from python_jobs.warehouse.features import Features

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True)
class Day:
    """The users of a day and the model that scores them; its file is checked already."""

    users: int
    """How many users user_features_daily has on the day."""
    model: Path
    """Folder of the model version."""
    session: "InferenceSession"
    """The version's model.onnx, opened."""
    features: Features
    told: pd.DataFrame
    """How a reason speaks of each feature; see score.told_features."""
    constants: dict[str, Any]
    """The parameters of the query rows.PREDICTIONS, as_of_date and version among them."""
