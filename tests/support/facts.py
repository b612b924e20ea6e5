"""The domain facts: facts that change, with rows written by hand."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from python_jobs.ingest import load
from python_jobs.ingest.domain import Domain
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.dbt import Dbt, build
from support import parsed
from support.tiny import DAY_TABLES, TABLES, day

DOMAINS = Path(__file__).with_name("domains")
FACTS = Domain("facts", DOMAINS / "facts")
COLUMNS = {
    "users": ("user_id", "signup_date", "plan", "email", "updated_at", "gone"),
    "links": ("from_id", "to_id", "since"),
    "events": ("event_id", "user_id", "at", "kind", "minutes", "version", "gone"),
}
BUILT = ("--select", "set_aside_events", *DAY_TABLES[1:])


def write(raw: Path, number: int, rows: dict[str, list[tuple]]) -> None:
    """Write the files of one load."""
    for table, columns in COLUMNS.items():
        path = raw / table / f"{number:03}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            # gives each file its own hash, because two loads may have the same rows
            writer.writerow([*columns, f"load_{number}"])
            writer.writerows([*row, ""] for row in rows.get(table, []))


class Facts:
    """A warehouse of the domain facts, loaded and built in this process."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home)
        self._loads = len(list(self.settings.raw.glob("events/*.csv")))

    def load(self, **rows: list[tuple]) -> load.Ingested:
        """Write rows of users, links and events to new files, and ingest them."""
        self._loads += 1
        write(self.settings.raw, self._loads, rows)
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=self._loads)
        with connect(self.settings) as connection:
            return load.ingest(connection, FACTS, self.settings.raw, now=now)

    def build(self, *options: str) -> None:
        with parsed.once():
            build(self.settings, FACTS, Dbt(self.settings), [*BUILT, *options])

    def rows(self, query: str) -> list[tuple]:
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def tables(self) -> dict[str, list[tuple]]:
        return {name: sorted(self.rows(query), key=repr) for name, query in TABLES.items()}


def user(name: str, signup: int = 0, **given: str) -> tuple:
    row = {"plan": "a", "email": f"{name}@x", "updated_at": f"{day(signup)} 00:00:00", "gone": ""}
    row |= given
    return (name, day(signup), *row.values())


def visit(number: object, who: str, on: int, minutes: float = 5, version="", gone="", hour=12):
    return (f"e{number}", who, f"{day(on)} {hour:02}:00:00", "visit", minutes, version, gone)


def base_rows() -> dict[str, list[tuple]]:
    """Return the base: Ann and Bob come daily for ten days; on day 5 the tracker was down."""
    users = [user("ann"), user("bob"), user("cy", email="cy@us"), user("robot")]
    events = [
        visit(f"{who}{on}", who, on) for who in ("ann", "bob", "cy", "robot") for on in range(10)
    ]
    return {"users": users, "events": [e for e in events if not e[2].startswith(str(day(5)))]}


TWO_LOADS = (
    base_rows(),
    {
        "users": [
            user("bob", updated_at="2025-06-01 00:00:00", gone="yes"),
            user("cy", email="cy@us", updated_at="2025-05-01 00:00:00"),
            user("ann", plan="b", updated_at="2025-03-08 00:00:00"),
        ],
        "links": [("anon", "ann", f"{day(3)} 00:00:00"), ("bob", "robot", f"{day(1)} 00:00:00")],
        "events": [
            visit("ann3", "ann", 3, 100, version=2),
            visit("ann4", "", 4, version=2, gone="yes"),
            visit("anon1", "anon", 2, 7),
            visit("ann6", "ann", 6),
            visit("late", "ann", 8, hour=23),
        ],
    },
)
