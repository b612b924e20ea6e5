"""Compare the API's speed with a bare app of the same framework: `python bench/serving.py`.

Both run on loopback with the same server (uvicorn with httptools and uvloop) and workers. wrk
(`apt-get install wrk`) loads them in turn; the medians of several rounds are printed.
"""

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import big_store

PROJECT = Path(__file__).resolve().parent.parent
LOOKUP_GOAL, PREDICT_GOAL, P99_GOAL, MEMORY_GOAL = 0.75, 0.60, 2.0, 300
LUA = """
math.randomseed(os.time())
local id = function() return string.format("u%07d", math.random(0, {last})) end
request = function()
  if "{kind}" == "lookup" then return wrk.format("GET", "/v1/predictions/" .. id()) end
  local text = '{{"user_id":"%s","features":{{"watch_minutes_30d":%d}}}}'
  local body = string.format(text, id(), math.random(1, 900))
  return wrk.format("POST", "/predict", {{["Content-Type"] = "application/json"}}, body)
end
done = function(summary, latency)
  local e = summary.errors
  local bad = e.status + e.connect + e.read + e.timeout
  io.write(string.format("RESULT %f %f %f %d\\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, bad))
end
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--home", type=Path, default=Path(os.environ.get("CHURNHOUSE_HOME", "data"))
    )
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    source = (chosen.home / "published" / "current").resolve()
    with tempfile.TemporaryDirectory(prefix="churnhouse-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        started = time.perf_counter()
        version = big_store.write(source, folder / "home" / "published", chosen.users)
        size = (version / "lookup.sqlite").stat().st_size / 1e6
        print(f"{chosen.users:,} users, store of {size:,.0f} MB, {_since(started)}", flush=True)
        started = time.perf_counter()
        api = stack.enter_context(_api(folder, chosen.workers))
        print(f"verified and loaded in {_since(started)}, start included", flush=True)
        bare = stack.enter_context(_bare(folder, api["port"], chosen.workers))
        results = _rounds(folder, api, bare, chosen)
        _print(results, _memory(api["process"].pid), chosen)


def _rounds(folder: Path, api: dict, bare: dict, chosen) -> dict[tuple[str, str], list[tuple]]:
    """Return wrk's figures by kind and app, after one warm-up round."""
    found: dict[tuple[str, str], list[tuple]] = {}
    for number in range(chosen.rounds + 1):
        for kind in ("lookup", "predict"):
            script = folder / f"{kind}.lua"
            script.write_text(LUA.format(last=chosen.users - 1, kind=kind), encoding="utf-8")
            for name, app in (("bare", bare), ("api", api)):
                seconds = chosen.seconds if number else 2
                before = _cpu(app["process"].pid)
                rate, p50, p99 = _wrk(script, app["port"], chosen.connections, seconds)
                used = (_cpu(app["process"].pid) - before) / (rate * seconds) * 1e6
                if number:
                    found.setdefault((kind, name), []).append((rate, p50, p99, used))
        if number:
            print(f"round {number} of {chosen.rounds}", flush=True)
    return found


