"""Runs a real server in its own process, with a plain client."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
HANGING = Path(__file__).with_name("hanging.py")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Server:
    """A server's address and a connection to it."""

    port: int
    log: Path
    process: subprocess.Popen
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, content=None, *, body=None, headers=None) -> Answer:
        sent = self.headers | (headers or {})
        if content is not None:
            body = json.dumps(content)
        if body is not None:
            sent = {"Content-Type": "application/json"} | sent
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("GET", path, headers=sent)

    def post(self, path: str, content) -> Answer:
        return self.ask("POST", path, content)

    def log_lines(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def deaf_port() -> Iterator[int]:
    """Yield a reserved port on which nothing answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def serving(
    home: Path, log: Path, *, workers: int = 1, may_hang: bool = False, **environment: object
) -> Iterator[Server]:
    """Yield a server over a home that is ready to answer; stop it at the end.

    `may_hang`: on a disk that can be made to hang (hanging.py).
    """
    port = free_port()
    settings = {f"CHURNHOUSE_API_{name.upper()}": str(v) for name, v in environment.items()}
    settings = {"CHURNHOUSE_API_RELOAD_SECONDS": "0.1"} | settings
    start = [HANGING] if may_hang else ["-m", "api"]
    command = [sys.executable, *start, "--port", str(port), "--workers", str(workers)]
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=os.environ | {"CHURNHOUSE_HOME": str(home)} | settings,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        server = Server(port, log, process)
        try:
            wait_until(lambda: _answers(server), what=f"the server ({log})")
            yield server
        finally:
            process.terminate()
            process.wait(20)


def _answers(server: Server) -> bool:
    assert server.process.poll() is None, server.log.read_text()
    try:
        return server.get("/live").status == 200
    except OSError:
        return False


def wait_until(is_so, *, what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)
