"""Every step of a workflow is a make target, and the targets do what they say."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support.homes import PROJECT

TOOLS = PROJECT / ".venv-tools" / "bin"
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
CALL = re.compile(r"(?:sudo )?make [a-z-]+(?: [A-Z]+=(?:\w+|\"[\w -]+\"))*")

DIGEST = r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}"

needs_tools = pytest.mark.skipif(
    not (TOOLS.parent / "installed").exists(), reason="needs `make .venv-tools/installed`"
)


def make(*arguments: str, folder: Path = PROJECT) -> subprocess.CompletedProcess:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=inherited,
        capture_output=True,
        text=True,
        check=False,
    )


def targets() -> set[str]:
    text = (PROJECT / "Makefile").read_text()
    return set(re.findall(r"^([a-z-]+):.*##", text, flags=re.MULTILINE))


def pins(lock: Path) -> set[str]:
    """Return name and version of every package of a lock, without extras and markers."""
    text = lock.read_text(encoding="utf-8")
    found = re.findall(r"^([\w.-]+)(?:\[.+?\])?(==[\w.]+)", text, flags=re.MULTILINE)
    return {name + version for name, version in found}


def jobs() -> list[tuple[str, dict]]:
    return [
        (f"{path.name} {name}", job)
        for path in WORKFLOWS
        for name, job in yaml.safe_load(path.read_text())["jobs"].items()
    ]


def test_every_step_of_a_workflow_is_a_make_target():
    commands = [step["run"] for _, job in jobs() for step in job.get("steps", []) if "run" in step]
    assert len(commands) > 10
    for command in commands:
        assert CALL.fullmatch(command), command
        assert command.removeprefix("sudo ").split()[1] in targets(), command


def test_workflows_request_only_the_permissions_they_need():
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        assert workflow["concurrency"]["group"]
    for name, job in jobs():
        assert "uses" in job or job["timeout-minutes"] <= 60, name
        if "container" in job:
            assert re.fullmatch(DIGEST, job["container"]), name


def test_actions_are_pinned_by_commit_and_say_their_release():
    found = {}
    for path in WORKFLOWS:
        for line in path.read_text().splitlines():
            if match := re.search(r"uses: (?!\./)(.*)", line):
                pinned = re.fullmatch(
                    r"([\w-]+/[\w-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", match[1]
                )
                assert pinned, line
                found.setdefault(pinned[1], set()).add((pinned[2], pinned[3]))
    assert len(found) > 4
    assert all(len(pins) == 1 for pins in found.values()), "one release of an action everywhere"


def test_images_from_elsewhere_are_named_by_digest():
    compose = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    foreign = {name: one["image"] for name, one in compose.items() if "build" not in one}
    assert len(foreign) > 2
    for name, image in foreign.items():
        assert re.fullmatch(DIGEST, image), name
    bases = {
        line
        for path in (PROJECT / "docker").glob("Dockerfile.*")
        for line in path.read_text().splitlines()
        if line.startswith(("ARG PYTHON", "FROM"))
    }
    (base,) = [line for line in bases if line.startswith("ARG")]
    assert re.fullmatch("ARG PYTHON=" + DIGEST, base)
    stages = {line.split()[1] for line in bases if line.startswith("FROM")}
    assert stages <= {"${PYTHON}", "dependencies"}


def test_production_waits_for_staging_and_an_approval():
    release = dict(jobs())
    production = release["release.yml production"]
    # Required reviewers are set on the environment, in the settings of the repository.
    assert production["environment"] == "production"
    assert production["needs"] == "staging"
    assert release["release.yml staging"]["needs"] == "build"
    assert release["release.yml build"]["needs"] == "checks"
    assert release["release.yml checks"]["uses"] == "./.github/workflows/ci.yml"


def test_every_file_of_nightly_tests_is_scheduled():
    nightly = yaml.safe_load((PROJECT / ".github/workflows/nightly.yml").read_text())
    assert nightly[True]["schedule"]  # YAML reads the key `on` as true
    faults, tests = nightly["jobs"]["faults"], nightly["jobs"]["tests"]
    parts = faults["strategy"]["matrix"]["part"]
    assert parts == list(range(1, len(parts) + 1))
    assert faults["env"]["FAULT_PART"] == f"${{{{ matrix.part }}}}/{len(parts)}"
    scheduled = {faults["env"]["NIGHTLY"], *tests["strategy"]["matrix"]["file"]}
    scheduled |= {"tests/spark/test_second_engine.py", "tests/registry/test_tracking.py"}
    assert scheduled == {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "tests").rglob("test_*.py")
        if re.search(r"pytest\.mark\.nightly", path.read_text(encoding="utf-8"))
    }
    called = {step.get("run") for job in nightly["jobs"].values() for step in job["steps"]}
    (needed,) = re.findall(r"^nightly: (.*?) ##", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert {f"make {target}" for target in needed.split()} <= called


def test_pre_commit_hooks_are_the_checks_of_ci():
    config = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())
    entries = {hook["entry"] for repo in config["repos"] for hook in repo["hooks"]}
    lint = dict(jobs())["ci.yml lint"]
    assert entries == {step["run"] for step in lint["steps"] if "run" in step}


@pytest.mark.parametrize("overlay", ["staging", "prod"])
def test_make_digest_changes_only_the_overlay(overlay: str, tmp_path: Path):
    shutil.copytree(PROJECT / "k8s", tmp_path / "k8s")
    shutil.copy(PROJECT / "Makefile", tmp_path)
    file = tmp_path / "k8s" / "overlays" / overlay / "kustomization.yaml"
    before = yaml.safe_load(file.read_text())
    digest = "sha256:" + "0123456789abcdef" * 4
    arguments = f"OVERLAY={overlay}", "IMAGE=churnhouse-api"
    done = make("digest", *arguments, f"DIGEST={digest}", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    after = yaml.safe_load(file.read_text())
    images = {image["name"]: image.pop("digest") for image in after["images"]}
    others = {image["name"]: image.pop("digest") for image in before["images"]}
    assert images == others | {"churnhouse-api": digest}
    assert after == before
    for wrong in ("IMAGE=churnhouse", "DIGEST=latest"):
        done = make("digest", *arguments, f"DIGEST={digest}", wrong, folder=tmp_path)
        assert done.returncode != 0 and "Next: " in done.stdout
    assert yaml.safe_load(file.read_text())["images"][1]["digest"] == digest
    if shutil.which("kubectl"):
        rendered = ["kubectl", "kustomize", str(file.parent)]
        shown = subprocess.run(rendered, capture_output=True, text=True, check=True).stdout
        assert f"churnhouse-api@{digest}" in shown


@needs_tools
def test_bills_of_materials_list_every_locked_package():
    done = make("sbom")
    assert done.returncode == 0, done.stderr
    for image in ("ml", "api"):
        bill = json.loads((PROJECT / "build" / f"churnhouse-{image}.cdx.json").read_text())
        assert bill["bomFormat"] == "CycloneDX"
        listed = {f"{part['name']}=={part['version']}" for part in bill["components"]}
        expected = pins(PROJECT / "docker" / f"requirements-{image}.lock")
        assert listed == expected and len(expected) > 20
        hashes = [part["externalReferences"][0]["hashes"] for part in bill["components"]]
        assert all(hashes)


@needs_tools
def test_the_audit_reads_every_pin_of_the_lock():
    """A dry run lists what would be audited, without calling the service."""
    command = [TOOLS / "pip-audit", "--dry-run", "--strict", "--require-hashes", "--disable-pip"]
    lock = PROJECT / "docker" / "requirements-api.lock"
    done = subprocess.run([*command, "-r", lock], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = {pin.partition("==")[0] for pin in pins(lock)}
    (count,) = re.findall(r"would have audited (\d+) packages", done.stderr)
    assert 20 < int(count) <= len(names)


@needs_tools
def test_audit_fails_when_its_service_cannot_be_reached():
    """The service refuses the connection."""
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "audit"],
        cwd=PROJECT,
        env=inherited | nowhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    (line,) = done.stdout.splitlines()
    assert "could not be audited" in line and "Next: " in line


@needs_tools
def test_no_file_holds_a_secret_and_the_scan_finds_a_planted_one(tmp_path: Path):
    done = make("secrets")
    assert done.returncode == 0, done.stdout
    planted = tmp_path / "settings.py"
    planted.write_text(f'key = "{"AKIA" + "ABCDEFGHIJKLMNOP"}"\n')
    hook = [TOOLS / "detect-secrets-hook", "--no-verify", "--baseline", ".secrets.baseline"]
    done = subprocess.run(
        [*hook, planted], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "AWS Access Key" in done.stdout


def test_release_verifies_before_it_deploys_and_asks_the_api_after():
    release = dict(jobs())
    steps = [
        step.get("run", step.get("uses", "")) for step in release["release.yml build"]["steps"]
    ]
    order = ["make sbom", "make images", "make scan", "make push", "make sign"]
    assert [steps.index(step) for step in order] == sorted(steps.index(step) for step in order)
    assert "attest-build-provenance" in steps[steps.index("make sign") + 1]
    for name, overlay in (("staging", "staging"), ("production", "prod")):
        job = release[f"release.yml {name}"]
        runs = [step["run"] for step in job["steps"] if "run" in step]
        assert runs == [
            "make verify",
            "make kubeconfig",
            f"make deploy OVERLAY={overlay}",
            "make smoke",
        ]
        assert "permissions" not in job, "only the build may sign"


def test_signing_names_the_digests_that_were_pushed(tmp_path: Path):
    """cosign is a script that keeps its arguments: nothing here may sign in the project's name."""
    shutil.copytree(PROJECT / "k8s/overlays", tmp_path / "k8s/overlays")
    shutil.copy(PROJECT / "Makefile", tmp_path)
    digests = {"churnhouse-ml": "sha256:" + "1" * 64, "churnhouse-api": "sha256:" + "2" * 64}
    for image, digest in digests.items():
        assert not make("digest", f"IMAGE={image}", f"DIGEST={digest}", folder=tmp_path).returncode
    cosign = tmp_path / "cosign"
    cosign.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    cosign.chmod(0o755)
    path = f"PATH={tmp_path}:{os.environ['PATH']}"
    done = make("sign", "REGISTRY=registry.example.com/team", path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    references = [f"registry.example.com/team/{name}@{digest}" for name, digest in digests.items()]
    assert [line.split()[0] for line in asked] == ["sign", "attest"] * 2
    assert [line.split()[-1] for line in asked] == [one for one in references for _ in range(2)]
    assert (tmp_path / "build/pushed.txt").read_text().splitlines() == [
        f"{digest.removeprefix('sha256:')}  registry.example.com/team/{name}"
        for name, digest in digests.items()
    ]
    identity = "IDENTITY=https://example.com/release.yml@refs/tags/v1.0.0"
    done = make("verify", "REGISTRY=registry.example.com/team", identity, path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    checked = (tmp_path / "asked").read_text().splitlines()[4:]
    assert [line.split()[-1] for line in checked] == references
    assert all(identity.removeprefix("IDENTITY=") in line for line in checked)
    cosign.write_text("#!/bin/sh\nexit 1\n")
    for target in ("sign", "verify"):
        done = make(target, "REGISTRY=registry.example.com/team", identity, path, folder=tmp_path)
        assert done.returncode != 0, target
