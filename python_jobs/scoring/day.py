"""One day to score: the input of both engines."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from python_jobs.warehouse.features import Features

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True)
class Day:
    """The users of a day and the model that scores them. The model file is already verified."""

    users: int
    """Number of users of user_features_daily on the day."""
    model: Path
    """Folder of the model version."""
    session: "InferenceSession"
    """The version's model.onnx, opened."""
    features: Features
    told: pd.DataFrame
    """Words for each feature in a reason; see score.told_features."""
    constants: dict[str, Any]
    """Parameters of the query rows.PREDICTIONS, for example as_of_date and version."""
