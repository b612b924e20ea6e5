"""Components that no overlay uses are right too."""

import re
import shutil
import subprocess
from pathlib import Path

import yaml
from support.rendered import K8S, needs_kubectl, of_kind

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
