"""Runs a real Prometheus and Alertmanager on loopback with the committed configuration."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from support.homes import PROJECT
from support.running import free_port, wait_until

MONITORING = PROJECT / "k8s" / "monitoring"
# Debian's names; its Alertmanager package has another name for the daemon
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
WHY_SKIPPED = f"not installed: {', '.join(MISSING)} (packages prometheus, prometheus-alertmanager)"


@dataclass
class Watcher:
    """A Prometheus and its Alertmanager."""

    url: str
    alertmanager_url: str

    def query(self, expression: str) -> list[dict]:
        """Return the series of an instant query; AssertionError if it is refused."""
        answer = _get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        assert answer["status"] == "success", (expression, answer)
        return answer["data"]["result"]

    def firing(self) -> set[tuple[str, str]]:
        """Return (alert, namespace) of all firing alerts."""
        alerts = _get(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        found = [alert["labels"] for alert in alerts if alert["state"] == "firing"]
        return {(labels["alertname"], labels.get("namespace", "")) for labels in found}

    def notified(self) -> dict[tuple[str, str], str]:
        """Return Alertmanager's state (active or suppressed) by (alert, namespace)."""
        found = {}
        for alert in _get(f"{self.alertmanager_url}/api/v2/alerts"):
            labels = alert["labels"]
            name = (labels["alertname"], labels.get("namespace", ""))
            found[name] = alert["status"]["state"]
        return found


@contextmanager
def watching(targets: dict[str, int], key: str, folder: Path) -> Iterator[Watcher]:
    """Run Prometheus over API instances (namespace -> port), with short waiting times.

    All is as committed except addresses and times: one second between scrapes, and one second
    instead of the minutes before an alert fires or is sent again.
    """
    shutil.copytree(MONITORING, folder)
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "operator-key").write_text(key)
    (secrets / "pagerduty-routing-key").write_text("nobody")
    (secrets / "slack-webhook-url").write_text("http://127.0.0.1:9/nobody")
    rules = yaml.safe_load((folder / "rules.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["for"] = "1s"
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    ports = free_port(), free_port()
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    config["global"] = dict.fromkeys(
        ("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s"
    )
    (scrape,) = config["scrape_configs"]
    scrape["static_configs"] = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": namespace}}
        for namespace, port in targets.items()
    ]
    (told,) = config["alerting"]["alertmanagers"]
    told["static_configs"] = [{"targets": [f"127.0.0.1:{ports[1]}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    watcher = Watcher(*(f"http://127.0.0.1:{port}" for port in ports))
    with ExitStack() as running:
        alertmanager = ["prometheus-alertmanager", "--cluster.listen-address="]
        alertmanager += [f"--config.file={folder}/alertmanager.yml"]
        alertmanager += [f"--storage.path={folder}/alertmanager"]
        _start(running, [*alertmanager, f"--web.listen-address=127.0.0.1:{ports[1]}"], folder)
        prometheus = ["prometheus", f"--config.file={folder}/prometheus.yml"]
        prometheus += [f"--storage.tsdb.path={folder}/prometheus"]
        # resends at once an alert that fired before Alertmanager was discovered
        prometheus += ["--rules.alert.resend-delay=1s"]
        _start(running, [*prometheus, f"--web.listen-address=127.0.0.1:{ports[0]}"], folder)
        yield watcher


def _start(running: ExitStack, command: list[str], folder: Path) -> None:
    log = folder / f"{command[0]}.log"
    address = command[-1].partition("=")[2]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    running.callback(process.wait, 20)
    running.callback(process.terminate)
    wait_until(lambda: _is_ready(process, address, log), what=f"{command[0]} ({log})")


def _is_ready(process: subprocess.Popen, address: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text(encoding="utf-8")
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def _get(url: str):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())
