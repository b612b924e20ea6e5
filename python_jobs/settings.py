"""Settings of an installation: folders, engine and limits, from CHURNHOUSE_* variables."""

import base64
import ipaddress
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, Json, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from python_jobs.errors import JobError
from python_jobs.files import check_name

_CODE = Path(__file__).resolve().parent
# Folder of the dbt project and the shipped domains; a wheel has them below the code.
PROJECT = _CODE / "project" if (_CODE / "project").exists() else _CODE.parent


SECRET_PREFIX = "whsec_"  # pragma: allowlist secret - the prefix alone


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server on this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_safe(url: str) -> bool:
    """Return whether nobody on the way can read or redirect what is sent to a URL."""
    try:
        parts = urlsplit(url)
        is_address = bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return False
    is_plain = url.isascii() and url.isprintable() and " " not in url
    is_private = parts.scheme == "https" or (
        parts.scheme == "http" and is_loopback(parts.hostname or "")
    )
    return is_address and is_plain and is_private


class Settings(BaseSettings):
    """The settings of one installation. Every path below `home` belongs to the product."""

    model_config = SettingsConfigDict(env_prefix="CHURNHOUSE_", frozen=True)

    home: Path = Path("data")
    domains: Path = Path("domains")
    """Folder of your own domains. It is searched before the shipped ones."""
    vars: Json[dict[str, Any]] = Field({}, validate_default=False)
    """Settings of this environment, as JSON; they replace those of the domain."""
    target: Literal["duckdb", "spark"] = "duckdb"
    approval_required: bool = False
    log_format: Literal["auto", "text", "json"] = "auto"
    """How jobs write their log: lines of JSON, or text; by default text on a terminal only."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on the jobs' log has lines."""
    memory_limit: str | None = None
    """Memory that DuckDB may use ("4GB", "60%"); by default 80 % of the machine or container.

    Spark's driver with a local master may use half of it.
    """
    threads: int | None = Field(None, ge=1, le=1024)
    """Cores that DuckDB uses; by default all cores of the machine or container."""
    spill_limit: str | None = None
    """Disk that DuckDB may use beside the warehouse when memory is full; by default 90 % of what
    is free."""
    max_training_rows: int = Field(4_000_000, ge=1)
    """Most rows to train on. With more rows, a stratified sample of this size is used."""
    time_budget: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Seconds of search for parameters; by default the domain's models.time_budget."""
    lookup_shard_users: int = Field(10_000_000, ge=1)
    """Most users in one file of the lookup store. With more users, it is written in shards."""
    webhook_url: str | None = None
    """Who is told of each published version; https, or http to this machine."""
    webhook_secret: str | None = Field(None, repr=False)
    """Signs what is told: whsec_ and 24 to 64 bytes in base64."""

    signing_key: str | None = Field(None, repr=False, min_length=32, max_length=1024)
    """Signs approvals, the choice of the production model and publications; whoever holds it, API
    included, then refuses those without its signature."""

    def __init__(self, **given: Any) -> None:
        """Read the variables; `given` overrules them. Raises JobError that names a bad one."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            problem = error.errors()[0]
            name = f"CHURNHOUSE_{problem['loc'][0]}".upper()
            why = problem["msg"].removeprefix("Value error, ")
            why = re.sub("^(Input|String) should", "it should", why)
            given_value = (
                "..."
                if name.endswith(("_SECRET", "SIGNING_KEY")) and problem["input"]
                else problem["input"]
            )
            raise JobError(
                f"{name}={given_value}: {why}.", next_step="correct it, or unset it."
            ) from None
        check_name(self.home)

    @field_validator("*", mode="before")
    @classmethod
    def _is_given(cls, value: object) -> object:
        # an empty home would be the current folder, an empty secret would sign sessions
        if value == "":
            raise ValueError("it is empty")
        return value

    @field_validator("webhook_url")
    @classmethod
    def _may_be_called(cls, url: str | None) -> str | None:
        if url is not None and not _is_safe(url):
            raise ValueError(
                "it should begin with https:// (http:// only to this machine), without a user name"
            )
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _signs(cls, secret: str | None) -> str | None:
        try:
            key = base64.b64decode((secret or "").removeprefix(SECRET_PREFIX), validate=True)
        except ValueError:
            key = b""
        if secret is not None and not (secret.startswith(SECRET_PREFIX) and 24 <= len(key) <= 64):
            raise ValueError(f"it should be {SECRET_PREFIX} and 24 to 64 bytes in base64")
        return secret

    @property
    def raw(self) -> Path:
        """Return the folder of raw files; a domain names its files relative to it."""
        return self.home / "raw"

    @property
    def truth(self) -> Path:
        """Return the folder of the generator's hidden truth, which models and jobs never read."""
        return self.home / "truth"

    @property
    def warehouse(self) -> Path:
        """Return the path of the warehouse, the jobs' DuckDB file."""
        return self.home / "warehouse.duckdb"

    @property
    def spark(self) -> Path:
        """Return the folder of the Parquet tables that are used if Spark is the engine."""
        return self.home / "spark"

    @property
    def models(self) -> Path:
        """Return the folder of immutable model versions, one subfolder each."""
        return self.home / "models"

    @property
    def reproduction(self) -> Path:
        """Return the temporary home of `reproduce`, with copies of raw files."""
        return self.home / ".reproduce"

    @property
    def contacts(self) -> Path:
        """Return the folder of the contacts that people recorded; only the API adds to it."""
        return self.home / "contacts"

    @property
    def published(self) -> Path:
        """Return the folder of published versions and the link `current`."""
        return self.home / "published"
