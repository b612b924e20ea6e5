"""Serve the API and the desk from published/."""

import ipaddress
import math
import os
import resource
import socket
import sys
import tempfile
from contextlib import ExitStack

import uvicorn

from api import logs
from api.http.connection import Connection
from api.keys import Keys
from api.settings import ApiSettings
from python_jobs.errors import JobError
from python_jobs.settings import Settings, is_loopback

GRACE_SECONDS = 20
SPARE_FILES = 256
"""Open files beside the connections: stores, libraries, listening sockets."""


def serve(
    settings: Settings, *, host: str = "127.0.0.1", port: int = 8000, workers: int = 1
) -> None:
    """Serve until told to stop. Raises JobError if that would be unsafe or cannot work."""
    if workers < 1:
        raise JobError(f"--workers {workers} is too few.", next_step="give 1 or more.")
    chosen = ApiSettings(home=settings.home, target=settings.target, api_workers=workers)
    check(chosen, host)
    check_port(host, port)
    check_files(chosen.api_connections)
    if sys.stdout.isatty():
        print(f"Churnhouse serves the desk at {desk(host, port)}. Stop with Ctrl-C.", flush=True)
    logs.write_utf8()
    with ExitStack() as stack:
        environment = {
            "CHURNHOUSE_HOME": str(settings.home),
            "CHURNHOUSE_API_SESSION_SECRET": chosen.api_session_secret,
            "CHURNHOUSE_API_WORKERS": str(workers),
        }
        if workers > 1:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="churnhouse-metrics-"))
            environment["PROMETHEUS_MULTIPROC_DIR"] = folder
        os.environ.update(environment)
        uvicorn.run(
            "api.app:from_environment",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_config=logs.config(chosen.api_log_level),
            access_log=False,  # api.middleware.observe writes its own access log
            server_header=False,
            http=Connection,
            loop="uvloop",
            ws="none",
            timeout_keep_alive=math.ceil(chosen.api_idle_seconds),
            proxy_headers=bool(chosen.trusted_proxies),
            forwarded_allow_ips=list(chosen.trusted_proxies),
            timeout_graceful_shutdown=GRACE_SECONDS,
        )


def check(settings: ApiSettings, host: str) -> None:
    """Refuse a public address without keys, and an invalid key file."""
    if settings.api_keys is not None:
        Keys(settings.api_keys)
    elif not is_loopback(host):
        raise JobError(
            f"Without API keys only this machine may ask, and {host} is open to others.",
            next_step="make a key with `python -m api.keys NAME ROLE >> FILE`, set"
            " CHURNHOUSE_API_KEYS=FILE and serve again, or serve on 127.0.0.1.",
        )


def check_port(host: str, port: int) -> None:
    """Refuse an address and port that cannot be used, before a server starts."""
    if not 1 <= port <= 65535:
        raise JobError(f"There is no port {port}.", next_step="give --port from 1 to 65535.")
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except OSError as error:
        raise JobError(
            f"Port {port} of {host} cannot be listened on ({error.strerror}).",
            next_step="stop what holds it, or serve elsewhere with --port or --host.",
        ) from None


def check_files(connections: int) -> None:
    """Let the process open as many files as its connections need; refuse if it may not."""
    needed = 2 * connections + SPARE_FILES  # a burst is accepted before the oldest ones end
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < needed:
        if hard != unlimited and hard < needed:
            raise JobError(
                f"{connections} connections need {needed} open files, and only {hard} are allowed.",
                next_step="raise `ulimit -n`, or set CHURNHOUSE_API_CONNECTIONS lower.",
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def desk(host: str, port: int) -> str:
    """Return the desk's address for a browser on this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}/desk"
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    name = f"[{address}]" if address.version == 6 else address
    return f"http://{name}:{port}/desk"
