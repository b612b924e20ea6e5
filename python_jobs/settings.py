"""Where things are and which engine runs: read once, from CHURNHOUSE_* variables."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from python_jobs.errors import JobError
from python_jobs.files import check_name

_CODE = Path(__file__).resolve().parent
# Where the dbt project and the shipped domains are: a wheel has them below the code.
PROJECT = _CODE / "project" if (_CODE / "project").exists() else _CODE.parent


class Settings(BaseSettings):
    """The settings of one installation. Every path below `home` belongs to the product."""

    model_config = SettingsConfigDict(env_prefix="CHURNHOUSE_", frozen=True)

    home: Path = Path("data")
    domains: Path = Path("domains")
    """Folder of one's own domains, looked into before the shipped ones."""
    target: Literal["duckdb", "spark"] = "duckdb"
    approval_required: bool = False
    memory_limit: str | None = None
    """What DuckDB may hold in memory ("4GB", "60%"); else 80 % of the machine or container.

    Spark's driver with a local master may hold half of it.
    """
    threads: int | None = Field(None, ge=1, le=1024)
    """How many cores DuckDB uses; else those of the machine or container."""
    spill_limit: str | None = None
    """What DuckDB may write beside the warehouse when memory is full; else 90 % of what is free."""
    max_training_rows: int = Field(4_000_000, ge=1)
    """Above it a model is trained on a stratified sample of so many rows."""
    lookup_shard_users: int = Field(10_000_000, ge=1)
    """Above it the lookup store is written in shards of at most so many users."""

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
        """Folder in which raw files land; a domain names its files relative to it."""
        return self.home / "raw"

    @property
    def truth(self) -> Path:
        """Folder of the generator's hidden truth, which no model and no job reads."""
        return self.home / "truth"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that the jobs own."""
        return self.home / "warehouse.duckdb"

    @property
    def spark(self) -> Path:
        """Folder of the Parquet tables, where Spark is the engine."""
        return self.home / "spark"

    @property
    def models(self) -> Path:
        """Folder of immutable model versions, one subfolder each."""
        return self.home / "models"

    @property
    def published(self) -> Path:
        """Folder of published versions and the link `current`."""
        return self.home / "published"
