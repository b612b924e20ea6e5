"""A real PostgreSQL server on loopback, for the tests that read from a database."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.running import free_port, wait_until


def binary(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs; None if it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Yield the address of a server with an empty database; stop it at the end."""
    from adbc_driver_postgresql import dbapi

    owner = {"user": "postgres"} if os.getuid() == 0 else {}
    # not below pytest's folder, which only its own user may enter
    with tempfile.TemporaryDirectory(prefix="churnhouse-pg-") as name:
        folder = Path(name)
        if owner:
            shutil.chown(folder, "postgres")
        data = folder / "data"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        command = [binary("initdb"), "-A", "trust", "-U", "postgres", "-D", str(data)]
        subprocess.run(command, check=True, **quiet, **owner)
        port = free_port()
        options = ["-p", str(port), "-k", str(folder), "-h", "127.0.0.1", "-F"]
        server = subprocess.Popen([binary("postgres"), "-D", str(data), *options], **quiet, **owner)
        address = f"postgresql://postgres:secret@127.0.0.1:{port}/postgres"

        def answers() -> bool:
            try:
                dbapi.connect(address).close()
            except Exception:
                return False
            return True

        try:
            wait_until(answers, what="PostgreSQL", seconds=30)
            yield address
        finally:
            server.terminate()
            server.wait(30)
