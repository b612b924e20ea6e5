"""Upgrade: bring the home of an earlier release up to the installed one."""

from dataclasses import dataclass
from importlib.metadata import version

from python_jobs.ingest import raw_tables
from python_jobs.registry import persons, store
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect


@dataclass(frozen=True)
class Prepared:
    """A home whose raw tables and model versions are those of the installed release."""

    domain: str
    done: list[str]
    """What was found and done, one line each."""
    has_model: bool
    """Whether a model is in production, so that users can be scored."""


def prepare(settings: Settings) -> Prepared:
    """Add what earlier releases did not have to raw tables and model versions.

    The next build computes all other tables afresh, since another release wrote them. Raises
    JobError if there is no warehouse, nothing was ingested, or a newer release wrote it.
    """
    with connect(settings, read_only=True):
        pass  # there is one
    with connect(settings) as connection:
        filled = raw_tables.filled_by(connection)
        raw_tables.create(connection)
    rewritten = persons.upgrade(settings)
    done = [f"warehouse of release {filled.release}, this is {version('churnhouse')}"]
    done += [f"model version {name}: keyed hashes instead of plain ones" for name in rewritten]
    return Prepared(filled.domain, done, store.production(settings.models) is not None)
