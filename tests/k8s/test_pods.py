"""Pods are restricted, have only the access they need, and run existing commands."""

import re
import shlex

import pytest
import typer
from support.rendered import (
    containers,
    each_overlay,
    environment,
    expanded,
    job_specs,
    needs_kubectl,
    of_kind,
    pods,
)

from api.serve import GRACE_SECONDS
from api.settings import ApiSettings
from python_jobs.cli import app

pytestmark = needs_kubectl
UID = 10001


def mounts(container: dict) -> dict[str, tuple]:
    """Return each mount: path -> (volume, subfolder, whether it is read-only)."""
    return {
        mount["mountPath"]: (mount["name"], mount.get("subPath"), mount.get("readOnly", False))
        for mount in container["volumeMounts"]
    }


@each_overlay
def test_no_container_is_root_or_can_become_root(overlay: str):
    for name, pod, container in containers(overlay):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == UID, name
        assert pod["securityContext"]["runAsGroup"] == UID, name
        assert pod["securityContext"]["fsGroup"] == UID, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        rights = container["securityContext"]
        assert rights["allowPrivilegeEscalation"] is False, name
        assert rights["capabilities"] == {"drop": ["ALL"]}, name
        assert not {"runAsUser", "runAsNonRoot", "privileged", "seccompProfile"} & set(rights), name


@each_overlay
def test_namespace_admits_only_restricted_pods(overlay: str):
    (namespace,) = of_kind(overlay, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each_overlay
def test_no_pod_gets_a_token_or_service_environment_variables(overlay: str):
    for name, pod in pods(overlay).items():
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        assert pod["spec"]["enableServiceLinks"] is False, name


@each_overlay
def test_every_container_sets_requests_and_limits(overlay: str):
    for name, _, container in containers(overlay):
        for kind in ("requests", "limits"):
            asked = container["resources"][kind]
            assert set(asked) == {"cpu", "memory", "ephemeral-storage"}, name


@each_overlay
def test_pod_writes_only_to_its_volume_and_scratch(overlay: str):
    for name, pod, container in containers(overlay):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        writable = {path: volume for path, (volume, _, ro) in mounts(container).items() if not ro}
        scratch = writable.pop("/tmp")
        assert volumes[scratch]["emptyDir"]["sizeLimit"], name
        assert all("persistentVolumeClaim" in volumes[volume] for volume in writable.values())


@each_overlay
def test_api_reads_the_published_part_of_the_volume_and_adds_contacts(overlay: str):
    ((_, _, container),) = [found for found in containers(overlay) if found[0] == "churnhouse-api"]
    assert mounts(container) == {
        "/data/published": ("data", "published", True),
        "/data/contacts": ("data", "contacts", False),
        "/etc/churnhouse": ("keys", None, True),
        "/tmp": ("tmp", None, False),
    }


@each_overlay
def test_drift_check_sees_only_the_published_part_of_the_volume(overlay: str):
    ((_, _, container),) = [
        found for found in containers(overlay) if found[0] == "churnhouse-drift"
    ]
    assert mounts(container) == {
        "/data/published": ("data", "published", False),
        "/tmp": ("tmp", None, False),
    }


@each_overlay
def test_every_command_exists_in_churnhouse(overlay: str):
    """The real command line parses the arguments, without running them."""
    commands = typer.main.get_command(app).commands
    jobs = set()
    for name, _, container in containers(overlay):
        variables = environment(overlay, container)
        words = expanded(container["command"] + container["args"], variables)
        if words[0] == "sh":
            (line,) = re.findall(r"^exec (churnhouse .*)$", words[-1], flags=re.MULTILINE)
            words = shlex.split(line.replace("$DOMAIN", variables["DOMAIN"]))
        program, job, *arguments = words
        assert program == "churnhouse", name
        commands[job].make_context(job, arguments).close()
        jobs.add(job)
    assert {"run", "daily", "drift", "retrain", "serve"} <= jobs


@each_overlay
def test_every_setting_is_read_by_churnhouse(overlay: str):
    known = {f"CHURNHOUSE_{name}".upper() for name in ApiSettings.model_fields}
    for name, _, container in containers(overlay):
        given = {key for key in environment(overlay, container) if key.startswith("CHURNHOUSE_")}
        assert given, name
        assert given <= known, name


@each_overlay
def test_scheduled_jobs_do_not_overlap_pile_up_or_run_forever(overlay: str):
    for name, cron in of_kind(overlay, "CronJob").items():
        spec = cron["spec"]
        assert spec["timeZone"] == "Etc/UTC", name
        assert spec["concurrencyPolicy"] == "Forbid", name
        assert 0 < spec["startingDeadlineSeconds"] <= 3600, name
        assert spec["successfulJobsHistoryLimit"] and spec["failedJobsHistoryLimit"], name
    for name, job in job_specs(overlay).items():
        assert 0 < job["activeDeadlineSeconds"] <= 4 * 3600, name
        assert job["backoffLimit"] == 2, name
        assert job["ttlSecondsAfterFinished"] >= 24 * 3600, name
        assert job["template"]["spec"]["restartPolicy"] == "Never", (
            name
        )  # podFailurePolicy requires it


@each_overlay
def test_each_cron_job_has_its_schedule(overlay: str):
    found = {name: cron["spec"]["schedule"] for name, cron in of_kind(overlay, "CronJob").items()}
    optional = {"churnhouse-generate": "0 1 * * *", "churnhouse-retrain-if-drifted": "0 5 * * *"}
    assert found == {
        "churnhouse-daily": "0 2 * * *",
        "churnhouse-drift": "0 4 * * *",
        "churnhouse-retrain": "0 3 * * 0",
        "churnhouse-test": "0 6 * * 0",
    } | (optional if overlay == "dev" else {})


def action(job: dict, exit_code: int) -> str:
    """Return what a Job does after this exit code: the first matching rule decides."""
    for rule in job["podFailurePolicy"]["rules"]:
        wanted = rule.get("onExitCodes")
        if wanted:
            (container,) = job["template"]["spec"]["containers"]
            assert wanted["containerName"] == container["name"]
            assert wanted["operator"] == "In"
            if exit_code in wanted["values"]:
                return rule["action"]
    return "Count"


@each_overlay
@pytest.mark.parametrize("exit_code", [1, 2, 75, 137])
def test_exit_code_decides_whether_a_job_is_retried(overlay: str, exit_code: int):
    """75 is retried without counting, drift (2) fails at once, others are retried."""
    for name, job in job_specs(overlay).items():
        is_drift = name == "churnhouse-drift"
        expected = {75: "Count" if is_drift else "Ignore", 2: "FailJob" if is_drift else "Count"}
        assert action(job, exit_code) == expected.get(exit_code, "Count"), name


@each_overlay
def test_evicted_pod_does_not_count_as_a_failure(overlay: str):
    for job in job_specs(overlay).values():
        last = job["podFailurePolicy"]["rules"][-1]
        assert last["action"] == "Ignore"
        assert last["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


@each_overlay
def test_api_rollout_leaves_no_gap(overlay: str):
    spec = of_kind(overlay, "Deployment")["churnhouse-api"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    (container,) = spec["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    for probe in ("livenessProbe", "startupProbe"):
        assert container[probe]["httpGet"] == {"path": "/live", "port": "http"}
    leaving = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= leaving + GRACE_SECONDS + 5
