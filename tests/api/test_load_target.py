"""`make load` loads a real API and judges what it measured."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.homes import PROJECT
from support.running import deaf_port

pytestmark = pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk (make packages)")


def load(*arguments: object, key: str = "") -> subprocess.CompletedProcess:
    command = [sys.executable, PROJECT / "bench/load.py", *map(str, arguments)]
    return subprocess.run(command, input=key, capture_output=True, text=True)


def test_report_counts_what_a_keyed_api_answered(keyed, tmp_path: Path):
    report = tmp_path / "load.md"
    options = ("--seconds", 1, "--connections", 2, "--p99-ms", 10_000, "--report", report)
    done = load(keyed.server.url, *options, key=keyed.reader)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", report.read_text(), re.MULTILINE))
    assert rows["version"] == keyed.server.get("/health").json["version"]
    assert int(rows["requests"].replace(",", "")) > 20 and rows["failed"] == "0"
    assert rows["result"] == "passed" and keyed.reader not in report.read_text()
    asked = {line.get("route", "") for line in keyed.server.log_lines()}
    assert {"/v1/predict", "/v1/predictions/{user_id}"} <= asked, asked


def test_slow_or_failing_answers_fail_the_load(keyed, server, tmp_path: Path):
    report = tmp_path / "load.md"
    slow = load(server.url, "--seconds", 1, "--p99-ms", 0.001, "--report", report)
    assert slow.returncode == 1 and "p99 is " in slow.stderr and "Next: " in slow.stderr
    assert "| result | p99 is " in report.read_text()
    refused = load(keyed.server.url, "--seconds", 1, "--report", report)
    assert refused.returncode == 1 and "401" in refused.stderr
    with deaf_port() as port:
        silent = load(f"http://127.0.0.1:{port}", "--report", report)
    assert silent.returncode == 1 and "did not answer" in silent.stderr
