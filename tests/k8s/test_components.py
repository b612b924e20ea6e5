"""Components that no overlay uses are right too."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support.rendered import K8S, needs_kubectl, objects, of_kind, pods

COMPONENTS = sorted(path.name for path in (K8S / "components").iterdir())


def rendered_with(component: str, folder: Path) -> dict[tuple[str, str], dict]:
    """Return the base with one component, by kind and name."""
    shutil.copytree(K8S, folder / "k8s", dirs_exist_ok=True)
    overlay = folder / "k8s/overlays/trial"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(
        f"namespace: trial\nresources: [../../base]\ncomponents: [../../components/{component}]\n"
    )
    done = subprocess.run(["kubectl", "kustomize", overlay], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}


def test_every_component_is_used_by_an_overlay_or_tested_here():
    used = "".join(path.read_text() for path in (K8S / "overlays").glob("*/kustomization.yaml"))
    assert {name for name in COMPONENTS if f"/{name}\n" not in used} == {"scrape-annotations"}


@needs_kubectl
def test_annotations_are_what_the_scrape_job_looks_for(tmp_path: Path):
    made = rendered_with("scrape-annotations", tmp_path)
    service = made["Service", "churnhouse-api"]
    (port,) = service["spec"]["ports"]
    config = yaml.safe_load((K8S / "monitoring/prometheus-kubernetes.yml").read_text())
    (job,) = config["scrape_configs"]
    rules = {rule.get("target_label", rule.get("action")): rule for rule in job["relabel_configs"]}
    noted = service["metadata"]["annotations"]
    discovered = {
        "__meta_kubernetes_service_name": service["metadata"]["name"],
        "__meta_kubernetes_endpoint_port_name": port["name"],
    } | {
        "__meta_kubernetes_service_annotation_" + re.sub(r"\W", "_", name): value
        for name, value in noted.items()
    }
    kept = ";".join(discovered[label] for label in rules["keep"]["source_labels"])
    assert re.fullmatch(rules["keep"]["regex"], kept)
    (label,) = rules["__metrics_path__"]["source_labels"]
    assert discovered[label] == "/metrics"
    plain = of_kind("dev", "Service")["churnhouse-api"]["metadata"]
    assert "annotations" not in plain
    # the alerts ask for this name, and the operator gives it too
    assert job["job_name"] == service["metadata"]["name"]


SCRIPT = K8S / "cluster.sh"


@needs_kubectl
def test_laptop_script_names_what_the_overlay_dev_has():
    script = SCRIPT.read_text()
    (namespace,) = re.findall(r"^namespace=(\S+)$", script, re.MULTILINE)
    assert [namespace] == list(of_kind("dev", "Namespace"))
    made = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in objects("dev")}
    named = set(re.findall(r"\b(?:job|deployment|service)/[\w-]+", script))
    assert len(named) == 3 and named <= made
    (images,) = re.findall(r"^for image in (.+); do$", script, re.MULTILINE)
    used = {one["spec"]["containers"][0]["image"] for one in pods("dev").values()}
    assert {f"{image}:dev" for image in images.split()} == used
    keys = of_kind("dev", "Deployment")["churnhouse-api"]["spec"]["template"]["spec"]["volumes"]
    assert "churnhouse-api" in [v["secret"]["secretName"] for v in keys if "secret" in v]
    assert "create secret generic churnhouse-api" in script


@pytest.mark.parametrize(
    "argument, tools, says",
    [
        ("up", [], "neither kind nor minikube is installed. Next: "),
        ("sideways", ["kind"], "'sideways' is neither up nor down. Next: "),
    ],
)
def test_laptop_script_says_what_is_missing(tmp_path, argument, tools, says):
    for program in ["dirname", *tools]:
        (tmp_path / program).symlink_to(shutil.which("dirname"))
    done = subprocess.run(
        ["/bin/sh", SCRIPT, argument], env={"PATH": tmp_path}, capture_output=True, text=True
    )
    assert done.returncode == 1 and says in done.stderr, done.stderr
