"""The columns of a prediction: one list for every writer and reader.

To add a column, add a line here and the same column to models/predictions/churn_predictions.yml,
from which dbt makes the table (a test holds the two equal). Then compute its value: in
python_jobs/scoring/rows.py, in prediction_history.sql for a rank, or in churn_predictions.sql for a
column that the view makes. A table that exists already gets the column from the next scoring.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Column:
    """One column of a prediction.

    `type`: a SQL type with this name in both engines. `made_by`: the step that computes the value:
    scoring a row, ranking all rows of a day, or the view over the jobs' tables. `json`: additions
    to the OpenAPI type. `gathered_in`: the API shows columns with the same name here as one list
    of that name, without empty values; `json` of the first column describes the list.
    """

    name: str
    type: Literal["string", "date", "timestamp", "double", "bigint", "integer", "boolean"]
    description: str
    made_by: Literal["scoring", "ranking", "view"] = "scoring"
    json: dict[str, Any] = field(default_factory=dict)
    gathered_in: str | None = None


RISK_BANDS = ("high", "medium", "low")
BANDS = (*RISK_BANDS, "gone")
HIGH_FROM = 0.5
"""Lowest churn_risk of the band 'high'."""
MEDIUM_FROM = 0.2
"""Lowest churn_risk of the band 'medium', which ends below HIGH_FROM."""

COLUMNS = (
    Column("user_id", "string", "The user's id, as text."),
    Column(
        "as_of_date",
        "date",
        "The day at whose end a row is known. Features look back over"
        " `(as_of_date - n, as_of_date]`. Labels look forward over"
        " `(as_of_date, as_of_date + horizon]`. The two meet and never overlap.",
        json={"examples": ["2025-04-30"]},
    ),
    Column(
        "churn_risk",
        "double",
        "The calibrated probability that churn_label is 1.",
        json={"minimum": 0, "maximum": 1, "examples": [0.8731]},
    ),
    Column(
        "risk_rank",
        "bigint",
        "1 is the riskiest of everybody scored that day; equal risks rank by user_id.",
        made_by="ranking",
        json={"minimum": 1, "examples": [7]},
    ),
    Column(
        "risk_decile",
        "integer",
        "1 is the riskiest tenth of everybody scored that day; the first tenths have a user more if"
        " need be.",
        made_by="ranking",
        json={"minimum": 1, "maximum": 10, "examples": [1]},
    ),
    Column(
        "risk_band",
        "string",
        "high (churn_risk from 0.5 on), medium (from 0.2 on) or low; gone for a user who is not"
        " eligible.",
        json={"enum": list(BANDS), "examples": ["high"]},
    ),
    Column(
        "is_eligible",
        "boolean",
        "Active in the last `eligibility_days`. Models are trained and judged on eligible"
        " users; every user is scored.",
        json={"examples": [True]},
    ),
    Column(
        "in_holdout",
        "boolean",
        "True for the share of users (`holdout_share`) whom nobody should contact, so that a"
        " campaign's lift can be measured. A stable hash of user_id decides.",
        made_by="view",
    ),
    Column(
        "user_value",
        "double",
        "What the user is worth who stays, by the domain's `value`.",
        json={"minimum": 0, "examples": [100.0]},
    ),
    Column(
        "expected_loss",
        "double",
        "churn_risk * user_value: what is lost on average if nobody acts.",
        json={"minimum": 0, "examples": [87.31]},
    ),
    Column(
        "reason_1",
        "string",
        "A sentence: what moved the risk most, or nearly as much and sets this user apart. It"
        " compares with the user's own past (usually, used to) or with typical users, the median of"
        " eligible training rows. effect_1 is its direction.",
        json={"examples": [["Silent for 25 days; used to come every day."]]},
        gathered_in="reasons",
    ),
    Column(
        "reason_2",
        "string",
        "The second reason; see reason_1.",
        gathered_in="reasons",
    ),
    Column(
        "reason_3",
        "string",
        "The third reason; see reason_1.",
        gathered_in="reasons",
    ),
    Column(
        "effect_1",
        "string",
        "What reason_1 does to the risk: raises or lowers.",
        json={"examples": [["raises", "raises", "lowers"]]},
        gathered_in="effects",
    ),
    Column("effect_2", "string", "What reason_2 does to the risk.", gathered_in="effects"),
    Column("effect_3", "string", "What reason_3 does to the risk.", gathered_in="effects"),
    Column(
        "action",
        "string",
        "What to do: the domain's action for the first reason that raises the risk and has one; may"
        " be null.",
        json={"type": ["string", "null"], "examples": ["Send the list of new lessons."]},
    ),
    Column("model_version", "string", "The model version that gave the risk."),
    Column("scored_at", "timestamp", "When the day was scored, in UTC.", made_by="ranking"),
)
NAMES = tuple(column.name for column in COLUMNS)
FLAGS = tuple(column.name for column in COLUMNS if column.type == "boolean")
TIMES = tuple(column.name for column in COLUMNS if column.type == "timestamp")
LISTS = {
    gathered: tuple(column.name for column in COLUMNS if column.gathered_in == gathered)
    for gathered in dict.fromkeys(column.gathered_in for column in COLUMNS)
    if gathered
}
"""The lists that the API shows, with the columns of each."""

JSON_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "date": {"type": "string", "format": "date"},
    "timestamp": {"type": "string", "format": "date-time"},
    "double": {"type": "number"},
    "bigint": {"type": "integer"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
}


def made_by(*steps: str) -> tuple[Column, ...]:
    """Return the columns that these steps compute, in the order of the schema."""
    return tuple(column for column in COLUMNS if column.made_by in steps)


def typed(expression: str, columns: tuple[Column, ...]) -> str:
    """Return a SELECT of these columns from the query `expression`, cast to their types."""
    casts = (f"cast({column.name} as {column.type}) as {column.name}" for column in columns)
    return f"select {', '.join(casts)} from ({expression})"


def band(churn_risk: float) -> str:
    """Return the risk band of an eligible user with this risk."""
    return "high" if churn_risk >= HIGH_FROM else "medium" if churn_risk >= MEDIUM_FROM else "low"


def horizons_stayed(churn_risk: float, horizons: float) -> float:
    """Return how many of these horizons a user with this risk is expected to stay, the first whole.

    What scoring/rows.py multiplies the value of one horizon by, in SQL.
    """
    if horizons == 1 or churn_risk < 1e-9:
        return horizons
    return float((1 - (1 - churn_risk) ** horizons) / churn_risk)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the lookup store as the API shows it.

    Flags are booleans, times are marked as UTC, lists are gathered.
    """
    for name in FLAGS:
        if name in row:
            row[name] = row[name] == 1
    for name in TIMES:
        if row.get(name):
            row[name] += "Z"
    for gathered, names in LISTS.items():
        values = [row.pop(name, None) for name in names]
        row[gathered] = [value for value in values if value]
    return row


def json_properties(names: Collection[str] = NAMES) -> dict[str, dict[str, Any]]:
    """Return the OpenAPI properties of a prediction that has these columns."""
    properties: dict[str, dict[str, Any]] = {}
    for column in COLUMNS:
        said = {"description": column.description} | column.json
        if column.gathered_in:
            items = {"type": "array", "items": JSON_TYPES[column.type]}
            properties.setdefault(column.gathered_in, items | said)
        elif column.name in names:
            properties[column.name] = JSON_TYPES[column.type] | said
    return properties
