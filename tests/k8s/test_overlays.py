"""Overlays differ only where their environments do."""

import re
import shutil
import subprocess

import pytest
import yaml
from support.homes import PROJECT
from support.rendered import K8S, OVERLAYS, containers, environment, needs_kubectl, of_kind

from python_jobs.ingest import domain
from python_jobs.settings import Settings

pytestmark = needs_kubectl


def api(overlay: str) -> dict:
    return of_kind(overlay, "Deployment")["churnhouse-api"]["spec"]


def test_minimum_replicas_are_one_two_and_three():
    assert api("dev")["replicas"] == 1
    assert not of_kind("dev", "HorizontalPodAutoscaler")
    for overlay, least in (("staging", 2), ("prod", 3)):
        assert "replicas" not in api(overlay), "an apply would undo what the autoscaler decided"
        (scaler,) = of_kind(overlay, "HorizontalPodAutoscaler").values()
        spec = scaler["spec"]
        assert (spec["minReplicas"], spec["maxReplicas"]) == (least, 10)
        (metric,) = spec["metrics"]
        assert metric["resource"] == {
            "name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 70},
        }


def test_only_production_requires_approval():
    required = {
        overlay: {
            name: environment(overlay, container)["CHURNHOUSE_APPROVAL_REQUIRED"]
            for name, _, container in containers(overlay)
        }
        for overlay in OVERLAYS
    }
    assert set(required["dev"].values()) == set(required["staging"].values()) == {"false"}
    first = required["prod"].pop("churnhouse-seed-model")
    assert first == "false", "the first model has nobody to be compared with"
    assert set(required["prod"].values()) == {"true"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_staging_and_prod_name_images_by_digest(overlay: str):
    for name, _, container in containers(overlay):
        image = "churnhouse-api" if name == "churnhouse-api" else "churnhouse-ml"
        form = f"{image}:dev" if overlay == "dev" else rf"\S+/{image}@sha256:[0-9a-f]{{64}}"
        assert re.fullmatch(form, container["image"]), container["image"]


def test_each_overlay_sets_its_storage_class_and_size():
    claims = {o: of_kind(o, "PersistentVolumeClaim")["churnhouse-data"]["spec"] for o in OVERLAYS}
    classes = [claims[overlay].get("storageClassName") for overlay in OVERLAYS]
    assert classes == [None, "nfs-csi", "cephfs"], "a laptop has only its default class"
    assert len({claim["resources"]["requests"]["storage"] for claim in claims.values()}) == 3
    modes = {overlay: claim["accessModes"] for overlay, claim in claims.items()}
    shared = ["ReadWriteMany"]
    assert modes == {"dev": ["ReadWriteOnce"], "staging": shared, "prod": shared}


def test_log_level_rises_from_dev_to_prod():
    levels = [
        environment(overlay, container)["CHURNHOUSE_API_LOG_LEVEL"]
        for overlay in OVERLAYS
        for name, _, container in containers(overlay)
        if name == "churnhouse-api"
    ]
    assert levels == ["debug", "info", "warning"]


UNITS = {"": 1, "m": 0.001, "Mi": 2**20, "Gi": 2**30}


def amount(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(\w*)", text).groups()
    return int(number) * UNITS[unit]


@pytest.mark.parametrize("name", ["churnhouse-api", "churnhouse-daily", "churnhouse-seed-model"])
@pytest.mark.parametrize("kind", ["requests", "limits"])
@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_resources_grow_from_dev_to_prod(name: str, kind: str, resource: str):
    sizes = [
        amount(container["resources"][kind][resource])
        for overlay in OVERLAYS
        for made_by, _, container in containers(overlay)
        if made_by == name
    ]
    assert sizes[0] < sizes[1] < sizes[2]


def test_dev_needs_nothing_that_a_new_cluster_lacks():
    """No objects of an operator, no metrics-server, no ingress controller."""
    for overlay, lacks in (("dev", True), ("staging", False), ("prod", False)):
        kinds = {
            *("ServiceMonitor", "PrometheusRule", "HorizontalPodAutoscaler", "Ingress"),
        }
        found = {kind for kind in kinds if of_kind(overlay, kind)}
        assert found == (set() if lacks else kinds)


def test_each_ingress_has_tls_for_its_own_name():
    names = set()
    for overlay in ("staging", "prod"):
        (ingress,) = of_kind(overlay, "Ingress").values()
        (rule,), (tls,) = ingress["spec"]["rules"], ingress["spec"]["tls"]
        assert tls["hosts"] == [rule["host"]] and tls["secretName"]
        names.add(rule["host"])
        (path,) = rule["http"]["paths"]
        service = of_kind(overlay, "Service")[path["backend"]["service"]["name"]]
        assert path["backend"]["service"]["port"]["name"] == service["spec"]["ports"][0]["name"]
    assert len(names) == 2


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_quota_admits_a_rollout_and_every_job_at_once(overlay: str):
    (quota,) = of_kind(overlay, "ResourceQuota").values()
    hard = quota["spec"]["hard"]
    scalers = of_kind(overlay, "HorizontalPodAutoscaler").values()
    most = max([api(overlay).get("replicas", 1), *(s["spec"]["maxReplicas"] for s in scalers)])
    times = {
        name: most + 1 if name == "churnhouse-api" else 2 if name == "churnhouse-daily" else 1
        for name, _, _ in containers(overlay)  # a Job by hand is made from the daily one
    }
    assert sum(times.values()) <= int(hard["pods"])
    for kind in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            needed = sum(
                times[name] * amount(container["resources"][kind][resource])
                for name, _, container in containers(overlay)
            )
            allowed = amount(hard[f"{kind}.{resource}"])
            assert needed <= allowed < 2 * needed, (kind, resource, needed, allowed)


def test_only_dev_generates_synthetic_users():
    for overlay in OVERLAYS:
        assert ("churnhouse-generate" in of_kind(overlay, "CronJob")) == (overlay == "dev")
        ((_, _, seed),) = [c for c in containers(overlay) if c[0] == "churnhouse-seed-model"]
        names_its_files = "--raw /data/raw" in seed["args"][0]
        assert names_its_files == (overlay != "dev"), "without --raw the first run makes users up"


def test_documented_overlay_mounts_a_domain_where_jobs_read_it(tmp_path):
    text = (PROJECT / "docs/operations.md").read_text()
    (documented,) = re.findall(r"```yaml\n(apiVersion: kustomize.*?)```", text, re.DOTALL)
    shutil.copytree(K8S, tmp_path / "k8s")
    folder = tmp_path / "k8s/overlays/mine"
    shutil.copytree(PROJECT / "domains/elearning", folder)
    (folder / "kustomization.yaml").write_text(documented)
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    made = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}
    configs = {name: one["data"] for (kind, name), one in made.items() if kind == "ConfigMap"}
    (settings,) = [data for data in configs.values() if "DOMAIN" in data]
    assert settings["DOMAIN"] == "mine"
    (own,) = [name for name, data in configs.items() if set(data) == {"domain.yml", "ingest.sql"}]
    mounted = {}
    for (kind, name), one in made.items():
        if kind in ("Job", "CronJob"):
            spec = one["spec"].get("jobTemplate", one)["spec"]["template"]["spec"]
            mounts = {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}
            if mount := mounts.get("/domains/mine"):
                assert mount["readOnly"]
                (volume,) = [v for v in spec["volumes"] if v["name"] == mount["name"]]
                assert volume["configMap"] == {"name": own, "optional": True}
            mounted[name] = "/domains/mine" in mounts
    assert mounted == {
        "churnhouse-daily": True,
        "churnhouse-drift": False,  # reads only the published version, no domain
        "churnhouse-retrain": True,
        "churnhouse-seed-model": True,
        "churnhouse-test": True,
    }
    image = (PROJECT / "docker/Dockerfile.ml").read_text()
    assert "CHURNHOUSE_DOMAINS=/domains " in image
    # what the pods would read: the overlay's settings over those of the mounted domain
    (tmp_path / "domains").mkdir()
    shutil.copytree(folder, tmp_path / "domains/mine")
    read = Settings(domains=tmp_path / "domains", vars=settings["CHURNHOUSE_VARS"])
    changed, plain = (
        domain.load("mine", read).vars,
        domain.load("elearning", Settings()).vars,
    )
    assert (changed.churn_horizon_days, changed.offer_cost, changed.top_k) == (14, 3, 200)
    assert (plain.churn_horizon_days, plain.offer_cost, plain.top_k) != (14, 3, 200)
