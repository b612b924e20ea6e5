"""Settings of an installation: folders, engine and limits, from CHURNHOUSE_* variables."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from python_jobs.errors import JobError
from python_jobs.files import check_name

_CODE = Path(__file__).resolve().parent
# Folder of the dbt project and the shipped domains; a wheel has them below the code.
PROJECT = _CODE / "project" if (_CODE / "project").exists() else _CODE.parent


class Settings(BaseSettings):
    """The settings of one installation. Every path below `home` belongs to the product."""

    model_config = SettingsConfigDict(env_prefix="CHURNHOUSE_", frozen=True)

    home: Path = Path("data")
    domains: Path = Path("domains")
    """Folder of your own domains. It is searched before the shipped ones."""
    target: Literal["duckdb", "spark"] = "duckdb"
    approval_required: bool = False
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

    def __init__(self, **given: Any) -> None:
        """Read the variables; `given` overrules them. Raises JobError that names a bad one."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            problem = error.errors()[0]
            name = f"CHURNHOUSE_{problem['loc'][0]}".upper()
            why = problem["msg"].removeprefix("Value error, ").replace("Input should", "it should")
            raise JobError(
                f"{name}={problem['input']}: {why}.", next_step="correct it, or unset it."
            ) from None
        check_name(self.home)

    @field_validator("*", mode="before")
    @classmethod
    def _is_given(cls, value: object) -> object:
        # an empty home would be the current folder, an empty secret would sign sessions
        if value == "":
            raise ValueError("it is empty")
        return value

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
    def contacts(self) -> Path:
        """Return the folder of the contacts that people recorded; only the API adds to it."""
        return self.home / "contacts"

    @property
    def published(self) -> Path:
        """Return the folder of published versions and the link `current`."""
        return self.home / "published"
