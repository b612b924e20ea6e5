"""Rollback: return to the previous production version."""

from datetime import datetime

import duckdb

from python_jobs.errors import JobError
from python_jobs.registry import approvals, store
from python_jobs.registry.promotion import Decision, record
from python_jobs.settings import Settings


def rollback(con: duckdb.DuckDBPyConnection, settings: Settings, *, now: datetime) -> str:
    """Point production to the previous version and return it; mark the present one withdrawn.

    The decision is recorded in ml.promotions. The caller scores and publishes afterwards. Raises
    JobError if there is no previous version, one of its files differs from the registered one, it
    was itself rolled back or rejected, production.json lacks the signature of the signing key, or
    another promotion was faster.
    """
    store.check_signed(settings)
    models = settings.models
    current = store.production(models)
    if current is None or current.previous is None:
        raise JobError(
            "There is no earlier production version to return to.",
            next_step="name one: `churnhouse models`, then `churnhouse promote VERSION`.",
        )
    target = current.previous
    if target in approvals.withdrawn(models):
        raise JobError(
            f"The version before, {target}, was itself rolled back.",
            next_step="choose one with `churnhouse models`, then `churnhouse promote VERSION`.",
        )
    if approvals.rejection(models, target):
        raise JobError(
            f"The version before, {target}, was rejected.",
            next_step="choose one with `churnhouse models`, then `churnhouse promote VERSION`.",
        )
    store.check_previous(settings)
    for name in store.read_manifest(models, target)["files"]:
        store.verified(models, target, name)
    reason = f"rolled back from {current.version}"

    def act() -> None:
        store.swap_production(settings, current, target, now)
        approvals.withdraw(models, current.version, now)

    record(con, Decision(True, [reason], target, current.version), now, act)
    return target
