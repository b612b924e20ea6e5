"""Load a running API with wrk and write a report: `make load URL=...`.

Users come from its own list. Nine requests in ten look a user up; the tenth asks for a prediction.
The key of a reader is read from standard input; an empty one means an API without keys.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

LUA = """
local headers = {{["Content-Type"] = "application/json"{key}}}
local paths = {{{paths}}}
local bodies = {{{bodies}}}
local next = 0
request = function()
  next = next + 1
  if next % 10 == 0 then
    return wrk.format("POST", "/v1/predict", headers, bodies[next % #bodies + 1])
  end
  return wrk.format("GET", paths[next % #paths + 1], headers)
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %f %f %f %f %f\\n", summary.requests,
    e.status + e.connect + e.read + e.timeout, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(90) / 1000, latency:percentile(99) / 1000,
    latency.max / 1000))
end
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--p99-ms", type=float, default=250)
    parser.add_argument("--report", type=Path, default=Path("build/load.md"))
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("load: wrk is not installed. Next: apt-get install wrk")
    if not re.fullmatch(r"https?://[^\s/]+/?", chosen.url):
        sys.exit(f"load: {chosen.url!r} is no address. Next: make load URL=http://127.0.0.1:8000")
    key = sys.stdin.read().strip()
    if not re.fullmatch(r"[\w-]*", key):
        sys.exit("load: standard input holds no key. Next: give the key alone.")
    url = chosen.url.rstrip("/")
    health = _ask(url, "/health", key)
    users = [one["user_id"] for one in _ask(url, "/v1/predictions?limit=500", key)["predictions"]]
    if not users:
        sys.exit(f"load: nobody is on the list of {url}. Next: publish a version with users.")
    measured = _measure(url, key, users, chosen)
    text, problem = report(url, health, len(users), chosen, measured)
    chosen.report.parent.mkdir(parents=True, exist_ok=True)
    chosen.report.write_text(text, encoding="utf-8")
    print(text)
    if problem:
        sys.exit(f"load: {problem}. Next: read {chosen.report} and the API's log.")


def report(url, health, users, chosen, measured) -> tuple[str, str | None]:
    """Return the report as Markdown, and why it is a failure, if it is one."""
    requests, failed, seconds, p50, p90, p99, longest = measured
    problem = None
    if requests == 0 or failed > requests / 1000:
        problem = f"{failed:,.0f} of {requests:,.0f} requests failed, allowed is one in a thousand"
    elif p99 > chosen.p99_ms:
        problem = f"p99 is {p99:.1f} ms, allowed are {chosen.p99_ms:g} ms"
    rows = {
        "API": url,
        "version": health["version"],
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "load": f"{chosen.connections} connections, {seconds:.0f} s, {users} users of the list, "
        "9 lookups to 1 prediction",
        "requests a second": f"{requests / seconds:,.0f}",
        "requests": f"{requests:,.0f}",
        "failed": f"{failed:,.0f}",
        "p50": f"{p50:.1f} ms",
        "p90": f"{p90:.1f} ms",
        "p99": f"{p99:.1f} ms (allowed {chosen.p99_ms:g} ms)",
        "longest": f"{longest:.1f} ms",
        "result": problem or "passed",
    }
    lines = ["# Load test", "", "| | |", "|---|---|"]
    return "\n".join(
        [*lines, *(f"| {name} | {value} |" for name, value in rows.items()), ""]
    ), problem


def _ask(url: str, path: str, key: str) -> dict:
    request = urllib.request.Request(url + path, headers={"X-API-Key": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except OSError as error:
        sys.exit(f"load: {url}{path} did not answer: {error}. Next: `make smoke URL={url}`.")


def _measure(url: str, key: str, users: list[str], chosen) -> list[float]:
    paths = ",".join(_lua(f"/v1/predictions/{quote(user, safe='')}") for user in users)
    bodies = ",".join(_lua(json.dumps({"user_id": user, "features": {}})) for user in users)
    signed = f', ["X-API-Key"] = {_lua(key)}' if key else ""
    with tempfile.TemporaryDirectory(prefix="churnhouse-load-") as folder:
        script = Path(folder) / "load.lua"  # readable by this user alone, as the folder is
        script.write_text(LUA.format(key=signed, paths=paths, bodies=bodies), encoding="utf-8")
        command = ["wrk", "-t1", f"-c{chosen.connections}", f"-d{chosen.seconds}s"]
        done = subprocess.run([*command, "-s", script, url], capture_output=True, encoding="utf-8")
    found = re.search(r"^RESULT (.+)$", done.stdout, re.MULTILINE)
    if not found:
        sys.exit(f"load: wrk failed: {done.stderr.strip() or done.stdout.strip()}.")
    return [float(number) for number in found[1].split()]


def _lua(text: str) -> str:
    return json.dumps(text)


if __name__ == "__main__":
    main()
