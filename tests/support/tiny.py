"""A warehouse of the tiny domain, loaded and built in this process."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
from hypothesis import HealthCheck, Phase

from python_jobs.ingest import load
from python_jobs.ingest.domain import Domain
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.dbt import Dbt, build
from support import parsed

FIRST_DAY = date(2025, 3, 1)
TINY = Domain("tiny", Path(__file__).with_name("domains") / "tiny")
USER_COLUMNS = ("user_id", "signup_date", "plan", "updated_at")
EVENT_COLUMNS = ("event_id", "user_id", "event_time", "event_type", "minutes")
# Settings of hypothesis. A build takes a second: shrinking a failing example would take minutes.
QUIET = {
    "deadline": None,
    "print_blob": True,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
    "database": None,
}
DAY_TABLES = (
    "--select",
    "+build_log",
    "days",
    "rejected_events",
    "--exclude-resource-type",
    "test",
)
# Tables that depend only on accepted rows, not on the time of loading.
TABLES = {
    "accepted_users": "from accepted_users",
    "int_user_history": "select * exclude (row_id, ingested_at) from int_user_history",
    "accepted_events": "select * exclude (row_id, ingested_at, written_at) from accepted_events",
    "days": "from days",
    "user_daily": "from user_daily",
    "user_features_daily": "from user_features_daily",
    "sampled_features": "from sampled_features",
    "churn_labels": "from churn_labels",
}


def day(number: int) -> date:
    """Return the day this many days after the first."""
    return FIRST_DAY + timedelta(days=number)


class Tiny:
    """A warehouse in its own folder."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home)
        self._loads = len({path.name[:3] for path in self.settings.raw.glob("*/*.csv")})

    def load(
        self,
        users: Iterable[Sequence] = (),
        events: Iterable[Sequence] = (),
        *,
        files: int = 1,
        now: datetime | None = None,
    ) -> None:
        """Write rows to new files in turn, and ingest them."""
        self._loads += 1
        for table, columns, rows in (
            ("users", USER_COLUMNS, list(users)),
            ("events", EVENT_COLUMNS, list(events)),
        ):
            folder = self.settings.raw / table
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(files):
                path = folder / f"{self._loads:03}-{number}.csv"
                with path.open("w", newline="") as file:
                    # gives each file its own hash, because two loads may have the same rows
                    writer = csv.writer(file)
                    writer.writerow([*columns, f"load_{self._loads}_{number}"])
                    writer.writerows([*row, ""] for row in rows[number::files])
        with connect(self.settings) as connection:
            at = now or datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=self._loads)
            load.ingest(connection, TINY, self.settings.raw, now=at)

    def build(self, *selection: str, variables: dict[str, str] | None = None) -> None:
        """Build the day tables, or another selection."""
        with parsed.once():
            dbt = Dbt(self.settings, variables)
            build(self.settings, TINY, dbt, [*(selection or DAY_TABLES)])

    def refresh(self) -> None:
        """Build the day tables from the start."""
        self.build(*DAY_TABLES, "--full-refresh")

    def rows(self, query: str) -> list[tuple]:
        """Return the rows of a query."""
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def tables(self) -> dict[str, list[tuple]]:
        """Return every table's rows in an order independent of how they were written."""
        return {name: sorted(self.rows(query), key=repr) for name, query in TABLES.items()}


def differences(one: dict[str, list[tuple]], other: dict[str, list[tuple]]) -> list[tuple]:
    """Return the first few rows that differ between two sets of tables."""
    found = []
    for name, rows in one.items():
        left, right = Counter(rows), Counter(other[name])
        found += [(name, "only in the one", row) for row in (left - right)]
        found += [(name, "only in the other", row) for row in (right - left)]
    return found[:6]
