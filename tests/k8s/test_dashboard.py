"""The dashboards have the form Grafana expects; test_alerts runs their queries."""

import itertools
import json
import re

import pytest
from support.watchers import MONITORING

BOARDS = {file.stem: json.loads(file.read_text()) for file in (MONITORING / "dashboards").iterdir()}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's own panels, so that no plugin has to be installed.
CORE = {"stat", "timeseries", "bargauge", "status-history"}


each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())


@each_board
def test_panels_have_unique_titles_and_ids_and_a_description(board):
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} <= CORE
    assert all(panel["description"].endswith(".") for panel in panels)


@each_board
def test_panels_do_not_overlap_and_fit_the_width(board):
    boxes = [panel["gridPos"] for panel in board["panels"]]
    assert all(box["x"] >= 0 and box["x"] + box["w"] <= 24 for box in boxes)
    for one, other in itertools.combinations(boxes, 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_above, (one, other)


@each_board
def test_the_data_source_is_the_only_variable(board):
    (variable,) = board["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    assert variable["query"] == "prometheus"
    for panel in board["panels"]:
        assert panel["datasource"] == SOURCE and panel["targets"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        for target in panel["targets"]:
            assert target["datasource"] == SOURCE
            assert set(re.findall(r"\$\w+", target["expr"])) <= {"$__rate_interval"}


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        (
            "serving",
            "requests_total request_seconds_bucket lookups_total published_age_seconds"
            " predictions_total refused_total reloads_total ready",
        ),
        ("model", "churn_risk_bucket model_performance model_performance_bound"),
        ("drift", "feature_drift_psi feature_drift_status prediction_drift_psi"),
        ("jobs", "job_seconds job_rows job_rejected_rows job_peak_memory_bytes job_done"),
    ],
)
def test_each_dashboard_shows_its_metrics(name, metrics):
    board = BOARDS[name]
    shown = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    for metric in metrics.split():
        assert f"churnhouse_{metric}" in shown, metric
    assert board["uid"] == f"churnhouse-{name}" and board["schemaVersion"] >= 39
