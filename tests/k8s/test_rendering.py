"""Every overlay renders to objects that Kubernetes and the operator's CRDs accept."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.homes import PROJECT
from support.rendered import (
    K8S,
    TOOLS,
    each_overlay,
    needs_kubectl,
    needs_tools,
    objects,
    of_kind,
    written_to,
)

CUSTOM = {"PrometheusRule", "ServiceMonitor"}
# The oldest release with everything used here, and the newest the validator knows.
RELEASES = ("1.31", "1.37")
# What runs where the prometheus-operator does.
OPERATED = ("staging", "prod")
DURATION = re.compile(r"(\d+(ms|[smhdwy]))+")


@needs_kubectl
@each_overlay
def test_overlay_renders_every_object_of_an_installation(overlay: str):
    kinds = {found["kind"] for found in objects(overlay)}
    expected = {
        *("Namespace", "PersistentVolumeClaim", "ConfigMap", "Job", "CronJob", "Deployment"),
        *("Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount", "Role"),
        *("RoleBinding", "ResourceQuota"),
    }
    components = {"ServiceMonitor", "PrometheusRule", "HorizontalPodAutoscaler", "Ingress"}
    assert kinds == expected | (set() if overlay == "dev" else components)
    identities = [(found["kind"], found["metadata"]["name"]) for found in objects(overlay)]
    assert len(set(identities)) == len(identities)


@needs_kubectl
@each_overlay
def test_every_object_is_in_the_namespace_of_the_overlay(overlay: str):
    (namespace,) = of_kind(overlay, "Namespace")
    for found in objects(overlay):
        if found["kind"] != "Namespace":
            assert found["metadata"]["namespace"] == namespace, found["metadata"]["name"]


@pytest.mark.parametrize(
    "file",
    [path for path in sorted(K8S.rglob("*.yaml")) if path.parent.name != "templates"],
    ids=lambda path: str(path.relative_to(K8S)),
)
def test_a_file_holds_one_object(file: Path):
    assert len(list(yaml.safe_load_all(file.read_text(encoding="utf-8")))) == 1


@needs_kubectl
@needs_tools
@pytest.mark.parametrize("release", RELEASES)
@each_overlay
def test_objects_pass_strict_schema_validation(overlay: str, release: str, tmp_path: Path):
    command = [TOOLS / "kubernetes-validate", "--strict", "--kubernetes-version", release]
    command.append(written_to(tmp_path, overlay))
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    unknown = set(re.findall(r"Couldn't find schema for kind (\w+)", said))
    assert unknown == {found["kind"] for found in objects(overlay)} & CUSTOM, said
    custom = sum(found["kind"] in CUSTOM for found in objects(overlay))
    assert said.count(" passed for resource ") == len(objects(overlay)) - custom, said


@needs_kubectl
@each_overlay
def test_service_monitors_match_their_crd(overlay: str):
    for monitor in of_kind(overlay, "ServiceMonitor").values():
        assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
        assert set(monitor["spec"]) == {"selector", "endpoints"}
        for endpoint in monitor["spec"]["endpoints"]:
            assert set(endpoint) <= {"port", "path", "interval", "scrapeTimeout", "authorization"}
            assert endpoint["port"] and endpoint["path"].startswith("/")
            assert DURATION.fullmatch(endpoint["interval"])
            assert DURATION.fullmatch(endpoint["scrapeTimeout"])
            assert endpoint["authorization"]["type"] == "Bearer"
            assert set(endpoint["authorization"]["credentials"]) == {"name", "key"}


@needs_kubectl
@each_overlay
def test_prometheus_rules_match_their_crd(overlay: str):
    for rule in of_kind(overlay, "PrometheusRule").values():
        assert rule["apiVersion"] == "monitoring.coreos.com/v1"
        assert set(rule["spec"]) == {"groups"}
        names = [group["name"] for group in rule["spec"]["groups"]]
        assert len(set(names)) == len(names)
        for group in rule["spec"]["groups"]:
            assert set(group) <= {"name", "interval", "limit", "rules", "labels"}
            for one in group["rules"]:
                known = {"alert", "record", "expr", "for", "keep_firing_for"}
                assert set(one) <= known | {"labels", "annotations"}
                assert ("alert" in one) != ("record" in one)
                assert isinstance(one["expr"], str | int) and one["expr"] != ""
                assert "for" not in one or DURATION.fullmatch(one["for"])
                texts = {**one.get("labels", {}), **one.get("annotations", {})}
                assert all(isinstance(value, str) for value in texts.values())


@needs_kubectl
@pytest.mark.parametrize("overlay", OPERATED)
def test_rendered_alerts_are_the_tested_ones(overlay: str):
    tested = yaml.safe_load((K8S / "monitoring/rules.yml").read_text())
    rule = of_kind(overlay, "PrometheusRule")["churnhouse"]
    assert rule["spec"] == tested, "run `make prometheus-rule`"


@needs_kubectl
@each_overlay
def test_rendered_dashboard_is_the_tested_one(overlay: str):
    config = of_kind(overlay, "ConfigMap")["churnhouse-dashboards"]
    files = (K8S / "monitoring/dashboards").iterdir()
    tested = {f"churnhouse-{file.name}": json.loads(file.read_text()) for file in files}
    assert {name: json.loads(text) for name, text in config["data"].items()} == tested
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_committed_prometheus_rule_is_what_make_writes(tmp_path: Path):
    kept = (K8S / "components/prometheus-operator/prometheus-rule.yaml").read_text()
    written = tmp_path / "prometheus-rule.yaml"
    written.write_text(kept)
    command = ["make", "--silent", "prometheus-rule", f"RULE={written}"]
    subprocess.run(command, cwd=PROJECT, check=True)
    assert written.read_text() == kept
