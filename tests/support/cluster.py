"""A standalone Spark cluster on loopback, from the pyspark package: one master, two workers."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from support.homes import PROJECT

DEFAULTS = """
spark.driver.host 127.0.0.1
spark.driver.memory 1g
spark.executor.memory 1g
spark.sql.shuffle.partitions 4
spark.sql.codegen.wholeStage false
spark.hadoop.parquet.hadoop.vectored.io.enabled false
spark.ui.showConsoleProgress false
"""
# data is small, and memory of the JIT compiler is never freed
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m"


class Cluster:
    """The cluster's processes; each is ended by its own id."""

    def __init__(self, folder: Path) -> None:
        import pyspark

        (folder / "conf").mkdir(parents=True)
        (folder / "conf" / "spark-defaults.conf").write_text(DEFAULTS)
        self._folder = folder
        self._spark_home = Path(pyspark.__file__).parent
        self._env = os.environ | {
            "SPARK_HOME": str(self._spark_home),
            "SPARK_CONF_DIR": str(folder / "conf"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "JAVA_TOOL_OPTIONS": JAVA_OPTIONS,
            "PYSPARK_PYTHON": sys.executable,
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"spark://127.0.0.1:{port}"
        self._log = folder / "cluster.log"
        self.workers: list[subprocess.Popen] = []
        here = ("--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")
        self._master = self._start("master.Master", *here)
        self._wait("Starting Spark master", 1)
        self.add_worker()
        self.add_worker()

    def add_worker(self) -> None:
        """Start a worker with one core and wait until the master knows it."""
        known = self._said("Registering worker")
        work = self._folder / f"work-{known}"
        limits = ("-c", "1", "-m", "1g", "--webui-port", "0", "-d", str(work))
        worker = self._start("worker.Worker", "--host", "127.0.0.1", *limits, self.url)
        self.workers.append(worker)
        self._wait("Registering worker", known + 1)

    def kill_worker(self) -> None:
        """Kill a worker and its executor without notice, as when a machine dies."""
        worker = self.workers.pop(0)
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def close(self) -> None:
        """End the remaining processes."""
        for process in [*self.workers, self._master]:
            process.terminate()
            process.wait(30)

    def churnhouse(
        self, home: Path, *arguments: object, kill_when: Callable[[], bool] | None = None
    ) -> tuple[str, str]:
        """Run a job on the cluster, return its output; may kill and replace a worker meanwhile."""
        variables = {
            "CHURNHOUSE_HOME": str(home),
            "CHURNHOUSE_TARGET": "spark",
            "CHURNHOUSE_SPARK_MASTER": self.url,
            "COLUMNS": "80",
        }
        if "CHURNHOUSE_DOMAINS" in os.environ:
            variables["CHURNHOUSE_DOMAINS"] = os.environ["CHURNHOUSE_DOMAINS"]
        job = subprocess.Popen(
            [Path(sys.executable).with_name("churnhouse"), *map(str, arguments)],
            env=self._env | variables,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=(errors := self._folder / "stderr.log").open("w"),
            text=True,
        )
        try:
            is_time = False
            while kill_when and not (is_time := kill_when()) and job.poll() is None:
                time.sleep(0.005)
            if is_time:
                self.kill_worker()
            output = job.communicate(timeout=1800)[0]
        finally:
            job.kill()
            if len(self.workers) < 2:
                self.add_worker()
        assert job.returncode == 0, output + errors.read_text()[-5000:]
        assert is_time or not kill_when, "the job was over before a worker was killed:\n" + output
        return output, errors.read_text()

    def _start(self, name: str, *arguments: str) -> subprocess.Popen:
        command = [str(self._spark_home / "bin" / "spark-class")]
        command += [f"org.apache.spark.deploy.{name}", *arguments]
        with self._log.open("a") as log:
            return subprocess.Popen(command, env=self._env, stdout=log, stderr=log)

    def _said(self, words: str) -> int:
        return self._log.read_text(errors="replace").count(words)

    def _wait(self, words: str, times: int) -> None:
        until = time.monotonic() + 120
        while self._said(words) < times:
            assert time.monotonic() < until, self._log.read_text()[-5000:]
            time.sleep(0.1)
