"""The runbook is correct: alerts have a heading; commands and objects exist."""

import json
import re
import shlex
import subprocess

import typer.main
import yaml
from support.homes import PROJECT
from support.rendered import needs_kubectl
from support.watchers import MONITORING

from python_jobs.cli import app

RUNBOOK = (PROJECT / "docs" / "runbook.md").read_text()
PARTS = ("Symptom", "First look", "Likely causes", "Fix", "Verify", "Prevent")


def sections() -> dict[str, str]:
    """Return text by heading, the heading spelled as in a link."""
    found = re.split(r"^## (.+)\n", RUNBOOK, flags=re.MULTILINE)[1:]
    anchors = [name.lower().replace(" ", "-") for name in found[::2]]
    return dict(zip(anchors, found[1::2], strict=True))


def test_every_alert_links_to_its_runbook_section():
    groups = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        page, anchor = rule["annotations"]["runbook_url"].split("#")
        assert page == "docs/runbook.md" and anchor == rule["alert"].lower()
        text = sections()[anchor]
        assert re.findall(r"^- \*\*(.+?)\.\*\*", text, flags=re.MULTILINE) == list(PARTS), anchor


def test_every_command_of_the_product_exists_with_its_options():
    commands = typer.main.get_command(app).commands
    named = re.findall(r"`churnhouse ([^`]+)`|^churnhouse (.+)$", RUNBOOK, flags=re.MULTILINE)
    assert len(named) > 10
    for words in (shlex.split(quoted or alone) for quoted, alone in named):
        known = {option for parameter in commands[words[0]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, words


def test_every_object_named_to_kubectl_is_in_the_manifests():
    made = set()
    for path in (PROJECT / "k8s" / "base").glob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            made.add(f"{document['kind'].lower()}/{document.get('metadata', {}).get('name')}")
    named = re.findall(r"\b(?:cronjob|deployment|job|service)/churnhouse[\w-]*", RUNBOOK)
    assert set(named) and set(named) <= made


def patched(number: int) -> dict:
    """Return the pod of the daily CronJob's Job after one of the patches of operations.md."""
    cronjob = yaml.safe_load((PROJECT / "k8s" / "base" / "cronjob-daily.yaml").read_text())
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "by-hand"}}
    job |= {"spec": cronjob["spec"]["jobTemplate"]["spec"]}
    text = (PROJECT / "docs" / "operations.md").read_text()
    command = re.findall(r"kubectl patch --local[^']+'[^']+'", text)[number]
    done = subprocess.run(
        shlex.split(command), input=json.dumps(job), capture_output=True, text=True, check=True
    )
    pod: dict = yaml.safe_load(done.stdout)["spec"]["template"]["spec"]
    return pod


@needs_kubectl
def test_documented_patch_runs_any_command_in_the_daily_job():
    (container,) = patched(0)["containers"]
    assert container["command"] + container["args"] == [
        *("churnhouse", "approve", "VERSION", "--by", "NAME", "--note", "WHY"),
    ]


@needs_kubectl
def test_documented_job_forgets_whom_a_secret_names():
    """No id is among the arguments, and the file that they name is mounted."""
    pod = patched(1)
    (container,) = pod["containers"]
    assert container["args"] == ["forget", "--from-file", "/forget/ids", "--by", "NAME"]
    (volume,) = [volume for volume in pod["volumes"] if "secret" in volume]
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == volume["name"]]
    assert mount["mountPath"] == "/forget" and mount["readOnly"]
    text = (PROJECT / "docs" / "operations.md").read_text()
    assert f"create secret generic {volume['secret']['secretName']} --from-file=ids=" in text