def _wrk(script: Path, port: int, connections: int, seconds: int) -> tuple[float, float, float]:
    """Return requests per second, p50 and p99 in ms. A failed request ends the bench."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}"], capture_output=True, encoding="utf-8", check=True
    )
    rate, p50, p99, bad = re.search(r"RESULT (\S+) (\S+) (\S+) (\d+)", done.stdout).groups()
    if int(bad):
        sys.exit(f"{bad} requests failed:\n{done.stdout}")
    return float(rate), float(p50), float(p99)


@contextmanager
def _api(folder: Path, workers: int):
    port = _free_port()
    environment = {"CHURNHOUSE_HOME": str(folder / "home")}
    command = ["-m", "api", "--port", str(port), "--workers", str(workers)]
    with _process(
        command, environment, folder / "api.log", f"http://127.0.0.1:{port}/ready"
    ) as one:
        yield {"port": port, "process": one}


@contextmanager
def _bare(folder: Path, api_port: int, workers: int):
    """Serve the bare app with answers as long as the API's."""
    base = f"http://127.0.0.1:{api_port}"
    lookup = urllib.request.urlopen(f"{base}/v1/predictions/{big_store.user_id(0)}").read()
    body = json.dumps({"user_id": big_store.user_id(0)}).encode()
    asked = urllib.request.Request(f"{base}/predict", body, {"Content-Type": "application/json"})
    predict = urllib.request.urlopen(asked).read()
    sizes = {"BARE_LOOKUP_BYTES": str(len(lookup)), "BARE_PREDICT_BYTES": str(len(predict))}
    port = _free_port()
    command = ["-m", "uvicorn", "bench.bare_app:app", "--port", str(port), "--no-access-log"]
    command += ["--workers", str(workers), "--no-server-header", "--log-level", "warning"]
    command += ["--http", "httptools", "--loop", "uvloop"]
    url = f"http://127.0.0.1:{port}/v1/predictions/x"
    with _process(command, sizes, folder / "bare.log", url) as one:
        yield {"port": port, "process": one}


@contextmanager
def _process(command: list[str], environment: dict, log: Path, url: str):
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=PROJECT,
            env=os.environ | environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 120
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(log.read_text(encoding="utf-8")[-2000:])
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url).status == 200
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _workers(pid: int) -> list[str]:
    """Return the ids of the processes that answer: the workers, or the only process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    spawned = [p for p in children if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]
    return spawned or [str(pid)]


def _cpu(pid: int) -> float:
    """Return CPU seconds of the workers, which other load hardly changes."""
    ticks = 0
    for worker in _workers(pid):
        fields = Path(f"/proc/{worker}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> list[tuple[float, float]]:
    """Return resident MB of each worker, and how much of it is not file-backed."""
    found = []
    for worker in _workers(pid):
        status = Path(f"/proc/{worker}/status").read_text(encoding="utf-8")
        sizes = [re.search(rf"{name}:\s+(\d+)", status)[1] for name in ("VmRSS", "RssAnon")]
        found.append(tuple(int(size) / 1024 for size in sizes))
    return found


def _print(results: dict, memory: list[tuple[float, float]], chosen) -> None:
    print(
        f"\nmedians of {chosen.rounds} rounds of {chosen.seconds} s, {chosen.connections}"
        f" connections, {chosen.workers} worker(s) each, {chosen.users:,} users; shares are medians"
        f" of each round's own\n{'':10}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}"
        f"{'share':>8}{'by CPU':>8}{'p99 x':>7}  goal"
    )
    for kind, goal in (("lookup", LOOKUP_GOAL), ("predict", PREDICT_GOAL)):
        bare, api = results[kind, "bare"], results[kind, "api"]
        rounds = list(zip(bare, api, strict=True))
        share = statistics.median(a[0] / b[0] for b, a in rounds)
        by_cpu = statistics.median(b[3] / a[3] for b, a in rounds)
        times = statistics.median(a[2] / b[2] for b, a in rounds)
        holds = share >= goal and (kind == "predict" or times <= P99_GOAL)
        wanted = f">= {goal:.0%}" + (f", p99 <= {P99_GOAL:g}x" if kind == "lookup" else "")
        verdict = "holds" if holds else "MISSED"
        print(f"{'bare':10}{_figures(bare)}")
        print(
            f"{kind:10}{_figures(api)}{share:>8.0%}{by_cpu:>8.0%}{times:>7.2f}  {wanted}: {verdict}"
        )
    for resident, own in memory:
        verdict = "holds" if resident < MEMORY_GOAL else "MISSED"
        print(
            f"memory of a worker: {resident:.0f} MB resident, {own:.0f} MB of it its own: {verdict}"
        )


def _figures(rounds: list[tuple]) -> str:
    rate, p50, p99, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
    return f"{rate:>12,.0f}{p50:>9.2f}{p99:>9.2f}{cpu:>9.0f}"


def _since(started: float) -> str:
    return f"{time.perf_counter() - started:.1f} s"


if __name__ == "__main__":
    main()
