"""The deployer may apply every overlay again, and no change of its gives it a Secret."""

import copy
import json
import subprocess
from collections.abc import Callable

import pytest
import yaml
from support.homes import PROJECT
from support.rendered import K8S, TOOLS, each_overlay, needs_kubectl, needs_tools, objects, of_kind

pytestmark = [needs_kubectl, needs_tools]
POLICY = K8S / "cluster/validating-admission-policy-deployer.yaml"
SETTINGS = K8S / "cluster/validating-admission-policy-deployer-settings.yaml"
DEPLOYER = "system:serviceaccount:churnhouse:churnhouse-deployer"
WORKLOADS = ("Deployment", "Job", "CronJob")


def judged(requests: list[dict], policy=POLICY) -> list[list[str]]:
    command = [TOOLS / "python", PROJECT / "tests/support/admission.py", policy]
    done = subprocess.run(command, input=json.dumps(requests), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def request(new: dict, old: dict | None = None, user: str = DEPLOYER) -> dict:
    asked = {"kind": {"kind": new["kind"]}, "userInfo": {"username": user}}
    return {"request": asked, "object": new, "oldObject": old}


def api() -> dict:
    return of_kind("prod", "Deployment")["churnhouse-api"]


def changed(found: dict, change: Callable[[dict, dict], object]) -> dict:
    """Return a copy whose pod and first container were changed."""
    new = copy.deepcopy(found)
    spec = new["spec"].get("jobTemplate", new)["spec"]["template"]["spec"]
    change(spec, spec["containers"][0])
    return new


@each_overlay
def test_deployer_may_apply_every_workload_again(overlay: str):
    workloads = [found for found in objects(overlay) if found["kind"] in WORKLOADS]
    assert len(workloads) >= 5
    requests = [request(found, found) for found in workloads]
    requests += [request(found) for found in workloads if found["kind"] != "Deployment"]
    assert judged(requests) == [[]] * len(requests)


def test_a_release_may_change_the_digest_and_the_resources():
    def release(pod: dict, container: dict) -> None:
        container["image"] = container["image"].partition("@")[0] + "@sha256:" + "a" * 64
        container["resources"]["limits"]["memory"] = "1Gi"

    assert judged([request(changed(api(), release), api())]) == [[]]


SECRET = {"secretKeyRef": {"name": "churnhouse-api", "key": "keys"}}
WAYS_OF_A_JOB = {
    "a volume": lambda pod, one: pod["volumes"].append(
        {"name": "s", "secret": {"secretName": "churnhouse-api"}}
    ),
    "a projected volume": lambda pod, one: pod["volumes"].append(
        {"name": "s", "projected": {"sources": [{"secret": {"name": "churnhouse-api"}}]}}
    ),
    "a variable": lambda pod, one: one.setdefault("env", []).append(
        {"name": "S", "valueFrom": SECRET}
    ),
    "all variables": lambda pod, one: one["envFrom"].append(
        {"secretRef": {"name": "churnhouse-api"}}
    ),
    "an init container": lambda pod, one: pod.update(
        initContainers=[{"name": "i", "image": "x", "env": [{"name": "S", "valueFrom": SECRET}]}]
    ),
}


@pytest.mark.parametrize("kind", ["Job", "CronJob"])
def test_no_job_of_the_deployer_reaches_a_secret(kind: str):
    found = next(iter(of_kind("prod", kind).values()))
    refused = judged([request(changed(found, way)) for way in WAYS_OF_A_JOB.values()])
    for way, why in zip(WAYS_OF_A_JOB, refused, strict=True):
        assert len(why) == 1, (way, why)
    administrator = request(changed(found, WAYS_OF_A_JOB["a volume"]), user="admin")
    assert judged([administrator]) == [[]]


WAYS_OF_THE_API = {
    "another image": lambda pod, one: one.update(image="evil.example.com/churnhouse-api@sha256:0"),
    "another command": lambda pod, one: one.update(command=["sh", "-c", "cat /etc/churnhouse/*"]),
    "other arguments": lambda pod, one: one.update(args=["run"]),
    "a variable": lambda pod, one: one["env"].append({"name": "PYTHONPATH", "value": "/data/x"}),
    "a mount over the code": lambda pod, one: one["volumeMounts"].append(
        {"name": "data", "mountPath": "/app"}
    ),
    "another Secret": lambda pod, one: pod["volumes"].append(
        {"name": "s", "secret": {"secretName": "churnhouse-scrape"}}
    ),
    "a second container": lambda pod, one: pod["containers"].append(copy.deepcopy(one)),
    "an init container": lambda pod, one: pod.update(initContainers=[copy.deepcopy(one)]),
    "a command at the start": lambda pod, one: one["lifecycle"].update(
        postStart={"exec": {"command": ["env"]}}
    ),
    "a probe that runs a command": lambda pod, one: one.update(
        readinessProbe={"exec": {"command": ["env"]}}
    ),
    "other settings": lambda pod, one: one["envFrom"].append({"configMapRef": {"name": "evil"}}),
}


def test_deployer_cannot_make_the_api_give_its_secret_away():
    requests = [request(changed(api(), way), api()) for way in WAYS_OF_THE_API.values()]
    for way, why in zip(WAYS_OF_THE_API, judged(requests), strict=True):
        assert why, way
    other = copy.deepcopy(api())
    other["metadata"]["name"] = "copy"
    assert [bool(why) for why in judged([request(api()), request(other, other)])] == [True, True]


@each_overlay
def test_settings_hold_only_variables_of_the_product(overlay: str):
    maps = list(of_kind(overlay, "ConfigMap").values())
    (settings,) = [one for one in maps if "settings" in one["metadata"]["name"]]
    evil = copy.deepcopy(settings)
    evil["data"]["PYTHONPATH"] = "/data/x"
    refused = judged([*map(request, maps), request(evil)], SETTINGS)
    assert refused[:-1] == [[]] * len(maps) and len(refused[-1]) == 1


def test_every_policy_denies_and_is_bound(tmp_path):
    command = ["kubectl", "kustomize", K8S / "cluster"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    made = list(yaml.safe_load_all(text))
    policies = {one["metadata"]["name"] for one in made if one["kind"].endswith("Policy")}
    bound = {one["spec"]["policyName"] for one in made if one["kind"].endswith("Binding")}
    assert policies == bound and len(policies) == 2
    assert all(one["spec"]["failurePolicy"] == "Fail" for one in made if "variables" in one["spec"])
    (tmp_path / "all.yaml").write_text(text)
    check = [TOOLS / "kubernetes-validate", "--strict", "--kubernetes-version", "1.31"]
    done = subprocess.run([*check, tmp_path / "all.yaml"], capture_output=True, text=True)
    assert done.returncode == 0 and (done.stdout + done.stderr).count(" passed for ") == 4, done
