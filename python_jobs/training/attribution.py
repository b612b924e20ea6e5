"""Feature contributions to a score: exact for the linear member, path attribution for trees.

Contributions are in log-odds and add up: the model's log-odds are the base (the log-odds of the
average training row) plus the contributions of all features.

- Linear: coefficient times standardised value; the average row has 0 everywhere.
- Trees: on the path from the root to a leaf, each change of the nodes' mean prediction counts for
  the feature of that split (Palczewska et al. 2013, "Interpreting random forest classification
  models using a feature contribution method"; Saabas 2014). So every leaf has fixed contributions,
  and one pass through the trees gives all of them. Exact Shapley values need hundreds of passes.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline

from python_jobs.training.estimators import Blend
from python_jobs.training.onnx_export import OPSET, assemble, register_signed_log
from python_jobs.training.sklearn_internals import baseline, trees, with_float32_thresholds


def export(model: Blend, n_features: int) -> bytes:
    """Return ONNX bytes that compute the contributions of a model's features.

    Input `features`: as in the model's own file. Output `contributions`: float32 [rows, features].
    A member is a linear pipeline or histogram boosting.
    """
    from onnx import TensorProto, helper

    nodes, constants, parts = [], [], []
    for number, (member, weight) in enumerate(zip(model.members, model.weights, strict=True)):
        build = _linear if isinstance(member, Pipeline) else _trees
        more, new = build(member, weight, n_features, f"part_{number}")
        nodes += more
        constants += new
        parts.append(f"part_{number}")
    nodes.append(helper.make_node("Sum", parts, ["contributions"]))
    return assemble("contributions", nodes, constants, n_features, n_features, TensorProto.FLOAT)


def base(model: Blend) -> float:
    """Return the log-odds of the average training row, to which contributions are added."""
    total = model.intercept
    for member, weight in zip(model.members, model.weights, strict=True):
        if isinstance(member, Pipeline):
            start = member[-1].intercept_[0]
        else:
            start = baseline(member) + sum(_node_values(nodes)[0] for nodes in trees(member))
        total += weight * start
    return float(total)


def _linear(
    pipeline: Pipeline, weight: float, n_features: int, output: str
) -> tuple[list[Any], list[Any]]:
    """Return ONNX nodes and constants that multiply standardised inputs by the coefficients.

    A missing-value flag counts for the feature it belongs to.
    """
    from onnx import compose, helper, numpy_helper
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    register_signed_log()
    logs = pipeline[0]
    came_from = np.concatenate([np.arange(n_features), logs.flagged_])
    matrix = np.zeros((len(came_from), n_features), np.float32)
    matrix[np.arange(len(came_from)), came_from] = pipeline[-1].coef_[0] * weight
    scaled = to_onnx(
        pipeline[:-1],
        initial_types=[("features", FloatTensorType([None, n_features]))],
        target_opset=OPSET,
    )
    last = scaled.graph.output[0].name
    graph = compose.add_prefix(scaled, f"{output}_").graph
    for node in graph.node:
        node.input[:] = ["features" if n == f"{output}_features" else n for n in node.input]
    multiply = helper.make_node("MatMul", [f"{output}_{last}", f"{output}_matrix"], [output])
    constant = numpy_helper.from_array(matrix, f"{output}_matrix")
    return [*graph.node, multiply], [*graph.initializer, constant]


def _trees(
    boosting: ClassifierMixin, weight: float, n_features: int, output: str
) -> tuple[list[Any], list[Any]]:
    """Return an ONNX tree ensemble with one target per feature; see the module's docstring."""
    from onnx import helper

    columns: dict[str, list[Any]] = {
        name: [] for name in ("treeids", "nodeids", "featureids", "values")
    }
    columns |= {name: [] for name in ("modes", "truenodeids", "falsenodeids", "missing")}
    target: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    for number, nodes in enumerate(trees(with_float32_thresholds(boosting))):
        for place, node in enumerate(nodes):
            leaf = bool(node["is_leaf"])
            columns["treeids"].append(number)
            columns["nodeids"].append(place)
            columns["featureids"].append(0 if leaf else int(node["feature_idx"]))
            columns["values"].append(0.0 if leaf else float(node["num_threshold"]))
            columns["modes"].append("LEAF" if leaf else "BRANCH_LEQ")
            columns["truenodeids"].append(0 if leaf else int(node["left"]))
            columns["falsenodeids"].append(0 if leaf else int(node["right"]))
            columns["missing"].append(0 if leaf else int(node["missing_go_to_left"]))
        for place, moved in leaf_contributions(nodes).items():
            for feature, amount in sorted(moved.items()):
                target["treeids"].append(number)
                target["nodeids"].append(place)
                target["ids"].append(feature)
                target["weights"].append(weight * amount)
    attributes: dict[str, Any] = {"nodes_missing_value_tracks_true": columns.pop("missing")}
    attributes |= {f"nodes_{name}": values for name, values in columns.items()}
    attributes |= {f"target_{name}": values for name, values in target.items()}
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        [output],
        domain="ai.onnx.ml",
        n_targets=n_features,
        **attributes,
    )
    return [node], []


def _node_values(nodes: np.ndarray) -> np.ndarray:
    """Return each node's mean prediction over its training rows; children come after parents."""
    values = nodes["value"].astype(np.float64)
    for place in range(len(nodes) - 1, -1, -1):
        node = nodes[place]
        if not node["is_leaf"]:
            sides = [node["left"], node["right"]]
            values[place] = np.average(values[sides], weights=nodes["count"][sides])
    return values


def leaf_contributions(nodes: np.ndarray) -> dict[int, dict[int, float]]:
    """Return {leaf: {feature: contribution}} of one tree, in log-odds."""
    values = _node_values(nodes)
    contributions, paths = {}, [[0]]
    while paths:
        path = paths.pop()
        node = nodes[path[-1]]
        if not node["is_leaf"]:
            paths += [[*path, int(node["left"])], [*path, int(node["right"])]]
            continue
        moved: dict[int, float] = {0: 0.0} if len(path) == 1 else {}
        for parent, child in pairwise(path):
            feature = int(nodes[parent]["feature_idx"])
            moved[feature] = moved.get(feature, 0.0) + values[child] - values[parent]
        contributions[path[-1]] = moved
    return contributions
