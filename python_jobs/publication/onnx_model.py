"""Load the ONNX model file, once verified, and score with it.

Imports only numpy and onnxruntime, so that the API's image needs no scikit-learn.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from python_jobs.errors import JobError

MAX_DIFFERENCE = 1e-5
"""Largest allowed difference in probability between a model and its ONNX file."""


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """Return a session on one thread, so a row's score is the same in any batch and machine."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def load(path: Path, expected_sha256: str) -> onnxruntime.InferenceSession:
    """Open a model file. Raises JobError if its content does not have the expected sha256."""
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != expected_sha256:
        raise JobError(
            f"{path} is missing or is not the file that was registered.",
            next_step="restore it from a backup, or promote another version.",
        )
    return open_session(content)


def score(session: onnxruntime.InferenceSession, matrix: np.ndarray) -> np.ndarray:
    """Return the churn risk of each row of a float32 (rows, features) matrix, float64 (rows,)."""
    if not len(matrix):
        return np.empty(0)
    (risk,) = session.run(["churn_risk"], {"features": np.ascontiguousarray(matrix)})
    churn_risk: np.ndarray = risk[:, 0].astype(np.float64)
    return churn_risk


def check_golden(session: onnxruntime.InferenceSession, expected: dict[str, Any]) -> None:
    """Raise JobError if the golden rows do not get their registered scores."""
    rows = np.array(expected["rows"], dtype=np.float32)
    difference = np.abs(score(session, rows) - np.array(expected["churn_risk"])).max()
    if not difference < MAX_DIFFERENCE:
        raise JobError(
            f"The model gives its golden rows other scores than at training, by {difference:.2g}.",
            next_step="compare the library versions here with those in its manifest.json.",
        )
