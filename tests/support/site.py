"""A domain of one's own on disk: written from texts, loaded and built in this process."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb

from python_jobs.ingest.domain import Domain
from python_jobs.ingest.load import Ingested, ingest
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.dbt import Dbt, build
from support import parsed

NOW = datetime(2026, 6, 1, 10, tzinfo=UTC)
TABLES = (
    *("--select", "+build_log", "days", "rejected_events", "set_aside_events", "rejected_users"),
    *("accepted_users", "user_features_latest", "--exclude-resource-type", "test"),
)


class Site:
    """A domain, its raw files and its warehouse."""

    def __init__(self, path: Path, yml: str, sql: str) -> None:
        folder = path / "domains/site"
        folder.mkdir(parents=True)
        (folder / "domain.yml").write_text(yml, encoding="utf-8")
        (folder / "ingest.sql").write_text(sql, encoding="utf-8")
        self.domain = Domain("site", folder)
        self.settings = Settings(home=path / "home")
        self.settings.home.mkdir()
        self.raw = path / "raw"

    def put(self, name: str, text: str) -> None:
        """Write a raw file."""
        (self.raw / name).parent.mkdir(parents=True, exist_ok=True)
        (self.raw / name).write_text(text, encoding="utf-8")

    def ingest(self, now: datetime = NOW) -> Ingested:
        """Load what is new."""
        with connect(self.settings) as connection:
            return ingest(connection, self.domain, self.raw, now=now)

    def build(self, *selection: str) -> None:
        """Build the day tables, without tests, or a selection."""
        with parsed.once():
            build(self.settings, self.domain, Dbt(self.settings), [*(selection or TABLES)])

    def rows(self, query: str) -> list[tuple]:
        """Return the rows of a query."""
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            return connection.execute(query).fetchall()
