"""Settings of the API: CHURNHOUSE_HOME, CHURNHOUSE_API_* and a few names without API."""

import ipaddress
import re
import secrets
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from python_jobs.settings import Settings

HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
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


def _hosts(text: object) -> object:
    """Return the names of a text with commas, in small letters."""
    if not isinstance(text, str):
        return text
    hosts = tuple(part.strip().lower() for part in text.split(","))
    if not all(HOST.fullmatch(host) for host in hosts):
        raise ValueError("it should be host names such as churn.example.com, with commas between")
    return hosts


def _networks(text: object) -> object:
    """Return the networks of a text with commas."""
    if not isinstance(text, str):
        return text
    try:
        found = [ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",")]
    except ValueError:
        raise ValueError("it should be addresses or networks such as 10.0.0.0/8") from None
    return tuple(map(str, found))


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)]
Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_networks)]
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

    api_connections: int = Field(1000, ge=10)
    """Connections of a worker. Beyond them, those that wait longest for their clients end."""

    api_unread_bytes: int = Field(64 * 1024 * 1024, ge=0)
    """Answers of a worker that clients have not taken yet. Beyond them, the oldest are dropped."""

    api_head_seconds: Positive = 10
    """How long a new connection may be silent, and a request's head may take to arrive."""

    api_body_seconds: Positive = 60
    api_answer_seconds: Positive = 60
    """How long a request may be worked on."""

    api_idle_seconds: Positive = 65
    """How long a connection stays open between requests; longer than proxies keep theirs."""

    allowed_hosts: Hosts | None = None
    """Names this server is called by. Without keys and without names, only loopback's."""

    trusted_proxies: Networks = ()
    """Addresses and networks of proxies whose X-Forwarded-For and -Proto count."""

    api_check_seconds: Positive = 10
    """How long a look at keys, contacts, sessions or the link `current` may take."""

    api_load_seconds: Positive = 600
    """How long a version may take to be read and verified."""

    cors_origins: Origins | None = None
    """Web pages of these origins may call the API, with a key and never with the desk's cookie."""
