"""tracking: a real MLflow server gets each version, and training works without it.

`make test-mlflow` runs this in .venv-mlflow, which has the server; elsewhere it is skipped.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from support.homes import churnhouse, copied
from support.processes import start
from support.training_world import NOW, new_warehouse, run

from python_jobs.registry import store, tracking
from python_jobs.settings import Settings
from python_jobs.training.metrics import METRICS

mlflow = pytest.importorskip("mlflow", reason="needs an MLflow server: run `make test-mlflow`")

ANEW = ("--time-budget", 0, "--seed", 8)
"""With another seed than the finished home: the same again would train nothing."""
LATER = NOW + timedelta(hours=1)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module", params=[pytest.param("file", marks=pytest.mark.nightly), "sqlite"])
def server(request, tmp_path_factory):
    """Run a real server on loopback with each kind of store; yield its address."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    stores = {"file": f"file://{folder}/store", "sqlite": f"sqlite:///{folder}/mlflow.db"}
    command = [Path(sys.executable).with_name("mlflow"), "server", "--workers", "1"]
    command += ["--backend-store-uri", stores[request.param], "--port", str(port)]
    command += ["--artifacts-destination", folder / "artifacts", "--host", "127.0.0.1"]
    # MLflow requires this to use its file store
    allowed = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | allowed, cwd=folder, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert process.poll() is None, (folder / "log").read_text()
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5)
                break
            except OSError:
                time.sleep(0.25)
        else:
            pytest.fail((folder / "log").read_text())
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(120)  # a busy machine


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return two versions trained an hour apart, without a server."""
    home, con = tmp_path_factory.mktemp("trained"), new_warehouse(users=300)
    return Settings(home=home), [run(con, home, now=now) for now in (NOW, LATER)]


@pytest.fixture
def client(server, monkeypatch):
    """Return a client; MLFLOW_TRACKING_URI names the server for this test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    return mlflow.MlflowClient(server)


@pytest.fixture
def domain(request):
    """Return a name unique to each test, because tests share a server."""
    return re.sub(r"\W", "-", request.node.name)


def runs(client, domain):
    experiment = client.get_experiment_by_name(f"churnhouse-{domain}")
    return client.search_runs([experiment.experiment_id])


def files(client, run_id, path=""):
    found = {}
    for item in client.list_artifacts(run_id, path):
        found |= files(client, run_id, item.path) if item.is_dir else {item.path: item}
    return found


def test_parameters_and_metrics_of_every_fold_arrive(client, domain, trained):
    settings, (one, _) = trained
    assert tracking.track(settings, domain, one.version, "challenger") is None
    (found,) = runs(client, domain)
    assert (found.info.run_name, found.info.status) == (one.version, "FINISHED")
    parameters = found.data.params
    assert parameters["estimator"] == one.manifest["estimator"]
    assert parameters["data_hash"] == one.manifest["data_hash"]
    for member, chosen in one.manifest["parameters"].items():
        assert {f"{member}.{k}": str(v) for k, v in chosen.items()}.items() <= parameters.items()
    for name, value in one.headline.items():
        assert found.data.metrics[name] == value
    for name in ("recency", one.metrics["selected"]):
        told = client.get_metric_history(found.info.run_id, f"{name}/eligible/average_precision")
        folds = one.metrics["models"][name]["folds"]
        assert [(m.step, m.value) for m in sorted(told, key=lambda m: m.step)] == [
            (int(fold), folds[fold]["eligible"]["average_precision"]["value"])
            for fold in ("1", "2", "3")
        ]
    pooled = [name for name in found.data.metrics if "/" in name]
    assert len(pooled) == len(one.metrics["models"]) * 2 * len(METRICS)


def test_graphql_of_the_server_answers(server):
    """Pages of MLflow's user interface ask by GraphQL; a graphene that does not fit breaks them."""
    asked = json.dumps({"query": '{ test(inputString: "churn") { output } }'}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server}/graphql", data=asked, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        said = json.load(answer)
    assert said["data"]["test"]["output"] and not said.get("errors"), said


def test_plots_and_files_arrive_without_pickles_or_user_rows(client, domain, trained, tmp_path):
    settings, (one, _) = trained
    assert tracking.track(settings, domain, one.version, "challenger") is None
    (found,) = runs(client, domain)
    listed = files(client, found.info.run_id)
    expected = {*one.manifest["files"], "manifest.json"} - {"model.joblib", "held_out.parquet"}
    assert {Path(p).name for p in listed if p.startswith("version/")} == expected
    assert not [path for path in listed if path.endswith((".joblib", ".parquet", ".pkl"))]
    copy = Path(client.download_artifacts(found.info.run_id, "", str(tmp_path)))
    for name in expected - {"manifest.json"}:
        digest = sha256((copy / "version" / name).read_bytes()).hexdigest()
        assert digest == one.manifest["files"][name], name
    plots = sorted((copy / "plots").iterdir())
    assert plots and all(p.read_text().startswith("<svg") for p in plots)


