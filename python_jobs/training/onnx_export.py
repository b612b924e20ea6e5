"""Export a fitted model to ONNX, and compare the file with the fitted model."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from python_jobs.errors import JobError
from python_jobs.publication.onnx_model import MAX_DIFFERENCE, open_session, score
from python_jobs.training.sklearn_internals import with_float32_thresholds

if TYPE_CHECKING:
    from onnx import GraphProto, TensorProto
    from sklearn.base import ClassifierMixin

    from python_jobs.training.estimators import Blend

PARITY_ROWS = 5_000
GOLDEN_ROWS = 20
GOLDEN_GROUP = 20
"""Fewest rows that a golden row is made of."""
OPSET = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 8


def export(model: "Blend", n_features: int) -> bytes:
    """Convert a fitted blend to ONNX bytes; the same model gives the same bytes.

    Input `features`: float32 [rows, n_features], NaN for missing. The only output, `churn_risk`:
    float32 [rows, 1], the probability of class 1. Calibration is part of the graph: the members'
    log-odds are weighted, summed and put through one sigmoid.
    """
    from onnx import TensorProto, helper

    nodes, constants, terms = [], [], []
    for number, (member, weight) in enumerate(zip(model.members, model.weights, strict=True)):
        part = _log_odds(member, n_features, prefix=f"m{number}_")
        nodes += part.node
        constants += part.initializer
        constants.append(_constant(f"weight_{number}", [weight]))
        terms.append(f"term_{number}")
        nodes.append(
            helper.make_node("Mul", [f"m{number}_log_odds", f"weight_{number}"], terms[-1:])
        )
    constants.append(_constant("intercept", [model.intercept]))
    nodes.append(helper.make_node("Sum", [*terms, "intercept"], ["log_odds"]))
    nodes.append(helper.make_node("Sigmoid", ["log_odds"], ["churn_risk"]))
    return assemble("churn_risk", nodes, constants, n_features, 1, TensorProto.FLOAT)


def assemble(
    output: str, nodes: list[Any], constants: list[Any], n_features: int, width: int, kind: int
) -> bytes:
    """Return the bytes of a model with the input `features` and one output of `width` columns."""
    from onnx import TensorProto, helper

    given = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, n_features])
    wanted = helper.make_tensor_value_info(output, kind, [None, width])
    graph = helper.make_graph(nodes, output, [given], [wanted], constants)
    opsets = [helper.make_opsetid(domain, number) for domain, number in OPSET.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _constant(name: str, values: list[float]) -> "TensorProto":
    from onnx import TensorProto, helper

    return helper.make_tensor(name, TensorProto.FLOAT, [len(values)], values)


def _log_odds(member: "ClassifierMixin", n_features: int, prefix: str) -> "GraphProto":
    """Return a fitted member's graph, names prefixed; output `<prefix>log_odds`, [rows, 1]."""
    from onnx import TensorProto, compose, helper
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    register_signed_log()
    register_boosting()
    classifier = member[-1] if hasattr(member, "steps") else member
    full = to_onnx(
        with_float32_thresholds(member),
        initial_types=[("features", FloatTensorType([None, n_features]))],
        options={type(classifier): {"zipmap": False, "raw_scores": True}},
        target_opset=OPSET,
    )
    graph = select_model_inputs_outputs(full, outputs=["probabilities"]).graph
    last = [-1]  # of two columns, the log-odds of class 1
    graph.initializer.append(helper.make_tensor("last", TensorProto.INT64, [1], last))
    graph.node.append(helper.make_node("Gather", ["probabilities", "last"], ["log_odds"], axis=1))
    model = helper.make_model(graph)
    graph = compose.add_prefix(model, prefix).graph
    for node in graph.node:
        renamed = ["features" if name == f"{prefix}features" else name for name in node.input]
        node.input[:] = renamed
    return graph


def register_signed_log() -> None:
    """Register a converter for python_jobs.training.estimators.SignedLog with skl2onnx."""
    from onnx import TensorProto
    from skl2onnx import update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType

    from python_jobs.training.estimators import SignedLog

    def shape(operator: Any) -> None:
        model = operator.raw_operator
        width = model.n_features_in_ + len(model.flagged_)
        operator.outputs[0].type = FloatTensorType([None, width])

    def convert(scope: Any, operator: Any, container: Any) -> None:
        def constant(name: str, kind: int, values: np.ndarray) -> str:
            name = scope.get_unique_variable_name(name)
            container.add_initializer(name, kind, [len(values)], list(values))
            return name

        def node(kind: str, *inputs: str, output: str | None = None, **attributes: int) -> str:
            output = output or scope.get_unique_variable_name(kind.lower())
            name = scope.get_unique_operator_name(kind)
            container.add_node(kind, list(inputs), [output], name=name, **attributes)
            return output

        model = operator.raw_operator
        # In double, because in float 1 + x loses the digits of a small x.
        x = node("Cast", operator.inputs[0].full_name, to=TensorProto.DOUBLE)
        one = constant("one", TensorProto.DOUBLE, np.ones(1))
        fill = constant("fill", TensorProto.DOUBLE, model.fill_)
        flagged = constant("flagged", TensorProto.INT64, model.flagged_)
        log = node("Mul", node("Sign", x), node("Log", node("Add", node("Abs", x), one)))
        missing = node("IsNaN", x)
        filled = node("Cast", node("Where", missing, fill, log), to=TensorProto.FLOAT)
        flags = node("Cast", node("Gather", missing, flagged, axis=1), to=TensorProto.FLOAT)
        node("Concat", filled, flags, axis=1, output=operator.outputs[0].full_name)

    update_registered_converter(SignedLog, "ChurnhouseSignedLog", shape, convert)


