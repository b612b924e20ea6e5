"""The overlays as `kubectl kustomize` renders them, and the pods in them."""

import functools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.homes import PROJECT

K8S = PROJECT / "k8s"
OVERLAYS = ("dev", "staging", "prod")
TOOLS = PROJECT / ".venv-tools/bin"

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl, which renders the overlays, is not installed"
)
needs_tools = pytest.mark.skipif(
    not (TOOLS.parent / "installed").exists(),
    reason=".venv-tools is missing: `make manifests` makes it and runs this",
)
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)

Object = dict


@functools.cache
def text(overlay: str) -> str:
    """Return what would be applied."""
    folder = K8S / "overlays" / overlay
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # kustomize prints deprecation warnings there
    return done.stdout


@functools.cache
def objects(overlay: str) -> tuple[Object, ...]:
    """Return the objects of an overlay; callers must not change them."""
    return tuple(yaml.safe_load_all(text(overlay)))


def written_to(folder: Path, overlay: str) -> Path:
    """Write the rendered overlay to a file, for tools that need one."""
    path = folder / f"{overlay}.yaml"
    path.write_text(text(overlay))
    return path


def of_kind(overlay: str, kind: str) -> dict[str, Object]:
    """Return the objects of a kind by name."""
    return {found["metadata"]["name"]: found for found in objects(overlay) if found["kind"] == kind}


def job_specs(overlay: str) -> dict[str, Object]:
    """Return the spec of every Job, and of every CronJob's Jobs, by name."""
    jobs = {name: job["spec"] for name, job in of_kind(overlay, "Job").items()}
    cron = of_kind(overlay, "CronJob").items()
    return jobs | {name: job["spec"]["jobTemplate"]["spec"] for name, job in cron}


def pods(overlay: str) -> dict[str, Object]:
    """Return every pod template by the name of its owner."""
    made = {name: spec["template"] for name, spec in job_specs(overlay).items()}
    served = of_kind(overlay, "Deployment").items()
    return made | {name: deployment["spec"]["template"] for name, deployment in served}


def containers(overlay: str) -> Iterator[tuple[str, Object, Object]]:
    """Return (name of the owner, the pod's spec, container) for every container."""
    for name, pod in pods(overlay).items():
        for container in pod["spec"]["containers"] + pod["spec"].get("initContainers", []):
            yield name, pod["spec"], container


def environment(overlay: str, container: Object) -> dict[str, str | Object]:
    """Return a container's variables from ConfigMaps and its own; Secrets as references."""
    variables: dict[str, str | Object] = {}
    for source in container.get("envFrom", []):
        variables |= of_kind(overlay, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    for variable in container.get("env", []):
        variables[variable["name"]] = variable.get("value", variable.get("valueFrom"))
    return variables


def expanded(words: list[str], variables: dict) -> list[str]:
    """Return command and arguments with $(NAME) replaced as by the kubelet."""
    return [re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], word) for word in words]