def test_model_loaded_by_alias_gives_the_golden_scores(client, server, domain, trained):
    settings, (one, _) = trained
    assert tracking.track(settings, domain, one.version, "challenger") is None
    mlflow.set_tracking_uri(server)
    model = mlflow.pyfunc.load_model(f"models:/churnhouse-{domain}@challenger")
    golden = json.loads((settings.models / one.version / "golden.json").read_text())
    features = np.array(golden["rows"], np.float32)
    scores = model.predict({"features": features})["churn_risk"].ravel()
    assert scores == pytest.approx(golden["churn_risk"], abs=1e-6)


def test_aliases_follow_challenger_and_production(client, domain, trained):
    """A version that was never logged is logged when it is promoted; nothing is logged twice."""
    settings, (one, two) = trained
    name = f"churnhouse-{domain}"

    def aliases():
        found = client.get_registered_model(name).aliases
        return {a: client.get_model_version(name, n).tags["churnhouse.version"]
                for a, n in found.items()}  # fmt: skip

    steps = [
        (one, "challenger", {"challenger": one.version}),
        (one, "production", {"production": one.version}),
        (two, "challenger", {"production": one.version, "challenger": two.version}),
        (two, "production", {"production": two.version}),
        (one, "production", {"production": one.version}),
    ]
    for trained_version, alias, expected in steps:
        assert tracking.track(settings, domain, trained_version.version, alias) is None
        assert aliases() == expected
    assert len(runs(client, domain)) == 2
    fresh = f"{domain}-fresh"
    assert tracking.track(settings, fresh, two.version, "production") is None
    assert len(runs(client, fresh)) == 1


def test_tampered_version_is_marked_failed_and_not_registered(client, domain, trained, tmp_path):
    settings, (one, _) = trained
    home = copied(settings.home, tmp_path / "data")
    (home / "models" / one.version / "model.onnx").write_bytes(b"other")
    problem = tracking.track(Settings(home=home), domain, one.version, "challenger")
    assert "model.onnx is missing or is not the file" in problem
    assert [r.info.status for r in runs(client, domain)] == ["FAILED"]
    assert not client.search_registered_models(f"name = 'churnhouse-{domain}'")


@pytest.mark.usefixtures("newer_wins")
@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_tracking_retrain_and_rollback_changes_no_byte_of_the_model(client, home, monkeypatch):
    """The model trained with tracking has the same bytes as the one without."""
    with monkeypatch.context() as untracked:
        untracked.delenv("MLFLOW_TRACKING_URI")
        done = churnhouse(home, "train", *ANEW)
        assert "track" not in done.stdout and done.stderr == ""
    in_production_before, first = store.versions(home / "models")
    manifests = [store.read_manifest(home / "models", first)]
    shutil.rmtree(home / "models" / first)  # beside it, the same again would train nothing
    process = start(home, "retrain", *ANEW)
    out, err = process.communicate()
    assert process.returncode == 0 and err == "" and "View run" not in out, out + err
    assert re.findall(r"^track +(\w+) in MLflow", out, re.M) == ["challenger", "production"]
    second = store.versions(home / "models")[-1]
    manifests.append(store.read_manifest(home / "models", second))
    dated = {"report.html", "model_card.md"}
    one, two = ({n: h for n, h in m["files"].items() if n not in dated} for m in manifests)
    assert one == two and manifests[0]["libraries"] == manifests[1]["libraries"]

    def in_production():
        found = client.get_model_version_by_alias("churnhouse-elearning", "production")
        return found.tags["churnhouse.version"]

    assert in_production() == second
    assert "production in MLflow" in churnhouse(home, "rollback").stdout
    assert in_production() == in_production_before


@pytest.mark.parametrize("kind", ["nobody listens", "it answers nonsense"])
def test_without_a_server_the_version_is_kept_with_one_warning(home, monkeypatch, kind):
    import http.server
    import threading

    class Nonsense(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(500)

        def do_POST(self):
            self.send_error(500)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Nonsense) as broken:
        port = broken.server_port if kind == "it answers nonsense" else free_port()
        threading.Thread(target=broken.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@127.0.0.1:{port}")
        done = churnhouse(home, "train", *ANEW)
        broken.shutdown()
    version = store.versions(home / "models")[-1]
    assert len(store.versions(home / "models")) == 2
    (warning,) = done.stderr.splitlines()
    assert re.match(f"warning: MLflow was not told that {version} is challenger: .*", warning)
    assert warning.endswith(f"Next: `churnhouse promote {version}` tells MLflow again.")
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.usefixtures("newer_wins")
@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_promotion_logs_what_the_server_missed(client, home, monkeypatch):
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        assert "warning" in churnhouse(home, "train", *ANEW).stderr
    version = store.versions(home / "models")[-1]
    assert churnhouse(home, "promote", version).stderr == ""
    found = client.get_model_version_by_alias("churnhouse-elearning", "production")
    assert found.tags["churnhouse.version"] == version
