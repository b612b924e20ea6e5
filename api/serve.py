"""Serve the API and the desk from published/."""

import os
import tempfile
from contextlib import ExitStack

import uvicorn

from api import logs
from api.keys import Keys
from api.settings import ApiSettings, is_loopback
from python_jobs.errors import JobError
from python_jobs.settings import Settings

GRACE_SECONDS = 20


def serve(
    settings: Settings, *, host: str = "127.0.0.1", port: int = 8000, workers: int = 1
) -> None:
    """Serve until told to stop. Raises JobError where that would be unsafe or cannot work."""
    chosen = ApiSettings(home=settings.home, target=settings.target, api_workers=workers)
    check(chosen, host)
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
            access_log=False,  # api.middleware.observe writes a better one
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )


def check(settings: ApiSettings, host: str) -> None:
    """Refuse an address that others can reach while there are no keys, and keys that are none."""
    if settings.api_keys is not None:
        Keys(settings.api_keys)
    elif not is_loopback(host):
        raise JobError(
            f"Without API keys only this machine may ask, and {host} is open to others.",
            next_step="make a key with `python -m api.keys NAME ROLE >> FILE`, set"
            " CHURNHOUSE_API_KEYS=FILE and serve again, or serve on 127.0.0.1.",
        )
