"""The two images and docker-compose.yml, tested without a container engine.

support/images.py says what is emulated. Our own services run as docker-compose.yml describes them
(command, mounts, secrets, read-only root). Prometheus and Grafana do not run, because their images
cannot be pulled.
"""

import http.client
import json
import re
import shutil
import socket
import subprocess
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from support.homes import PROJECT
from support.images import Mount, build_images, missing, run_in_image, started_in_image

COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
LOCKS = ("requirements-ml.lock", "requirements-api.lock", "requirements-build.lock")
HEAVY = ("dbt", "duckdb", "sklearn", "scipy", "pandas", "matplotlib", "onnx", "joblib")
USER = 10001
really = [pytest.mark.images, pytest.mark.skipif(bool(missing()), reason=missing())]


def pins(lock: Path) -> dict[str, set[str]]:
    """Return the pinned versions of each package (numpy has one per range of Pythons)."""
    found: dict[str, set[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if pin := re.match(r"([A-Za-z0-9._-]+)(?:\[.*\])?==(\S+)", line):
            found.setdefault(pin[1], set()).add(pin[2])
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_images_install_the_tested_versions(name: str):
    lock = PROJECT / "docker" / name
    tested = pins(PROJECT / "requirements.lock")
    chosen = pins(lock)
    assert chosen
    assert {n: found for n, found in chosen.items() if tested.get(n) != found} == {}
    text = lock.read_text()
    assert text.count("--hash=sha256:") >= len(chosen)
    assert "://" not in text and "index-url" not in text


def test_locks_hold_the_dependencies_and_the_api_lock_is_a_subset():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    named = {re.match(r"[A-Za-z0-9._-]+", line)[0] for line in project["dependencies"]}
    api = set((PROJECT / "docker/requirements-api.in").read_text().splitlines())
    api = {line for line in api if not line.startswith("#")}
    assert named <= set(pins(PROJECT / "docker/requirements-ml.lock"))
    assert api <= named
    assert api <= set(pins(PROJECT / "docker/requirements-api.lock"))


@pytest.mark.parametrize("name", SERVICES)
def test_compose_services_are_hardened_and_their_mounts_exist(name: str):
    service = SERVICES[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["tmpfs"] == ["/tmp"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert 0 < service["pids_limit"] <= 256 and re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    if "build" in service:
        assert (PROJECT / service["build"]["dockerfile"]).is_file()
    for line in service["volumes"]:
        source, _, mode = line.split(":") if line.count(":") == 2 else [*line.split(":"), "rw"]
        if source.startswith("./"):
            assert (PROJECT / source).exists(), source
            assert mode == "ro"
        else:
            assert source in COMPOSE["volumes"]
    for secret in service.get("secrets", []):
        assert (secret["source"] if isinstance(secret, dict) else secret) in COMPOSE["secrets"]


def test_mlflow_of_compose_is_the_tested_one_and_answers_the_jobs_alone():
    jobs, server = SERVICES["pipeline-mlflow"], SERVICES["mlflow"]
    lock = jobs["build"]["args"]["LOCK"]
    assert jobs["build"] == server["build"] and lock == "requirements-mlflow.lock"
    assert jobs["volumes"] == SERVICES["pipeline"]["volumes"]
    assert jobs["profiles"] == server["profiles"] == ["mlflow"]
    given = dict(word.removeprefix("--").split("=") for word in server["command"])
    assert jobs["environment"] == {"MLFLOW_TRACKING_URI": f"http://mlflow:{given['port']}"}
    assert f"mlflow:{given['port']}" in given["allowed-hosts"].split(",")
    assert "*" not in given["allowed-hosts"]
    # the lock that `make test-mlflow` installs, and the builder may read it
    assert f"{lock} " in (PROJECT / "Makefile").read_text()
    assert f"!{lock}" in (PROJECT / ".dockerignore").read_text().splitlines()
    dockerfile = (PROJECT / jobs["build"]["dockerfile"]).read_text()
    assert "ARG LOCK=docker/requirements-ml.lock\nCOPY ${LOCK} " in dockerfile


def test_files_named_in_the_prometheus_configuration_are_mounted():
    config = yaml.safe_load((PROJECT / "k8s/monitoring/prometheus.yml").read_text())
    service = SERVICES["prometheus"]
    mounted = {line.split(":")[1] for line in service["volumes"]}
    mounted |= {secret["target"] for secret in service["secrets"]}
    (scraped,) = config["scrape_configs"]
    keys = scraped["authorization"]["credentials_file"]
    assert {f"/etc/prometheus/{name}" for name in [*config["rule_files"], keys]} <= mounted
    (target,) = scraped["static_configs"][0]["targets"]
    assert target.split(":")[0] in SERVICES
    alertmanager = yaml.safe_load((PROJECT / "k8s/monitoring/alertmanager.yml").read_text())
    wanted = set(re.findall(r"secrets/[a-z-]+", json.dumps(alertmanager)))
    assert {f"/etc/alertmanager/{name}" for name in wanted} == {
        secret["target"] for secret in SERVICES["alertmanager"]["secrets"]
    }


def test_grafana_loads_the_dashboards_with_an_existing_source():
    mounted = {line.split(":")[1]: line.split(":")[0] for line in SERVICES["grafana"]["volumes"]}
    (provider,) = yaml.safe_load((PROJECT / "docker/grafana/dashboards.yml").read_text())[
        "providers"
    ]
    boards = [
        json.loads(file.read_text())
        for file in (PROJECT / mounted[provider["options"]["path"]]).iterdir()
    ]
    (source,) = yaml.safe_load((PROJECT / "docker/grafana/datasource.yml").read_text())[
        "datasources"
    ]
    for board in boards:
        asked = set(re.findall(r'"datasource": \{[^}]*"uid": "([^"]+)"', json.dumps(board)))
        variables = {v["name"]: v for v in board["templating"]["list"]}
        assert asked
        for uid in asked:  # a variable of this source's type takes the default source
            name = uid.removeprefix("${").removesuffix("}")
            assert uid == source["uid"] or variables[name]["query"] == source["type"]
    assert source["type"] == "prometheus"
    assert source["isDefault"]
    assert source["url"].split("/")[2].split(":")[0] in SERVICES


def test_secrets_are_made_once_and_stay_out_of_git_and_the_images(tmp_path: Path):
    made, _ = make_secrets(tmp_path)
    for name in ("api-keys", "operator-key", "grafana-password"):
        assert made / name == tmp_path / COMPOSE["secrets"][name]["file"]
        assert (made / name).stat().st_size > 20
    assert made.stat().st_mode & 0o777 == 0o700
    again = subprocess.run(
        [tmp_path / "docker/make-secrets.sh"], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1 and "Next:" in again.stderr
    for secret in COMPOSE["secrets"].values():
        ignored = ["git", "-C", PROJECT, "check-ignore", "--quiet", secret["file"]]
        assert subprocess.run(ignored, check=False).returncode == 0, secret["file"]
    allowed = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in allowed and not any("secrets" in line for line in allowed)


def make_secrets(folder: Path) -> tuple[Path, str]:
    """Run the script in a copy of docker/; return its files and the reader's key."""
    (folder / "docker").mkdir()
    script = shutil.copy(PROJECT / "docker/make-secrets.sh", folder / "docker")
    said = subprocess.run([script], capture_output=True, text=True, check=True).stdout
    return folder / "docker/secrets", said.split()[-1]


# --- the images, built and run ---


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return compose's volumes, empty and owned by the images' user."""
    folder = tmp_path_factory.mktemp("volumes")
    for name in COMPOSE["volumes"]:
        (folder / name).mkdir()
        shutil.chown(folder / name, USER, USER)
    return {name: folder / name for name in COMPOSE["volumes"]}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that is /tmp for the pipeline."""
    folder = tmp_path_factory.mktemp("scratch")
    folder.chmod(0o1777)
    return folder


@pytest.fixture(scope="module")
def ran(volumes: dict[str, Path], scratch: Path) -> subprocess.CompletedProcess:
    """Run the main job for 200 users with compose's pipeline service.

    With seed 8 a trained model ranks better than every rule.
    """
    service = SERVICES["pipeline"]
    return run_in_image(
        build_images()[service["image"]],
        args=[*service["command"], "--users", "200", "--seed", "8"],
        mounts=[*mounts(service, volumes), Mount("/tmp", scratch)],
        read_only_root=service["read_only"],
    )


def mounts(service: dict, volumes: dict[str, Path], secrets: Path | None = None) -> list[Mount]:
    """Return a service's volumes and secrets as compose would mount them."""
    found = []
    for line in service["volumes"]:
        source, target, *mode = line.split(":")
        folder = PROJECT / source if source.startswith("./") else volumes[source]
        found.append(Mount(target, folder, read_only=mode == ["ro"]))
    for secret in service.get("secrets", []):
        file = Path(COMPOSE["secrets"][secret["source"]]["file"]).name
        found.append(Mount(secret["target"], secrets / file, read_only=True))
    return found


@pytest.mark.parametrize("name", ["churnhouse-ml", "churnhouse-api"])
class TestEachImage:
    pytestmark = really

    def test_image_has_labels_and_an_unprivileged_user(self, name: str):
        config = build_images()[name].config
        git = ["git", "-C", PROJECT, "rev-parse", "HEAD"]
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
        version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
        label = "org.opencontainers.image"
        assert config["Labels"][f"{label}.title"] == name
        assert config["Labels"][f"{label}.version"] == version
        assert config["Labels"][f"{label}.revision"] == commit
        assert config["User"] == f"{USER}:{USER}"
        assert config["Entrypoint"] == ["churnhouse"]
        assert not [line for line in config["Env"] if re.search("PIP_|KEY=|SECRET", line)]

    def test_image_has_no_installer_and_no_trace_of_the_build_machine(self, name: str):
        image = build_images()[name]
        found = importable(image, ("pip", "setuptools", "python_jobs", "api"))
        assert found == {"python_jobs", "api"}
        assert not (image.root / "etc/pip.conf").is_file() or not (
            (image.root / "etc/pip.conf").read_text()
        )
        for left_out in ("data", "docker", ".git", "docs", "tests", "setup.py"):
            assert not (image.root / "app" / left_out).exists()

    def test_image_runs_with_a_read_only_root(self, name: str):
        image = build_images()[name]
        touch = ["sh", "-c", "touch /app/x && rm /app/x"]
        refused = run_in_image(image, command=touch, user="0:0")
        assert "Read-only file system" in refused.stderr
        assert run_in_image(image, command=touch, user="0:0", read_only_root=False).returncode == 0
        as_itself = run_in_image(image, command=touch, read_only_root=False)
        assert "Permission denied" in as_itself.stderr

    def test_a_new_volume_of_an_engine_belongs_to_the_user(self, name: str):
        """An engine fills a new named volume from the image, including the owner."""
        data = build_images()[name].root / "data"
        found = {(path.stat().st_uid, path.stat().st_gid) for path in (data, data / "published")}
        assert found == {(USER, USER)}


def importable(image, names: tuple[str, ...]) -> set[str]:
    """Return which of these modules the image's Python finds."""
    code = "import sys, importlib.util as u; print(*[n for n in sys.argv[1:] if u.find_spec(n)])"
    done = run_in_image(image, command=["python", "-c", code, *names])
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


class TestMl:
    pytestmark = really

    def test_ml_image_has_everything_the_jobs_need(self):
        assert importable(build_images()["churnhouse-ml"], HEAVY) == set(HEAVY)

    def test_the_main_job_runs_as_its_user_on_a_mounted_volume(self, ran, volumes):
        assert ran.returncode == 0, ran.stdout + ran.stderr
        steps = [json.loads(line) for line in ran.stderr.splitlines()]
        assert steps[-1]["step"] == "publish" and "200 users" in steps[0]["message"]
        current = volumes["published"] / "current"
        manifest = json.loads((current / "manifest.json").read_text())
        assert current.readlink().name == manifest["version"]
        made = [p for name in ("data", "published") for p in volumes[name].rglob("*")]
        for name in ("published", "contacts"):  # where the other volumes are mounted
            made.remove(volumes["data"] / name)
        assert {(p.lstat().st_uid, p.lstat().st_gid) for p in made} == {(USER, USER)}

    def test_main_job_leaves_only_caches_in_tmp_and_sends_no_telemetry(self, ran, scratch):
        left = {p.relative_to(scratch).parts[0] for p in scratch.rglob("*")}
        assert left <= {".cache", ".config"}, left
        assert not list(scratch.rglob("*Microsoft*"))

    def test_mounted_domain_needs_no_new_image(self, tmp_path):
        shutil.copytree(PROJECT / "domains/elearning", tmp_path / "domains/mine")
        (tmp_path / "data").mkdir()
        shutil.chown(tmp_path / "data", USER, USER)
        done = run_in_image(
            build_images()["churnhouse-ml"],
            args=["ingest", "--domain", "mine"],
            mounts=[
                Mount("/tmp"),
                Mount("/data", tmp_path / "data"),
                Mount("/domains", tmp_path / "domains", read_only=True),
            ],
        )
        assert "The raw folder /data/raw does not exist" in done.stderr, done.stderr

    def test_missing_volume_names_the_folder_that_cannot_be_written(self):
        done = run_in_image(build_images()["churnhouse-ml"], args=["run"], mounts=[Mount("/tmp")])
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "/data cannot be written" in done.stderr and "Next:" in done.stderr


class TestApi:
    pytestmark = really

    def test_api_image_has_no_heavy_libraries(self):
        assert importable(build_images()["churnhouse-api"], HEAVY) == set()

    @pytest.mark.parametrize("job", ["ingest", "build", "daily", "models", "drift"])
    def test_job_in_the_api_image_names_the_image_to_use(self, job: str):
        done = run_in_image(build_images()["churnhouse-api"], args=[job], mounts=[Mount("/tmp")])
        assert done.returncode == 1
        assert "churnhouse-ml" in done.stderr and done.stderr.count("\n") == 1

    def test_api_image_without_keys_says_how_to_make_them(self, ran, volumes):
        image = build_images()["churnhouse-api"]
        published = Mount("/data/published", volumes["published"], read_only=True)
        done = run_in_image(image, mounts=[Mount("/tmp"), published], timeout=60)
        assert done.returncode == 1
        assert "python -m api.keys" in done.stderr and done.stderr.count("\n") == 1

    def test_api_image_serves_the_published_version_and_is_healthy(self, ran, volumes, tmp_path):
        service, image = SERVICES["api"], build_images()["churnhouse-api"]
        with socket.socket() as free:  # the image's own command and healthcheck name this port
            free.bind(("127.0.0.1", 8000))
        secrets, reader = make_secrets(tmp_path)
        operator = (secrets / "operator-key").read_text().strip()
        check = image.config["Healthcheck"]["Test"][1:]
        assert run_in_image(image, command=check, mounts=[Mount("/tmp")]).returncode != 0
        given = [*mounts(service, volumes, secrets), Mount("/tmp")]
        assert {mount.target for mount in given} == {
            "/data/published",
            "/data/contacts",
            "/etc/churnhouse/keys.json",
            "/tmp",
        }
        with started_in_image(image, mounts=given, read_only_root=service["read_only"]):
            deadline = time.monotonic() + 30
            while ask("GET", "/ready")[0] != 200:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert run_in_image(image, command=check, mounts=[Mount("/tmp")]).returncode == 0
            assert ask("GET", "/v1/predictions")[0] == 401
            status, listed = ask("GET", "/v1/predictions?limit=1", reader)
            assert status == 200
            user = listed["predictions"][0]
            status, scored = ask("POST", "/predict", reader, {"user_id": user["user_id"]})
            assert status == 200
            assert scored["churn_risk"] == pytest.approx(user["churn_risk"], abs=1e-6)
            assert ask("GET", "/metrics", reader)[0] == 403
            assert ask("GET", "/metrics", operator)[0] == 200


def ask(method: str, path: str, key: str = "", content: object = None) -> tuple[int, object]:
    """Return status and content of an answer; status 0 if nothing listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=10)
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    try:
        connection.request(method, path, content and json.dumps(content), headers)
        answer = connection.getresponse()
        text = answer.read()
    except OSError:
        return 0, None
    finally:
        connection.close()
    is_json = "json" in answer.headers["Content-Type"]
    return answer.status, json.loads(text) if is_json else text
