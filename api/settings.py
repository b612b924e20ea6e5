"""Settings of the API: CHURNHOUSE_HOME and CHURNHOUSE_API_*."""

import ipaddress
import secrets
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from python_jobs.settings import Settings

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ApiSettings(Settings):
    """Settings of the API, read once when it starts."""

    model_config = SettingsConfigDict(env_prefix="CHURNHOUSE_", frozen=True)

    api_keys: Path | None = None
    """File of hashed keys (see api/keys.py). Without it the API serves loopback only."""

    api_session_secret: str = Field(default_factory=lambda: secrets.token_hex(32), repr=False)
    """Signs the desk's sessions. Replicas share it; without one each start makes its own."""

    api_session_hours: Positive = 8
    api_log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From `warning` on, requests that were answered well leave no line; audit records do."""

    api_rate_per_second: Positive = 200
    """Requests a second and key, over all workers of one process group."""

    api_burst: int = Field(400, gt=0)
    api_workers: int = Field(1, ge=1)
    """Worker processes that share the rate; `churnhouse serve --workers` sets it."""

    api_reload_seconds: Positive = 1.0
    api_retry_seconds: Positive = 30.0
    """How long a version that was found bad is left alone before it is looked at again."""

    api_mmap_bytes: int = Field(96 * 1024 * 1024, ge=0)
    """How much of the lookup store is mapped; the rest is read through the page cache."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server on this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
