"""A week of production: the Jobs of the rendered prod overlay, in the built images, on one volume.

Command, arguments, environment, user and mounts of every pod come from the overlay.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from support.homes import PROJECT
from support.images import Mount, build_images, missing, run_in_image, started_in_image
from support.rendered import environment, expanded, job_specs, needs_kubectl, pods

from api.keys import make

pytestmark = [
    pytest.mark.images,
    needs_kubectl,
    pytest.mark.skipif(bool(missing()), reason=missing()),
]
SECRETS = {"session-secret": "of-this-test"}


class Cluster:
    """One volume and the pods of an overlay, as a node would start them."""

    def __init__(self, folder: Path) -> None:
        self.volume = folder / "volume"
        self.volume.mkdir()
        self.keys = folder / "keys"
        self.keys.mkdir()
        self.ran = set()
        self.domains = folder / "domains"
        shutil.copytree(PROJECT / "domains/elearning", self.domains / "elearning")
        self.own = self.domains / "mine"
        self.own.mkdir()  # the overlay has no domain of its own, so the folder is empty
        with (self.domains / "elearning/domain.yml").open("a") as file:
            file.write("\n  models: {replace_after_days: 0}\n")  # an equal model may replace one
        self.key, line = make("prometheus", "operator")
        (self.keys / "keys").write_text(line + "\n")

    def run(self, name: str, *, overlay: str = "prod", args: list[str] | None = None):
        """Run the pod of a Job or CronJob to its end."""
        if args is None:
            self.ran.add(name)
        return run_in_image(**self._pod(overlay, name, args))

    def run_well(self, name: str, **others) -> str:
        """Run a pod that must succeed; return its log and its output."""
        done = self.run(name, **others)
        assert done.returncode == 0, f"{name}\n{done.stdout}{done.stderr}"
        return done.stderr + done.stdout

    @contextmanager
    def api(self):
        """Run the Deployment's pod in the block; yield its address.

        It listens on a free port, because here it shares the machine's ports.
        """
        pod = self._pod("prod", "churnhouse-api", None)
        (container,) = pods("prod")["churnhouse-api"]["spec"]["containers"]
        (port,) = container["ports"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            chosen = str(free.getsockname()[1])
        place = pod["args"].index(str(port["containerPort"]))
        pod["args"][place] = chosen
        with started_in_image(**pod):
            yield f"http://127.0.0.1:{chosen}"

    def current(self) -> dict:
        """Return the manifest of the published version."""
        return json.loads((self.volume / "published/current/manifest.json").read_text())

    def _pod(self, overlay: str, name: str, args: list[str] | None) -> dict:
        pod = pods(overlay)[name]["spec"]
        (container,) = pod["containers"]
        identity = pod["securityContext"]
        fs_group(self.volume, identity["fsGroup"])
        variables = {
            key: value if isinstance(value, str) else SECRETS[value["secretKeyRef"]["key"]]
            for key, value in environment(overlay, container).items()
        }
        image = re.search(r"churnhouse-\w+", container["image"])[0]
        return {
            "image": build_images()[image],
            "command": expanded(container["command"], variables),
            "args": expanded(args or container["args"], variables),
            "env": variables,
            "user": f"{identity['runAsUser']}:{identity['runAsGroup']}",
            "mounts": [
                Mount("/domains", self.domains, read_only=True),
                *(self._mount(pod, mount) for mount in container["volumeMounts"]),
            ],
            "read_only_root": container["securityContext"]["readOnlyRootFilesystem"],
        }

    def _mount(self, pod: dict, mount: dict) -> Mount:
        (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
        if "emptyDir" in volume:
            return Mount(mount["mountPath"])
        source = self.own if "configMap" in volume else self.keys
        if "persistentVolumeClaim" in volume:
            source = self.volume / mount.get("subPath", "")
            if not source.exists():  # then the node makes it, as root, with the volume's mode
                source.mkdir()
                source.chmod(self.volume.stat().st_mode)
        return Mount(mount["mountPath"], source, mount.get("readOnly", False))


def fs_group(volume: Path, group: int) -> None:
    """Set group rights like fsGroup with OnRootMismatch; owners stay."""
    if volume.stat().st_gid == group:
        return
    for path in [volume, *volume.rglob("*")]:
        os.chown(path, -1, group, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def answer(address: str, path: str, key: str | None = None) -> tuple[int, str]:
    request = Request(address + path, headers={"X-API-Key": key} if key else {})
    try:
        with urlopen(request, timeout=5) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def wait_for(address: str, path: str, wanted) -> None:
    """Ask until the answer is as wanted, for at most a minute."""
    deadline = time.monotonic() + 60
    while not wanted(last := answer(address, path)):
        assert time.monotonic() < deadline, last
        time.sleep(0.2)


def documented_patch(*words: str) -> str:
    """Return the patch of docs/operations.md for running this command by hand."""
    text = (PROJECT / "docs/operations.md").read_text()
    found = re.search(r"-p '(\[\{.*?\"value\": (\[.*?\])\}\])'", text, flags=re.DOTALL)
    patch, example = found.groups()
    return patch.replace(example, json.dumps(words))


def by_hand(*words: str) -> list[str]:
    """Return the daily Job's arguments after kubectl applied the documented patch."""
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "by-hand"},
        "spec": {"template": pods("prod")["churnhouse-daily"]},
    }
    command = ["kubectl", "patch", "--local", "-f", "-", "--type", "json", "-o", "json"]
    done = subprocess.run(
        [*command, "-p", documented_patch(*words)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (container,) = json.loads(done.stdout)["spec"]["template"]["spec"]["containers"]
    return container["args"]


def test_volume_without_raw_files_gets_no_synthetic_users(cluster: Cluster):
    done = cluster.run("churnhouse-seed-model")
    assert done.returncode == 1
    assert "/data/raw" in done.stderr and "Next: " in done.stderr
    assert not (cluster.volume / "raw").exists()
    assert not (cluster.volume / "published").exists()


def test_a_week_of_scheduled_jobs_in_production(cluster: Cluster):
    """Run seed, daily, drift, daily with a new day, retrain, approval, daily; the API follows.

    Monday's daily Job starts twice: one works, the other exits 75 and changes nothing.
    """
    with cluster.api() as address:
        wait_for(address, "/live", lambda got: got[0] == 200)
        assert answer(address, "/ready")[0] == 503

        def is_served(manifest: dict) -> None:
            wait_for(address, "/ready", lambda got: manifest["version"] in got[1])

        # The added day completes the labels of a Sunday, which is a sampled date: there is news.
        feed = ["generate", "--users", "250", "--days", "125"]
        cluster.run_well("churnhouse-daily", args=feed)
        cluster.run_well("churnhouse-seed-model")
        seeded = cluster.current()
        is_served(seeded)
        assert "nothing to seed" in cluster.run_well("churnhouse-seed-model")
        assert cluster.current() == seeded

        with ThreadPoolExecutor() as at_once:  # two Jobs of one schedule
            both = list(at_once.map(cluster.run, ["churnhouse-daily"] * 2))
        assert sorted(one.returncode for one in both) == [0, 75], [one.stderr for one in both]
        (second,) = [one.stderr for one in both if one.returncode == 75]
        assert "Another run holds the warehouse: " in second
        monday = cluster.current()
        assert monday["version"] != seeded["version"]
        assert monday["as_of_date"] == seeded["as_of_date"]
        is_served(monday)

        done = cluster.run("churnhouse-drift")
        assert done.returncode in (0, 2), done.stderr
        checked = json.loads((cluster.volume / "published/data_drift_latest.json").read_text())
        assert checked["version"] == monday["version"]
        assert done.returncode == (2 if checked["status"] == "fail" else 0)

        cluster.run_well("churnhouse-generate", overlay="dev")
        cluster.run_well("churnhouse-daily")
        tuesday = cluster.current()
        assert tuesday["as_of_date"] > monday["as_of_date"]
        is_served(tuesday)

        assert "tests passed over every row" in cluster.run_well("churnhouse-test")
        said = cluster.run_well("churnhouse-retrain")
        assert "waits for approval" in said, said
        assert cluster.current() == tuesday
        (trained,) = re.findall(r"churnhouse approve (\S+)", said)
        assert trained != tuesday["model_version"]

        refused = cluster.run_well("churnhouse-daily", args=by_hand("promote", trained))
        assert "waits for approval" in refused
        approve = by_hand("approve", trained, "--by", "A. Name", "--note", "looks right")
        cluster.run_well("churnhouse-daily", args=approve)
        cluster.run_well("churnhouse-daily", args=by_hand("promote", trained))
        cluster.run_well("churnhouse-daily")
        sunday = cluster.current()
        assert sunday["model_version"] == trained
        is_served(sunday)

        assert cluster.ran >= set(job_specs("prod")), "a week leaves none out"
        assert answer(address, "/metrics")[0] == 401
        status, text = answer(address, "/metrics", cluster.key)
        assert status == 200 and "churnhouse_ready 1.0" in text
        assert 'churnhouse_reloads_total{result="failure"} 0.0' in text
