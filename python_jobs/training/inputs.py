"""What a domain's settings make of the inputs of a training."""

from collections.abc import Callable

import duckdb

from python_jobs.ingest.domain import Domain
from python_jobs.training.feature_facts import explained_features
from python_jobs.training.metrics import Campaign
from python_jobs.training.train import Inputs, read_inputs


def domain_inputs(
    con: duckdb.DuckDBPyConnection,
    domain: Domain,
    *,
    seed: int,
    time_budget: float,
    progress: Callable[[str], None] | None = None,
) -> Inputs:
    """Return the inputs of a training with the settings of a domain; see read_inputs."""
    chosen = domain.vars
    return read_inputs(
        con,
        horizon_days=chosen.churn_horizon_days,
        explained=explained_features(chosen),
        attributes=chosen.learned_attributes,
        seed=seed,
        time_budget=time_budget,
        campaign=Campaign(chosen.offer_cost, chosen.save_rate, chosen.user_value, chosen.top_k),
        candidates=chosen.models.candidates,
        progress=progress,
    )
