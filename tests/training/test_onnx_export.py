"""onnx_model: the exported file predicts like the model; other files are refused."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from support.homes import PROJECT
from threadpoolctl import threadpool_limits

from python_jobs.errors import JobError
from python_jobs.publication import onnx_model
from python_jobs.training import onnx_export
from python_jobs.training.estimators import CANDIDATES, MEMBERS, Blend, churn_risk


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Use one thread, because boosting on several is slow on busy cores."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def data():
    """5,000 rows: counts, amounts, negatives, rates, a constant, missing values."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=5000)
    X = np.column_stack(
        [
            np.floor(np.exp(z + 1)),
            1e5 * np.exp(rng.normal(size=5000)),
            z * 3 - 2,
            rng.random(5000) / 1000,
            np.ones(5000),
            np.where(rng.random(5000) < 0.3, np.nan, z + rng.normal(size=5000)),
        ]
    ).astype(np.float32)
    return X, (rng.random(5000) < 1 / (1 + np.exp(1 - 2 * z))).astype(int)


def fit(candidate, X, y):
    """Fit a candidate with the search's first parameters, with weights and a shift."""
    members = [
        MEMBERS[part].make(7, **{n: v[0] for n, v in MEMBERS[part].space.items()}).fit(X, y)
        for part in CANDIDATES[candidate]
    ]
    return Blend(members, [0.8 / len(members)] * len(members), -0.1)


@pytest.mark.filterwarnings("error")
def test_export_warns_of_nothing(data):
    X, y = data
    onnx_export.export(fit("hist_gradient_boosting", X, y), X.shape[1])


@pytest.fixture(scope="module", params=CANDIDATES)
def exported(request, data):
    model = fit(request.param, *data)
    return model, onnx_export.export(model, data[0].shape[1])


def test_the_graph_has_one_output_and_nothing_else(exported):
    """The graph has no label, zipmap or probability of staying."""
    session = onnx_model.open_session(exported[1])
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1]) == ("features", "tensor(float)", 6)
    assert (wanted.name, wanted.type, wanted.shape[1]) == ("churn_risk", "tensor(float)", 1)
    onnx.checker.check_model(onnx.load_from_string(exported[1]))


def test_exported_file_predicts_like_the_model(exported, data):
    model, file = exported
    assert onnx_export.check_parity(model, file, data[0]) < 2e-6
    risk = onnx_model.score(onnx_model.open_session(file), data[0])
    assert risk.dtype == np.float64 and risk.shape == (5000,)
    assert np.abs(risk - churn_risk(model, data[0])).max() < 2e-6


def test_export_agrees_on_missing_and_extreme_values(exported, data):
    """Values not seen in training: all missing, a gap in a complete feature, huge ones."""
    odd = np.tile(data[0][:1], (4, 1))
    odd[0], odd[1, 4], odd[2], odd[3] = np.nan, np.nan, 1e6, -1e6
    assert onnx_export.check_parity(exported[0], exported[1], odd) < 2e-6


def test_the_same_model_gives_the_same_bytes(exported, data):
    assert onnx_export.export(exported[0], data[0].shape[1]) == exported[1]


def test_score_hardly_depends_on_other_rows_of_the_batch(exported, data):
    session = onnx_model.open_session(exported[1])
    together = onnx_model.score(session, data[0])
    alone = np.concatenate([onnx_model.score(session, data[0][i : i + 1]) for i in range(100)])
    assert np.abs(alone - together[:100]).max() < 2e-6
    assert onnx_model.score(session, data[0][:0]).shape == (0,)


def neighbours():
    """Return neighbouring float32 amounts, of which the upper ones churn."""
    steps = np.float32(1e5) + np.arange(200, dtype=np.float32) / 128
    X = np.repeat(np.unique(steps), 40)[:, None]
    return X, (np.arange(len(X)) // 40 % 2).astype(int)


def test_trees_split_between_neighbouring_float32_values(monkeypatch):
    """A threshold rounded to the nearest float32 would send half of them the wrong way."""
    X, y = neighbours()
    model = fit("hist_gradient_boosting", X, y)
    assert onnx_export.check_parity(model, onnx_export.export(model, 1), X) < 2e-6
    monkeypatch.setattr(onnx_export, "with_float32_thresholds", lambda estimator: estimator)
    with pytest.raises(JobError, match="differs"):
        onnx_export.check_parity(model, onnx_export.export(model, 1), X)


def test_export_of_another_model_is_detected(exported, data):
    other = fit("logistic_regression", data[0], 1 - data[1])
    file = onnx_export.export(other, data[0].shape[1])
    with pytest.raises(JobError, match="nothing was registered"):
        onnx_export.check_parity(exported[0], file, data[0])


def test_file_loads_only_with_its_registered_hash(exported, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(exported[1])
    sha256 = hashlib.sha256(exported[1]).hexdigest()
    assert isinstance(onnx_model.load(path, sha256), onnxruntime.InferenceSession)
    path.write_bytes(exported[1][:-1] + b"!")
    with pytest.raises(JobError, match=r"model\.onnx is missing or is not the file"):
        onnx_model.load(path, sha256)
    path.unlink()
    with pytest.raises(JobError, match=r"model\.onnx is missing"):
        onnx_model.load(path, sha256)


def test_golden_rows_detect_another_model(exported, data):
    """Golden rows span the lowest to highest risk, and JSON keeps their gaps."""
    golden = onnx_export.golden(exported[1], data[0])
    assert len(golden["rows"]) == len(golden["churn_risk"]) == onnx_export.GOLDEN_ROWS
    assert golden["churn_risk"] == sorted(golden["churn_risk"])
    assert any(None in row for row in golden["rows"])
    session = onnx_model.open_session(exported[1])
    onnx_model.check_golden(session, golden)
    golden["churn_risk"][3] += 1e-4
    with pytest.raises(JobError, match="golden rows"):
        onnx_model.check_golden(session, golden)


def test_serving_imports_no_scikit_learn():
    """The API's image does not contain scikit-learn."""
    code = "import sys, python_jobs.publication.onnx_model; "
    code += "print('sklearn' in sys.modules, 'onnx' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("module", ["python_jobs.publication.onnx_model", "api"])
def test_onnxruntime_sends_no_telemetry(tmp_path, module):
    """With telemetry on, an import writes a device id and a queue below the home folder."""
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, check=True)
    assert [path.name for path in tmp_path.rglob("*") if "Microsoft" in str(path)] == []
