"""Cloud templates are valid offline and run the API as the manifests do."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from support.homes import PROJECT
from support.rendered import TOOLS, needs_kubectl, needs_tools, pods

CLOUD = PROJECT / "cloud"
TERRAFORM = CLOUD / "terraform"
TASK = json.loads((CLOUD / "ecs-task.json").read_text())
RUN = yaml.safe_load((CLOUD / "cloud-run.yaml").read_text())
ENVIRONMENT = {
    "CHURNHOUSE_HOME": "/data",
    "CHURNHOUSE_API_LOG_LEVEL": "warning",
    "CHURNHOUSE_API_KEYS": "/etc/churnhouse/keys",
}


def in_ecs() -> dict:
    (container,) = TASK["containerDefinitions"]
    volumes = {one["name"] for one in TASK["volumes"]}
    assert {one["sourceVolume"] for one in container["mountPoints"]} == volumes
    return {
        "words": container["entryPoint"] + container["command"],
        "environment": {one["name"]: one["value"] for one in container["environment"]},
        "secrets": [one["name"] for one in container["secrets"]],
        "mounts": {one["containerPath"]: one["readOnly"] for one in container["mountPoints"]},
        "image": container["image"],
        "live": re.findall(
            r"127\.0\.0\.1:8000(/\w+)", " ".join(container["healthCheck"]["command"])
        ),
    }


def in_cloud_run() -> dict:
    spec = RUN["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    volumes = {one["name"]: one for one in spec["volumes"]}
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert {one["name"] for one in container["volumeMounts"]} == set(volumes)
    return {
        "words": container["command"] + container["args"],
        "environment": {name: value for name, value in environment.items() if value},
        "secrets": [name for name, value in environment.items() if not value],
        "mounts": {
            one["mountPath"]: "secret" in volumes[one["name"]]
            or volumes[one["name"]]["nfs"].get("readOnly", False)
            for one in container["volumeMounts"]
        }
        | {"/tmp": False},  # Cloud Run's file system is in memory and may be written
        "image": container["image"],
        "live": [container["livenessProbe"]["httpGet"]["path"]],
    }


@needs_kubectl
@pytest.mark.parametrize("described", [in_ecs, in_cloud_run])
def test_template_runs_the_api_as_production_does(described):
    (container,) = pods("prod")["churnhouse-api"]["spec"]["containers"]
    found = described()
    assert found["words"] == container["command"] + container["args"]
    assert found["environment"] == ENVIRONMENT
    assert found["secrets"] == [one["name"] for one in container["env"] if "valueFrom" in one]
    mounts = {m["mountPath"]: m.get("readOnly", False) for m in container["volumeMounts"]}
    assert found["mounts"] == mounts
    assert re.fullmatch(r"\S+/churnhouse-api@sha256:[0-9a-f]{64}", found["image"])
    assert found["live"] == [container["livenessProbe"]["httpGet"]["path"]]


def problems(task: dict) -> str:
    """Return what the ECS API would refuse, by the model that the AWS client carries."""
    client = botocore.session.get_session().get_service_model("ecs")
    shape = client.operation_model("RegisterTaskDefinition").input_shape
    return ParamValidator().validate(task, shape).generate_report()


def test_ecs_task_is_what_its_api_accepts():
    assert problems(TASK) == ""
    assert "portMapping" in problems(TASK | {"portMapping": []})
    (container,) = TASK["containerDefinitions"]
    assert container["readonlyRootFilesystem"] and container["user"] == "10001:10001"
    assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}


@needs_tools
def test_cloud_run_pod_is_what_kubernetes_accepts(tmp_path: Path):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "api"}}
    spec = dict(RUN["spec"]["template"]["spec"])
    for known_to_knative in ("containerConcurrency", "timeoutSeconds"):
        del spec[known_to_knative]
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod | {"spec": spec}))
    command = [TOOLS / "kubernetes-validate", "--strict", "--kubernetes-version", "1.31"]
    done = subprocess.run([*command, tmp_path / "pod.yaml"], capture_output=True, text=True)
    assert done.returncode == 0 and " passed for " in done.stdout + done.stderr, done


@pytest.mark.skipif(
    shutil.which("terraform") is None,
    reason="needs terraform, which Debian does not have, to parse the module",
)
def test_terraform_parses_and_is_formatted():
    command = ["terraform", "fmt", "-check", "-diff", TERRAFORM]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_tools
def test_checkov_finds_nothing_in_the_terraform_module(tmp_path: Path):
    command = [TOOLS / "checkov", "--directory", TERRAFORM, "--framework", "terraform"]
    command += ["--skip-download", "--quiet", "--compact", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    report = json.loads(done.stdout)
    summary = report["summary"]
    assert summary["parsing_errors"] == 0 and summary["resource_count"] > 10
    assert [found["check_id"] for found in report["results"]["failed_checks"]] == []
    assert summary["passed"] > 40 and summary["skipped"] == 2


def test_every_variable_and_output_is_described_and_used():
    text = {path.name: path.read_text() for path in TERRAFORM.glob("*.tf")}
    for file, word in (("variables.tf", "variable"), ("outputs.tf", "output")):
        blocks = re.split(rf'^{word} "', text[file], flags=re.MULTILINE)[1:]
        assert blocks and all(re.search(r'description = ".+\."', block) for block in blocks)
    for name in re.findall(r'^variable "(\w+)"', text["variables.tf"], re.MULTILINE):
        assert re.search(rf"\bvar\.{name}\b", text["main.tf"]), name
