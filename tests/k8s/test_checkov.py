"""The manifests pass checkov, except for k8s/checkov-exceptions.yaml."""

import json
import subprocess
from pathlib import Path

import yaml
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

EXCEPTIONS = yaml.safe_load((K8S / "checkov-exceptions.yaml").read_text())


def test_every_exception_has_a_reason():
    for exception in EXCEPTIONS:
        assert len(exception["reason"].split()) > 5, exception["check"]


@needs_kubectl
@needs_tools
@each_overlay
def test_checkov_finds_nothing_but_the_exceptions(overlay: str, tmp_path: Path):
    command = [TOOLS / "checkov", "--file", written_to(tmp_path, overlay), "--skip-download"]
    command += ["--framework", "kubernetes", "--quiet", "--compact", "--output", "json"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["resource_count"] >= len(objects(overlay))
    (namespace,) = of_kind(overlay, "Namespace")
    found = {
        (failure["check_id"], failure["resource"].replace(f".{namespace}.", "."))
        for failure in report["results"]["failed_checks"]
    }
    expected = {
        (exception["check"], name)
        for exception in EXCEPTIONS
        if overlay in exception["overlays"]
        for name in exception["objects"]
    }
    assert found == expected
