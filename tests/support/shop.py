"""A domain of one's own with a raw folder and a warehouse in memory."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb

from python_jobs.ingest.domain import Domain
from python_jobs.ingest.load import Ingested, ingest

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


class Shop:
    """A domain, written from texts, and what ingest makes of the files below `raw`."""

    def __init__(self, path: Path, yml: str, sql: str, **mappings: str) -> None:
        self.raw = path / "raw"
        self.raw.mkdir(parents=True, exist_ok=True)
        folder = path / "domains/shop"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "domain.yml").write_text(yml, encoding="utf-8")
        (folder / "ingest.sql").write_text(sql, encoding="utf-8")
        for name, text in mappings.items():
            (folder / f"{name}.sql").write_text(text, encoding="utf-8")
        self.domain = Domain("shop", folder)
        self.db = duckdb.connect()
        self.db.execute("set TimeZone = 'UTC'")

    def put(self, name: str, content: str | bytes) -> Path:
        """Write a raw file."""
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def ingest(self, now: datetime = NOW) -> Ingested:
        """Load what is new."""
        return ingest(self.db, self.domain, self.raw, now=now)

    def rows(self, query: str) -> list[tuple]:
        """Return the rows of a query."""
        return self.db.execute(query).fetchall()
