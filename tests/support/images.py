"""Builds the images and runs them on a machine without a container engine.

buildah builds them from the Dockerfiles. Only the base image is a substitute, because it cannot be
pulled: debootstrap makes a Debian of the same release and Python version under the name in FROM.

They run in the image's unpacked root, in a new mount namespace. As in a container: the image's
files, Entrypoint, Cmd, Env, WorkingDir and User; the read-only root; the mounts; no capabilities
and no new privileges. Missing: network and process namespaces (a server listens on this machine's
loopback and is not process 1), cgroup limits and seccomp.

Images are kept in CHURNHOUSE_IMAGES (default /var/tmp/churnhouse-images); the base is made once.
"""

import atexit
import contextlib
import ctypes
import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
STORE = Path(os.environ.get("CHURNHOUSE_IMAGES", "/var/tmp/churnhouse-images"))
DOCKERFILES = {"churnhouse-ml": "docker/Dockerfile.ml", "churnhouse-api": "docker/Dockerfile.api"}
TOOLS = ("buildah", "debootstrap", "unshare", "mount")
BASE_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
DEVICES = ("null", "zero", "full", "random", "urandom")
CERTIFICATES = "/etc/ssl/certs"


@dataclass(frozen=True)
class Image:
    """A built image: its unpacked root and its config (Entrypoint, Cmd, Env, User, Labels, ...)."""

    name: str
    root: Path
    config: dict


@dataclass(frozen=True)
class Mount:
    """A folder or file mounted at `target`; without a source an empty folder in memory."""

    target: str
    source: Path | None = None
    read_only: bool = False


def missing() -> str:
    """Return why images cannot be built here, or "": for pytest.mark.skipif."""
    if os.geteuid() != 0:
        return "building images without an engine needs root"
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    return f"not installed: {', '.join(absent)} (apt-get install {' '.join(absent)})" * bool(absent)


def build_images() -> dict[str, Image]:
    """Build both images, once per process: {"churnhouse-ml": Image, "churnhouse-api": Image}.

    A failed build fails every test that needs it and is not repeated.
    """
    built = _build_once()
    if isinstance(built, AssertionError):
        raise built
    return built


@functools.cache
def _build_once() -> dict[str, Image] | AssertionError:
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return {name: _build(name, PROJECT / file) for name, file in DOCKERFILES.items()}
        except AssertionError as error:
            return error


