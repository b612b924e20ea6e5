"""The dashboard has the form Grafana expects; test_alerts runs its queries."""

import itertools
import json
import re

from support.watchers import MONITORING

BOARD = json.loads((MONITORING / "dashboard.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's own panels, so that no plugin has to be installed.
CORE = {"stat", "timeseries", "bargauge", "status-history"}


def test_panels_have_unique_titles_and_ids_and_a_description():
    ids = [panel["id"] for panel in BOARD["panels"]]
    titles = [panel["title"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids) and len(set(titles)) == len(titles)
    assert {panel["type"] for panel in PANELS} == CORE
    assert all(panel["description"].endswith(".") for panel in PANELS)


def test_panels_do_not_overlap_and_fit_the_width():
    boxes = [panel["gridPos"] for panel in BOARD["panels"]]
    assert all(box["x"] >= 0 and box["x"] + box["w"] <= 24 for box in boxes)
    for one, other in itertools.combinations(boxes, 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_above, (one, other)


def test_the_data_source_is_the_only_variable():
    (variable,) = BOARD["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    assert variable["query"] == "prometheus"
    for panel in PANELS:
        assert panel["datasource"] == SOURCE and panel["targets"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        for target in panel["targets"]:
            assert target["datasource"] == SOURCE
            assert set(re.findall(r"\$\w+", target["expr"])) <= {"$__rate_interval"}


def test_dashboard_shows_every_promised_metric():
    shown = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    for name in (
        *("requests_total", "request_seconds_bucket", "lookups_total", "published_age_seconds"),
        *("churn_risk_bucket", "feature_drift_psi", "model_performance", "model_performance_bound"),
    ):
        assert f"churnhouse_{name}" in shown, name
    assert BOARD["uid"] == "churnhouse" and BOARD["schemaVersion"] >= 39
