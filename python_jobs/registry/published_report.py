"""The report page with the promotion decision at its top: what is published of it."""

import html

import duckdb

from python_jobs.registry import store
from python_jobs.settings import Settings

DECISION = "<!-- decision -->"
"""Where report.py leaves room: a version's folder is sealed before anybody decides."""


def published_report(con: duckdb.DuckDBPyConnection, settings: Settings, version: str) -> str:
    """The page of a version with the newest decision about it, or as it is if there is none.

    Raises JobError if the page is missing or is not the one that was registered.
    """
    page = store.verified(settings.models, version, "report.html").read_text(encoding="utf-8")
    found = con.execute(
        "select is_promoted, reason, decided_at from ml.promotions where version = ?"
        " order by decided_at desc limit 1",
        [version],
    ).fetchone()
    if found is None:
        return page
    is_promoted, reason, decided_at = found
    return with_decision(page, is_promoted, reason.split("; "), f"{decided_at:%Y-%m-%d %H:%M} UTC")


def with_decision(page: str, is_promoted: bool, reasons: list[str], decided_at: str) -> str:
    """The page with a decision, its reasons as a list."""
    kind, word = ("yes", "Promoted") if is_promoted else ("no", "Not promoted")
    items = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    when = html.escape(decided_at)
    block = f'<div class="decision {kind}"><b>{word}</b>, {when}<ul>{items}</ul></div>'
    return page.replace(DECISION, block, 1)
