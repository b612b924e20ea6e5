"""Starting the server: bad settings are one line, and a terminal shows the address."""

import socket
import sys

import pytest
import uvicorn
from support.running import free_port

from api import __main__, serve
from python_jobs.errors import JobError
from python_jobs.settings import Settings


@pytest.fixture
def started(monkeypatch) -> list[dict]:
    """Return the list of started servers; starting is replaced by a fake."""
    runs = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: runs.append(options))
    return runs


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Restore the variables that serve sets for its workers."""
    monkeypatch.setattr(serve.os, "environ", serve.os.environ.copy())


def test_a_port_in_use_is_named(tmp_path, started):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(JobError, match=rf"Port {port} of 127.0.0.1 .*in use\). Next: stop"):
            serve.serve(Settings(home=tmp_path), port=port)
    assert not started


def test_recently_closed_port_can_be_used(tmp_path, started):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, held.accept()[0] as answered:
            answered.close()  # the side that closes first keeps the port for a minute
            client.recv(1)
    serve.serve(Settings(home=tmp_path), port=port)
    assert started


@pytest.mark.parametrize("workers", [1, 3])
def test_terminal_shows_the_desk_address_once(tmp_path, started, monkeypatch, capsys, workers):
    port = free_port()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    serve.serve(Settings(home=tmp_path), port=port, workers=workers)
    (line,) = capsys.readouterr().out.splitlines()
    assert f"http://127.0.0.1:{port}/desk" in line and "Ctrl-C" in line
    assert started[0]["workers"] == workers


def test_desk_address_is_printed_only_to_a_terminal(tmp_path, started, capsys):
    serve.serve(Settings(home=tmp_path), port=free_port())
    assert started and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "http://localhost:80/desk"),
        ("0.0.0.0", "http://127.0.0.1:80/desk"),
        ("::", "http://[::1]:80/desk"),
        ("::1", "http://[::1]:80/desk"),
        ("10.1.2.3", "http://10.1.2.3:80/desk"),
    ],
)
def test_printed_address_opens_in_a_browser(host, address):
    assert serve.desk(host, 80) == address


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("--port 99999", "no port 99999"),
        ("--port 0", "no port 0"),
        ("--port x", "'x'"),
        ("--workers 0", "--workers 0"),
        ("--frob", "--frob"),
        ("--host 0.0.0.0", "Without API keys"),
    ],
)
def test_image_refuses_wrong_usage_like_the_command(started, capsys, typed, told):
    assert __main__.main(typed.split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("churnhouse: ") and told in line and " Next: " in line
    assert not started


def test_the_image_names_a_bad_setting(started, capsys, monkeypatch):
    monkeypatch.setenv("CHURNHOUSE_API_BURST", "0")
    assert __main__.main([]) == 1
    assert "CHURNHOUSE_API_BURST=0: it should be" in capsys.readouterr().err
