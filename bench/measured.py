"""What a command used, as the operating system counts it: what the benches of jobs measure by."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHURNHOUSE = Path(sys.executable).with_name("churnhouse")


@dataclass(frozen=True)
class Used:
    """Wall and CPU seconds, highest resident memory in GB, bytes read, and what was printed."""

    wall: float
    cpu: float
    peak: float
    read: int
    output: str


def run(command: Sequence[object], home: Path | None = None) -> Used:
    """Run a command to its end, over `home` where one is given; the bench ends where it fails."""
    started = time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command],
        env=os.environ | ({"CHURNHOUSE_HOME": str(home)} if home else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and still to be asked
    counts = dict(
        line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines()
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{output}")
    return Used(
        wall=time.monotonic() - started,
        cpu=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss / 1024**2,
        read=int(counts["rchar"]),
        output=output,
    )