def register_boosting() -> None:
    """Make skl2onnx write the flags of boosted trees as integers.

    It mixes False into a list of integers, which protobuf rejects from 7.34 on.
    """
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
    from skl2onnx.operator_converters.random_forest import convert_sklearn_random_forest_classifier
    from sklearn.ensemble import HistGradientBoostingClassifier

    def convert(scope: Any, operator: Any, container: Any) -> None:
        add_node = container.add_node

        def add(
            *arguments: Any, nodes_missing_value_tracks_true: Sequence[bool] = (), **attributes: Any
        ) -> None:
            flags = [int(flag) for flag in nodes_missing_value_tracks_true]
            if flags:
                attributes["nodes_missing_value_tracks_true"] = flags
            add_node(*arguments, **attributes)

        container.add_node = add
        try:
            convert_sklearn_random_forest_classifier(scope, operator, container)
        finally:
            container.add_node = add_node

    flags = ("zipmap", "raw_scores", "nocl", "output_class_labels")
    update_registered_converter(
        HistGradientBoostingClassifier,
        "SklearnHistGradientBoostingClassifier",
        calculate_linear_classifier_output_shapes,
        convert,
        options={flag: [True, False] for flag in flags},
    )


def check_parity(estimator: "ClassifierMixin", model: bytes, matrix: np.ndarray) -> float:
    """Return the largest difference in probability between a model and its ONNX file.

    Both get the same float32 values of at most PARITY_ROWS evenly spaced rows. Raises JobError
    from MAX_DIFFERENCE upwards.
    """
    from threadpoolctl import threadpool_limits

    from python_jobs.training.estimators import churn_risk

    rows = matrix[_evenly(len(matrix), PARITY_ROWS)]
    with threadpool_limits(1):  # trees on several threads are slow when the cores are busy
        original = churn_risk(estimator, rows)
    difference = np.abs(original - score(open_session(model), rows)).max()
    if not difference < MAX_DIFFERENCE:
        raise JobError(
            f"The ONNX export differs from its model by up to {difference:.2g} in probability "
            f"on {len(rows):,} rows (allowed: {MAX_DIFFERENCE:g}); nothing was registered.",
            next_step="report this with the data's feature ranges; the last model keeps serving.",
        )
    return float(difference)


def golden(
    model: bytes, matrix: np.ndarray, attributes: Iterable[Sequence[int]] = ()
) -> dict[str, Any]:
    """Return some rows, by rising risk, with the scores that they must always get.

    A row is nobody's: each number is the median of rows of about equal risk, and missing if half
    of these lack it; a number that may be missing is so in one row at least. `attributes`: the
    columns of each attribute, whose values take turns.
    """
    session = open_session(model)
    rows = matrix[_evenly(len(matrix), PARITY_ROWS)]
    order = np.argsort(score(session, rows), kind="stable")
    groups = np.array_split(order, min(GOLDEN_ROWS, max(1, len(rows) // GOLDEN_GROUP)))
    missing = np.array([np.isnan(rows[group]).mean(axis=0) for group in groups])
    medians = np.array([_medians(rows[group]) for group in groups], np.float32)
    medians[missing >= np.where(missing.any(axis=0), missing.max(axis=0).clip(max=0.5), 2)] = np.nan
    for columns in attributes:
        for number, row in enumerate(medians):
            row[columns] = 0
            row[columns[number % len(columns)]] = 1
    risk = score(session, medians)
    rising = np.argsort(risk, kind="stable")
    values = medians[rising].astype(object)
    values[np.isnan(medians[rising])] = None
    return {"rows": values.tolist(), "churn_risk": risk[rising].tolist()}


def _medians(rows: np.ndarray) -> np.ndarray:
    """Return each column's median, a value that occurs; NaN for a column without any."""
    ordered = np.sort(rows, axis=0)  # NaN last
    middle = (np.maximum((~np.isnan(rows)).sum(axis=0), 1) - 1) // 2
    found: np.ndarray = ordered[middle, np.arange(rows.shape[1])]
    return found


def _evenly(count: int, wanted: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(int))
