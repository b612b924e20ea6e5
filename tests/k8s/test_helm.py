"""The Helm chart, by the real engine: the objects of the overlays, and what its values decide."""

import functools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from support.homes import PROJECT
from support.rendered import (
    K8S,
    TOOLS,
    containers,
    each_overlay,
    needs_kubectl,
    needs_tools,
    of_kind,
    text,
)

CHART = K8S / "helm/churnhouse"
IMAGES = {"images": {"ml": "registry.example.com/ml:1", "api": "registry.example.com/api:1"}}
EVERYTHING = IMAGES | {
    "ingress": {"host": "churn.example.com", "annotations": {"cert-manager.io/issuer": "ours"}},
    "monitoring": {"mode": "operator", "labels": {"release": "prometheus"}, "namespace": "watch"},
    "schedules": {"retrainIfDrifted": "0 5 * * *"},
    "syntheticData": True,
    "storage": {"class": "fast"},
    "imagePullSecrets": [{"name": "pull"}],
    "secrets": {"api": "our-api", "scrape": "our-scrape"},
}

Objects = dict[tuple[str, str], dict]


def helm(values: dict, *, namespace: str = "trial", revision: int = 1, chart: Path = CHART) -> dict:
    command = [TOOLS / "python", PROJECT / "tests/support/helm.py", chart, namespace]
    command += [str(revision), json.dumps(values)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def parsed(files: dict[str, str]) -> Objects:
    found = [one for file in files.values() for one in yaml.safe_load_all(file) if one]
    made = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(made) == len(found)
    return made


def rendered(values: dict, **others) -> Objects:
    answer = helm(values, **others)
    assert "error" not in answer, answer
    notes = answer["files"].pop("churnhouse/templates/NOTES.txt")
    assert "{{" not in notes
    return parsed(answer["files"])


@functools.cache
def everything() -> Objects:
    """Return a rendering in which every value is used; callers must not change it."""
    return rendered(EVERYTHING)


def refusal(values: dict) -> str:
    return helm(IMAGES | values)["error"]


@needs_kubectl
@needs_tools
@each_overlay
def test_chart_makes_the_objects_of_each_overlay(overlay: str):
    values = yaml.safe_load((K8S / f"helm/values/{overlay}.yaml").read_text())
    (namespace,) = of_kind(overlay, "Namespace")
    # a release writes its digests into the overlays alone
    images = {name: container["image"] for name, _, container in containers(overlay)}
    values["images"] = {"ml": images["churnhouse-daily"], "api": images["churnhouse-api"]}
    made = rendered(values, namespace=namespace)
    # what Helm needs and kustomize does not
    claim = made["PersistentVolumeClaim", "churnhouse-data"]["metadata"]
    assert claim.pop("annotations") == {"helm.sh/resource-policy": "keep"}
    pod = made["Deployment", "churnhouse-api"]["spec"]["template"]["metadata"]
    assert set(pod.pop("annotations")) == {"checksum/settings"}
    seed = made.pop(("Job", "churnhouse-seed-model-1"))
    seed["metadata"]["name"] = "churnhouse-seed-model"
    made["Job", "churnhouse-seed-model"] = seed
    # what kustomize needs and Helm does not
    plain = re.sub(r"churnhouse-settings-\w{10}\b", "churnhouse-settings", text(overlay))
    expected = parsed({"": plain})
    del expected["Namespace", namespace]
    assert set(made) == set(expected)
    for key, found in expected.items():
        assert made[key] == found, key


@needs_kubectl
def test_committed_templates_are_what_make_chart_writes(tmp_path: Path):
    subprocess.run([sys.executable, K8S / "helm/make_chart.py", tmp_path], check=True)
    for name in ("templates", "files"):
        kept = {path.name: path.read_text() for path in (CHART / name).iterdir()}
        written = {path.name: path.read_text() for path in (tmp_path / name).iterdir()}
        assert kept == written, "run `make chart`"


@needs_tools
def test_chart_passes_helm_lint():
    program = "import helm_python, json, sys; print(json.dumps(helm_python.lint(sys.argv[1], "
    program += "json.loads(sys.argv[2]), strict=True, kube_version='v1.31.0')))"
    command = [TOOLS / "python", "-c", program, CHART, json.dumps(EVERYTHING)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    serious = [found for found in report["messages"] if found["severity"] > 1]
    assert report["total_charts_linted"] == 1 and not serious and not report["errors"], report


@needs_tools
@pytest.mark.parametrize("release", ["1.31", "1.37"])
def test_all_objects_of_the_chart_pass_strict_validation(release: str, tmp_path: Path):
    custom = {"PrometheusRule", "ServiceMonitor"}
    kept = [found for (kind, _), found in everything().items() if kind not in custom]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(kept))
    command = [TOOLS / "kubernetes-validate", "--strict", "--kubernetes-version", release]
    done = subprocess.run([*command, tmp_path / "all.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(" passed for resource ") == len(kept) > 25


@needs_tools
def test_values_reach_the_objects():
    made = everything()
    ingress = made["Ingress", "churnhouse-api"]
    assert ingress["metadata"]["annotations"] == {"cert-manager.io/issuer": "ours"}
    assert ingress["spec"]["tls"] == [
        {"hosts": ["churn.example.com"], "secretName": "churnhouse-tls"}
    ]
    for kind, name in (("ServiceMonitor", "churnhouse-api"), ("PrometheusRule", "churnhouse")):
        assert made[kind, name]["metadata"]["labels"]["release"] == "prometheus"
    (peer,) = made["NetworkPolicy", "churnhouse-api-scrape"]["spec"]["ingress"][0]["from"]
    assert "watch" in peer["namespaceSelector"]["matchLabels"].values()
    claim = made["PersistentVolumeClaim", "churnhouse-data"]["spec"]
    assert claim["storageClassName"] == "fast"
    for name in ("churnhouse-api", "churnhouse-jobs"):
        assert made["ServiceAccount", name]["imagePullSecrets"] == [{"name": "pull"}]
    used = json.dumps(list(made.values()))
    for secret in ("our-api", "our-scrape"):
        assert f'"{secret}"' in used
    assert '"churnhouse-scrape"' not in used
    assert {
        "valueFrom": {"secretKeyRef": {"name": "our-api", "key": "session-secret"}}
    }.items() <= (
        made["Deployment", "churnhouse-api"]["spec"]["template"]["spec"]["containers"][0]["env"][1]
    ).items()


@needs_tools
def test_a_domain_and_settings_of_an_environment_are_values():
    files = {"domain.yml": "vars: {top_k: 50}\n", "ingest.sql": "select 1\n"}
    made = rendered(
        IMAGES
        | {
            "domain": {"name": "mine", "files": files},
            "vars": {"top_k": 200, "churn_horizon_days": 14},
            "settings": {"CHURNHOUSE_API_LOG_LEVEL": "error"},
        }
    )
    assert made["ConfigMap", "churnhouse-domain"]["data"] == files
    settings = made["ConfigMap", "churnhouse-settings"]["data"]
    assert json.loads(settings["CHURNHOUSE_VARS"]) == {"top_k": 200, "churn_horizon_days": 14}
    assert (settings["DOMAIN"], settings["CHURNHOUSE_API_LOG_LEVEL"]) == ("mine", "error")
    assert settings["CHURNHOUSE_HOME"] == "/data"


@needs_tools
def test_annotations_replace_the_objects_of_the_operator():
    made = rendered(IMAGES | {"monitoring": {"mode": "annotations"}})
    noted = made["Service", "churnhouse-api"]["metadata"]["annotations"]
    component = (K8S / "components/scrape-annotations/service-api.yaml").read_text()
    assert noted == yaml.safe_load(component)["metadata"]["annotations"]
    assert not {"ServiceMonitor", "PrometheusRule", "Ingress"} & {kind for kind, _ in made}


@needs_tools
def test_a_changed_setting_restarts_the_api_and_an_upgrade_makes_a_new_job():
    def checksum(values: dict, **others) -> str:
        pod = rendered(IMAGES | values, **others)["Deployment", "churnhouse-api"]["spec"][
            "template"
        ]
        return pod["metadata"]["annotations"]["checksum/settings"]

    assert checksum({}) == checksum({}, revision=2) != checksum({"vars": {"top_k": 9}})
    assert ("Job", "churnhouse-seed-model-2") in rendered(IMAGES, revision=2)


@needs_tools
@pytest.mark.parametrize(
    "values, says",
    [
        ({"images": {"ml": ""}}, "ml"),
        ({"image": {}}, "image"),
        ({"storage": {"size": "big"}}, "size"),
        ({"schedules": {"daily": "nightly"}}, "daily"),
        ({"monitoring": {"mode": "on"}}, "mode"),
        ({"settings": {"CHURNHOUSE_THREADS": 2}}, "CHURNHOUSE_THREADS"),
        ({"domain": {"name": "shop", "files": {"domain.yml": "", "ingest.sql": ""}}}, "name"),
        ({"domain": {"name": "mine", "files": {"domain.yml": ""}}}, "ingest.sql"),
        ({"quota": {"limits.memory": 24}}, "memory"),
    ],
)
def test_schema_refuses_a_wrong_value_by_its_name(values: dict, says: str):
    assert says in refusal(values)


def test_every_value_is_described_and_every_description_has_a_value():
    schema = json.loads((CHART / "values.schema.json").read_text())
    described, given = set(), set()

    def walk(part: dict, path: str) -> None:
        for name, one in part.get("properties", {}).items():
            described.add(f"{path}{name}")
            assert one["description"].endswith((".", ")", "}")) and "  " not in one["description"]
            walk(one, f"{path}{name}.")

    def leaves(part: object, path: str = "") -> None:
        for name, one in part.items() if isinstance(part, dict) else ():
            given.add(f"{path}{name}")
            leaves(one, f"{path}{name}.")

    walk(schema, "")
    leaves(yaml.safe_load((CHART / "values.yaml").read_text()))
    assert described <= given
    inside = ("quota.", "resources.jobs.", "resources.api.")  # described as a whole
    assert {name for name in given - described if not name.startswith(inside)} == set()


def test_chart_has_the_version_of_the_product():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == project["version"]