def run_in_image(
    image: Image, *, timeout: float = 600, **asked: object
) -> subprocess.CompletedProcess[str]:
    """Run to the end like a pod's container; return returncode, stdout and stderr as text.

    `asked`: see _container.
    """
    return subprocess.run(
        _container(image, **asked),
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


@contextlib.contextmanager
def started_in_image(
    image: Image, *, output: int | None = None, **asked: object
) -> Iterator[subprocess.Popen]:
    """Run a server within the block; it gets SIGTERM at the end."""
    with subprocess.Popen(
        _container(image, **asked), env={}, stdout=output, stderr=output
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _build(name: str, dockerfile: Path) -> Image:
    base = _base_of(dockerfile)
    if not _buildah("images", "--quiet", "--filter", f"reference=localhost/{base}"):
        _make_base(base)
    pip = STORE / "pip.conf"
    pip.write_text(_pip_settings())
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    git = ["git", "-C", PROJECT, "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    _buildah(
        *("build", "--isolation", "chroot", "--pull-never", "--layers", "--force-rm"),
        *("--format", "docker"),
        *("--build-arg", f"VERSION={version}", "--build-arg", f"COMMIT={commit or 'unknown'}"),
        *("--build-arg", f"PYTHON={base}"),
        # uses this machine's package index settings; none of it stays in the image
        *("--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--volume", f"{pip}:/etc/pip.conf:ro"),
        *("--file", dockerfile, "--tag", name, PROJECT),
    )
    config = json.loads(_buildah("inspect", "--type", "image", name))["Docker"]["config"]
    container = _buildah("from", "--pull-never", name)
    atexit.register(_buildah, "rm", container)
    return Image(name, Path(_buildah("mount", container)), config)


def _base_of(dockerfile: Path) -> str:
    """Return the base image of a Dockerfile, the default of its ARG PYTHON, without the digest."""
    lines = dockerfile.read_text(encoding="utf-8").splitlines()
    named = next(line.partition("=")[2] for line in lines if line.startswith("ARG PYTHON="))
    return named.partition("@")[0]


def _make_base(name: str) -> None:
    release = name.rpartition("-")[2]
    root = STORE / "base"
    shutil.rmtree(root, ignore_errors=True)
    try:
        bootstrap = ("debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", release)
        _run(*bootstrap, root)
        for rubbish in ("var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(root / rubbish)
        dockerfile = STORE / "Dockerfile.base"
        dockerfile.write_text("FROM scratch\nCOPY . /\n")
        _buildah("build", "--file", dockerfile, "--tag", name, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _pip_settings() -> str:
    """Write a pip.conf with this machine's settings for the package index."""
    said = _run(sys.executable, "-m", "pip", "config", "list")
    lines = ["[global]", f"cert = {CERTIFICATES}/ca-certificates.crt"]
    for line in said.splitlines():
        name, _, value = line.rpartition(".")[2].partition("=")
        if name in ("index-url", "trusted-host", "proxy", "timeout"):
            lines.append(f"{name} = {value.strip(chr(39))}")
    return "\n".join([*lines, ""])


@functools.cache
def _driver() -> str:
    """Return the storage driver: overlay, or vfs (whole copies) if the kernel refuses it."""
    trial = [*_storage("overlay"), "info"]
    works = subprocess.run(trial, capture_output=True, check=False).returncode == 0
    return "overlay" if works else "vfs"


def _storage(driver: str) -> list[object]:
    roots = ["--root", STORE / driver, "--runroot", STORE / f"{driver}-run"]
    return ["buildah", *roots, "--storage-driver", driver]


def _buildah(*arguments: object) -> str:
    return _run(*_storage(_driver()), *arguments)


def _run(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{(done.stdout + done.stderr)[-3000:]}"
    return done.stdout.strip()


def _container(
    image: Image,
    *,
    command: Sequence[str] | None = None,
    args: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    mounts: Sequence[Mount] = (),
    read_only_root: bool = True,
) -> list[str]:
    """Return the command that enters a container: this file in a new mount namespace.

    `command` and `args` mean what they mean in Kubernetes (None: the image's Entrypoint and Cmd),
    `env` is added to the image's, `user` is "uid:gid" (None: the image's). The caller makes the
    source folders and gives them to that user, as fsGroup would.
    """
    entrypoint = image.config["Entrypoint"] if command is None else command
    # as in Kubernetes, a given command drops the image's arguments
    default = image.config["Cmd"] if command is None else []
    variables = dict(line.split("=", 1) for line in image.config["Env"])
    uid, _, gid = (user or image.config["User"]).partition(":")
    container = {
        "root": str(image.root),
        "command": [*entrypoint, *(default if args is None else args)],
        "env": variables | dict(env or {}),
        "ids": [int(uid), int(gid)],
        "folder": image.config["WorkingDir"],
        # a mount below another one comes after it
        "mounts": [
            [mount.target, mount.source and str(mount.source), mount.read_only]
            for mount in sorted(mounts, key=lambda mount: mount.target)
        ],
        "read_only": read_only_root,
    }
    enter = [shutil.which("unshare"), "--mount", sys.executable, __file__]
    return [*enter, json.dumps(container)]


def _enter(container: dict) -> None:
    """Become the container's command; runs as root in the new mount namespace."""
    root = container["root"]
    _mount("--bind", root, root)  # a separate mount, which can be made read-only
    _mount("--rbind", "/proc", f"{root}/proc")
    _mount("--rbind", "/sys", f"{root}/sys")
    _mount("-o", "remount,bind,ro", f"{root}/sys")
    _mount("-t", "tmpfs", "-o", "nosuid,mode=755", "tmpfs", f"{root}/dev")
    for name in DEVICES:
        Path(root, "dev", name).touch()
        _mount("--bind", f"/dev/{name}", f"{root}/dev/{name}")
    Path(root, "dev/shm").mkdir()
    memory = ("-t", "tmpfs", "-o", "nosuid,nodev,noexec,mode=1777", "tmpfs")
    _mount(*memory, f"{root}/dev/shm")
    for target, source, read_only in container["mounts"]:
        point = Path(f"{root}{target}")
        if source is None:
            point.mkdir(parents=True, exist_ok=True)
            _mount(*memory, point)
            continue
        if Path(source).is_dir():
            point.mkdir(parents=True, exist_ok=True)
        else:
            point.parent.mkdir(parents=True, exist_ok=True)
            point.touch()
        _mount("--bind", source, point)
        if read_only:
            _mount("-o", "remount,bind,ro", point)
    if container["read_only"]:
        _mount("-o", "remount,bind,ro", root)
    os.chroot(root)
    os.chdir(container["folder"])
    _give_up_privileges(*container["ids"])
    os.execvpe(container["command"][0], container["command"], container["env"])


def _give_up_privileges(uid: int, gid: int) -> None:
    """Drop privileges like a restricted pod: no capabilities, no privilege escalation."""
    set_no_new_privileges, drop_from_bounding_set, last_capability = 38, 24, 40
    process = ctypes.CDLL(None, use_errno=True)
    for capability in range(last_capability + 1):
        process.prctl(drop_from_bounding_set, capability, 0, 0, 0)
    if process.prctl(set_no_new_privileges, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)
    os.umask(0o022)


def _mount(*arguments: object) -> None:
    subprocess.run(["/usr/bin/mount", *map(str, arguments)], check=True)


if __name__ == "__main__":
    _enter(json.loads(sys.argv[1]))
