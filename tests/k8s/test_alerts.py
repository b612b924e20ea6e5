"""The alerts and the dashboards, with a real Prometheus over the real API."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from support.homes import churnhouse
from support.running import deaf_port, serving, wait_until
from support.versions import change_manifest, change_store, make_current, publish_again, seal
from support.watchers import MISSING, MONITORING, WHY_SKIPPED, Watcher, watching

from api import keys

needs_prometheus = pytest.mark.skipif(bool(MISSING), reason=WHY_SKIPPED)

PLANNED = {
    ("ChurnhouseApiInstanceDown", "gone"),
    ("ChurnhouseNoVersionLoaded", "empty"),
    ("ChurnhouseServerErrors", "empty"),
    ("ChurnhouseErrorBudgetSpent", "empty"),
    ("ChurnhouseReloadFailed", "broken"),
    ("ChurnhousePublishedTooOld", "broken"),
    ("ChurnhouseDriftFailed", "broken"),
    ("ChurnhousePrecisionBelowExpected", "broken"),
}
# Alerts that the fleet does not fire, and why; tests.yml fires each of them on synthetic series.
NOT_PLANNED = {
    "ChurnhouseApiAbsent": "only where no instance answers; it has a test of its own",
    "ChurnhouseDutyFailing": "tests/api/test_stalls.py and test_keys.py fail each duty",
    "ChurnhouseSlow": "the API would have to take seconds for an answer",
    "ChurnhouseDailyLate": "a test cannot wait for five in the morning",
    "ChurnhouseJobFailed": "kube-state-metrics tells it, inside a cluster",
    "ChurnhouseJobNotScheduled": "kube-state-metrics tells it, inside a cluster",
}
# Series of kube-state-metrics and the kubelet; the dashboards' queries on them are only parsed.
KUBERNETES = {"kube_job_failed", "kube_cronjob_status_last_successful_time"}
KUBERNETES |= {"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"}
KUBERNETES |= {"kubelet_volume_stats_used_bytes"}


def rules() -> dict[str, dict]:
    groups = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    return {rule["alert"]: rule for g in groups for rule in g["rules"] if "alert" in rule}


def dashboard_queries() -> list[str]:
    boards = [json.loads(file.read_text()) for file in (MONITORING / "dashboards").iterdir()]
    targets = [t for board in boards for panel in board["panels"] for t in panel["targets"]]
    return [target["expr"].replace("$__rate_interval", "1m") for target in targets]


def run(*command: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )


@needs_prometheus
def test_promtool_accepts_rules_and_configuration_and_every_case(tmp_path):
    shutil.copytree(MONITORING, tmp_path / "monitoring")
    (tmp_path / "monitoring" / "secrets").mkdir()
    for name in ("operator-key", "key"):
        (tmp_path / "monitoring" / "secrets" / name).touch()
    in_cluster = tmp_path / "monitoring" / "prometheus-kubernetes.yml"
    # Debian's Prometheus is built without the discovery of Kubernetes
    known = in_cluster.read_text().replace("kubernetes_sd_configs", "static_configs")
    in_cluster.write_text(known.replace("role: endpoints", "targets: [api]"))
    for what, name in (
        (["check", "rules"], "rules.yml"),
        (["check", "config"], "prometheus.yml"),
        (["check", "config"], "prometheus-kubernetes.yml"),
        (["test", "rules"], "tests.yml"),
    ):
        done = run("promtool", *what, tmp_path / "monitoring" / name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


def test_every_alert_has_a_case_that_fires_and_one_that_does_not():
    tests = yaml.safe_load((MONITORING / "tests.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    is_silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fires == is_silent == set(rules())


@needs_prometheus
@pytest.mark.parametrize(("severity", "receiver"), [("critical", "pager"), ("warning", "channel")])
def test_severity_decides_who_is_notified(severity, receiver):
    config = MONITORING / "alertmanager.yml"
    done = run("amtool", "check-config", config)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr
    labels = "alertname=Churnhouse", f"severity={severity}"
    done = run("amtool", "config", "routes", "test", f"--config.file={config}", *labels)
    assert done.stdout.strip() == receiver
    assert {rule["labels"]["severity"] for rule in rules().values()} == {"critical", "warning"}


@dataclass
class Fleet:
    """API instances, one per namespace, and the Prometheus that scrapes them."""

    watcher: Watcher
    planned: set[tuple[str, str]]


@pytest.fixture(scope="module")
def fleet(finished_home: Path, tmp_path_factory) -> Iterator[Fleet]:
    """Run healthy and broken instances until all expected alerts fire."""
    folder = tmp_path_factory.mktemp("fleet")
    operator, line = keys.make("prometheus", "operator")
    (folder / "keys").write_text(line)
    homes = {
        "quiet": finished_home,
        "grown": _grown(finished_home, folder / "grown"),
        "broken": _broken(finished_home, folder / "broken"),
        "empty": folder / "empty",
    }
    homes["empty"].mkdir()
    options = {"keys": folder / "keys", "rate_per_second": 10_000, "burst": 10_000}
    with ExitStack() as running:
        servers = {
            name: running.enter_context(serving(home, folder / f"{name}.log", **options))
            for name, home in homes.items()
        }
        ports = {name: server.port for name, server in servers.items()}
        ports["gone"] = running.enter_context(deaf_port())
        watcher = running.enter_context(watching(ports, operator, folder / "watcher"))
        for server in servers.values():
            server.headers = {"X-API-Key": operator}
        planned = set(PLANNED)
        # features of growing data may drift by themselves, so ask the command whether they did
        if churnhouse(homes["grown"], "drift", check=False).returncode == 2:
            planned.add(("ChurnhouseDriftFailed", "grown"))

        def all_fire() -> bool:
            for name in ("quiet", "grown"):
                _use(servers[name])
            servers["empty"].get("/v1/predictions/u0000001")
            return watcher.firing() >= planned

        _spoil_the_next_version(homes["broken"])
        wait_until(all_fire, what=f"{planned} to fire", seconds=120)
        yield Fleet(watcher, planned)


def _grown(finished_home: Path, home: Path) -> Path:
    """Return the home a month later, when labels of a first scoring date are closed."""
    shutil.copytree(finished_home, home, symlinks=True)
    churnhouse(home, "generate", "--days", 31, "--append")
    churnhouse(home, "daily")
    return home


def _broken(finished_home: Path, home: Path) -> Path:
    """Publish a valid version that drifted, performs badly and is 37 hours old."""
    shutil.copytree(finished_home / "published", home / "published", symlinks=True)
    folder = publish_again(home, 1)
    change_store(
        folder,
        "update feature_drift set status = 'fail' where feature = 'logins_30d'",
        "update model_performance set is_mature = 1, precision_at_top_k = 0.3,"
        " expected_precision_at_top_k = 0.6",
        "insert into performance_intervals select as_of_date, model_version, 'precision_at_top_k',"
        " 0.3, 0.2, 0.4, 50 from model_performance",
    )
    old = datetime.now(UTC) - timedelta(hours=37)
    change_manifest(folder, published_at=old.isoformat())
    seal(folder)
    make_current(folder)
    return home


def _spoil_the_next_version(home: Path) -> None:
    folder = publish_again(home, 2)
    with (folder / "model.onnx").open("ab") as model:
        model.write(b"!")
    make_current(folder)


def _use(server) -> None:
    """Send one request of each kind that the dashboard distinguishes."""
    known = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
    assert server.get(f"/v1/predictions/{known}").status == 200
    assert server.get("/v1/predictions/nobody").status == 404
    assert server.post("/predict", {"user_id": known}).status == 200
    assert server.post("/predict/batch", {"rows": [{"user_id": known}]}).status == 200
    assert server.ask("GET", "/v1/model", headers={"X-API-Key": "wrong"}).status == 401


@needs_prometheus
def test_only_alerts_for_broken_instances_fire(fleet: Fleet):
    with contextlib.suppress(AssertionError):  # a scrape may come late on a busy machine
        wait_until(lambda: fleet.watcher.firing() == fleet.planned, what="exactly these")
    assert fleet.watcher.firing() == fleet.planned


@needs_prometheus
def test_every_alert_is_expected_or_listed_with_a_reason(fleet: Fleet):
    assert {alert for alert, _ in PLANNED} | set(NOT_PLANNED) == set(rules())
    assert not {alert for alert, _ in PLANNED} & set(NOT_PLANNED)
    slow, _, limit = rules()["ChurnhouseSlow"]["expr"].rpartition(">")
    assert limit.strip() == "1"
    seconds = [float(series["value"][1]) for series in fleet.watcher.query(slow)]
    assert seconds and all(0 < second < 1 for second in seconds)
    for alert in ("ChurnhouseJobFailed", "ChurnhouseJobNotScheduled"):
        assert fleet.watcher.query(rules()[alert]["expr"]) == []


@needs_prometheus
def test_every_query_of_the_dashboards_returns_data(fleet: Fleet):
    """Queries on Kubernetes' own series are only parsed, as there is no cluster."""
    of_kubernetes = set()
    for query in dashboard_queries():
        series = fleet.watcher.query(query)
        names = {name for name in KUBERNETES if name in query}
        of_kubernetes |= names
        assert names or [s for s in series if s["value"][1] != "NaN"], f"no data: {query}"
    assert of_kubernetes == KUBERNETES


@needs_prometheus
def test_alert_for_a_cause_silences_alerts_for_its_effects(fleet: Fleet):
    wait_until(
        lambda: set(fleet.watcher.notified()) >= fleet.planned, what="Alertmanager", seconds=60
    )
    states = fleet.watcher.notified()
    suppressed = {alert for alert, state in states.items() if state == "suppressed"}
    effects = ("ChurnhouseServerErrors", "ChurnhouseErrorBudgetSpent")
    assert suppressed == {(alert, "empty") for alert in effects}


@needs_prometheus
def test_page_is_sent_when_no_instance_is_left(tmp_path):
    with deaf_port() as port, watching({"gone": port}, "no key", tmp_path / "watcher") as watcher:
        absent = ("ChurnhouseApiAbsent", "")
        down = ("ChurnhouseApiInstanceDown", "gone")
        wait_until(lambda: watcher.firing() == {absent, down}, what="the alert", seconds=60)
        both = {absent: "active", down: "suppressed"}
        wait_until(lambda: watcher.notified() == both, what="Alertmanager", seconds=60)
