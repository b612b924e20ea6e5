"""Settings of the API: CHURNHOUSE_HOME, CHURNHOUSE_API_* and CHURNHOUSE_CORS_ORIGINS."""

import secrets
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from python_jobs.settings import Settings

DEFAULT_PORTS = {"http": 80, "https": 443}


def _origins(text: object) -> object:
    """Return the origins of a text with commas. Raises ValueError if a browser sends none such."""
    if not isinstance(text, str):
        return text
    origins = tuple(part.strip() for part in text.split(","))
    for origin in origins:
        parts = urlsplit(origin)
        is_exact = origin == f"{parts.scheme}://{parts.netloc}".lower() and parts.hostname
        default = DEFAULT_PORTS.get(parts.scheme)
        if not is_exact or not default or "@" in origin or "*" in origin or parts.port == default:
            raise ValueError(
                "it should be origins as browsers send them, such as https://crm.example.com,"
                " with commas between"
            )
    return origins


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]


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

    cors_origins: Origins | None = None
    """Web pages of these origins may call the API, with a key and never with the desk's cookie."""

    api_mmap_bytes: int = Field(96 * 1024 * 1024, ge=0)
    """How much of the lookup store is mapped; the rest is read through the page cache."""
