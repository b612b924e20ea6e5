"""Where things are and which engine runs: read once, from CHURNHOUSE_* variables."""

from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """The settings of one installation. Every path below `home` belongs to the product."""

    model_config = SettingsConfigDict(env_prefix="CHURNHOUSE_", frozen=True)

    home: Path = Path("data")
    target: Literal["duckdb", "spark"] = "duckdb"
    approval_required: bool = False
    # above it a model is trained on a stratified sample
    max_training_rows: int = 4_000_000
    # above it the lookup store is written in shards
    lookup_shard_users: int = 10_000_000

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
