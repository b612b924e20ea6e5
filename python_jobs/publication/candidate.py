"""A user as a candidate for a contact: what the lookup store and the API add to a prediction.

The values are those of contact_candidates, and the user's place on churn_top_risk.
"""

from typing import Any

MONEY = {"type": ["number", "null"]}
COLUMNS: dict[str, dict[str, Any]] = {
    "left_out_because": {
        "type": ["string", "null"],
        "description": "Why nobody should contact the user: holdout, gone, not_wanted, contacted"
        " or snoozed. Null if somebody may.",
    },
    "last_contact_on": {
        "type": ["string", "null"],
        "format": "date",
        "description": "The last day on which a campaign or a person contacted the user, as known"
        " at the publication.",
    },
    "snoozed_until": {
        "type": ["string", "null"],
        "format": "date",
        "description": "Nobody should contact the user before this day.",
    },
    "churn_move": {
        "type": ["string", "null"],
        "enum": ["newly_at_risk", "still_at_risk", "came_back", "lost", None],
        "description": "What happened to the user's risk within a week; see churn_moves.",
    },
    "moved_since": {
        "type": ["string", "null"],
        "format": "date",
        "description": "The first date of that state.",
    },
    "owner": {
        "type": ["string", "null"],
        "description": "Who works on the user, as known at the publication.",
    },
    "save_rate": MONEY
    | {"description": "The share of churners like the user whom a contact keeps."},
    "expected_gain": MONEY
    | {"description": "Money that a contact is expected to bring, less its cost."},
    "expected_gain_low": MONEY
    | {"description": "The same at the lower bound of save_rate (95 % interval)."},
    "expected_gain_high": MONEY
    | {"description": "The same at the upper bound of save_rate (95 % interval)."},
    "list_rank": {
        "type": ["integer", "null"],
        "minimum": 1,
        "description": "1 is whom to call first. Null for a user who is not on the list.",
    },
}
"""The columns, with the OpenAPI schema of each. The domain's `list` decides who is on the list."""

OF_THE_RUN = {"as_of_date", "scored_at", "model_version", "last_contact_on"}
"""Columns of the list that alone make no change."""
