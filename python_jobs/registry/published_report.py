"""The published report page: a version's report with the promotion decision at the top."""

import html

import duckdb

from python_jobs.registry import store
from python_jobs.settings import Settings

DECISION = "<!-- decision -->"
"""Placeholder that report.py writes, since a version's folder is sealed before the decision."""


def published_report(con: duckdb.DuckDBPyConnection, settings: Settings, version: str) -> str:
    """Return a version's page with its newest decision, or unchanged if there is none.

    Raises JobError if the page is missing or differs from the registered one.
    """
    page = store.verified(settings.models, version, "report.html").read_text(encoding="utf-8")
    decision = con.execute(
        "select is_promoted, reason, decided_at from ml.promotions where version = ?"
        " order by decision_number desc nulls last, decided_at desc limit 1",
        [version],
    ).fetchone()
    if decision is None:
        return page
    is_promoted, reason, decided_at = decision
    return with_decision(page, is_promoted, reason.split("; "), f"{decided_at:%Y-%m-%d %H:%M} UTC")


def with_decision(page: str, is_promoted: bool, reasons: list[str], decided_at: str) -> str:
    """Return the page with a decision and the list of its reasons."""
    kind, word = ("yes", "Promoted") if is_promoted else ("no", "Not promoted")
    items = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    when = html.escape(decided_at)
    block = f'<div class="decision {kind}"><b>{word}</b>, {when}<ul>{items}</ul></div>'
    return page.replace(DECISION, block, 1)
