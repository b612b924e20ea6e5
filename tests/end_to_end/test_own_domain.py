"""Your own domain: every job finds it in CHURNHOUSE_DOMAINS, the product stays unchanged."""

from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse, rows

from python_jobs import pipeline
from python_jobs.operations import doctor
from python_jobs.settings import Settings

DOMAIN = """
files:
  users: {path: "people.csv", columns: {id: text, since: date}}
  events: {path: "orders/*", columns: {id: text, person: text, ordered_at: timestamp, paid: number}}
vars:
  event_types: {order: {is_activity: true}}
  measures: [{name: spend, agg: sum, column: paid}]
"""
INGEST = """
create or replace temp view users as select id as user_id, since as signup_date from users_file;
create or replace temp view events as
select id as event_id, person as user_id, ordered_at as event_time, 'order' as event_type, paid
from events_file;
"""


@pytest.fixture
def domains(tmp_path: Path, monkeypatch) -> Path:
    """Return the folder in CHURNHOUSE_DOMAINS, which holds the domain `mine`."""
    folder = tmp_path / "own"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine/domain.yml").write_text(DOMAIN)
    (folder / "mine/ingest.sql").write_text(INGEST)
    monkeypatch.setenv("CHURNHOUSE_DOMAINS", str(folder))
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    raw = tmp_path / "raw"
    (raw / "orders").mkdir(parents=True)
    (raw / "people.csv").write_text("id,since\np1,2026-01-01\n")
    (raw / "orders/1.csv").write_text("id,person,ordered_at,paid\no1,p1,2026-01-02 10:00:00,5\n")
    return raw


def test_ingest_uses_a_domain_from_another_folder(domains, raw, tmp_path):
    home = tmp_path / "data"
    churnhouse(home, "ingest", "--domain", "mine", "--raw", raw)
    assert rows(home, "select event_id, user_id, paid from raw.events") == [("o1", "p1", 5)]
    settings = Settings(home=home)
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        assert pipeline.warehouse_domain(connection, settings).folder == domains / "mine"
    assert doctor.CHECKS["domain"](settings, pipeline.now()) == f"mine in {domains}/mine"


def test_ingest_says_that_a_copy_replaces_a_shipped_domain(domains, raw, tmp_path):
    (domains / "mine").rename(domains / "elearning")
    said = churnhouse(tmp_path / "data", "ingest", "--raw", raw).stdout
    assert "note: domain elearning is read from" in said and str(domains)[-20:] in said
