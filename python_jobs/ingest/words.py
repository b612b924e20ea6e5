"""The words for reasons that a domain's settings give."""

import duckdb

from python_jobs.ingest import domain as domains
from python_jobs.ingest.schema import Vars
from python_jobs.reasons.words import Words
from python_jobs.settings import Settings


def of_domain(settings: Vars) -> Words:
    """Return the words of a domain's settings."""
    come, came = settings.verb
    labels = [(m.name, m.label) for m in settings.measures]
    labels += [(ratio.name, ratio.label) for ratio in settings.ratios]
    return Words(
        kinds={m.name: m.agg for m in settings.measures}
        | {ratio.name: "ratio" for ratio in settings.ratios},
        labels={name: label for name, label in labels if label},
        units={m.name: m.unit for m in settings.measures if m.unit},
        wholes={ratio.name: ratio.of for ratio in settings.ratios},
        come=come,
        came=came,
        # without sign-ups, tenure counts from the first event
        joined="first seen" if settings.users_from_events else "signed up",
        actions=dict(settings.actions),
    )


def of_warehouse(con: duckdb.DuckDBPyConnection, settings: Settings) -> Words:
    """Return the words of the domain that filled a warehouse, as its domain.yml has them now."""
    (name,) = con.execute("select name from raw.domain").fetchall()[0]
    return of_domain(domains.load(name, settings).vars)
