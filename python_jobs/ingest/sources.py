"""The keys of domain.yml about sources: files, queries and columns, with meanings and defaults."""

import codecs
import re
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Days = Annotated[int, Field(ge=1, le=3650)]
Share = Annotated[float, Field(ge=0, le=1)]
Kind = Literal["text", "number", "date", "timestamp", "any", "file_name", "row_number"]
EPOCHS = {"epoch_seconds": 1_000_000, "epoch_milliseconds": 1000, "epoch_microseconds": 1}
"""time_format of numbers that count from 1970-01-01 UTC, and the microseconds in one unit."""

KEY_COLUMNS = ("user_id", "event_id", "event_time", "event_type", "signup_date")
TABLE_COLUMNS = {
    *KEY_COLUMNS,
    *("row_id", "file_id", "ingested_at", "updated_at", "reject_reason", "version", "is_deleted"),
    *("source_row", "user_signup_date", "changed_on", "changed_at", "valid_from", "valid_to"),
    *("is_current", "exclude_reason", "domain_reason", "row_reason", "reason", "record_number"),
    *("event_date", "event_key", "touches_date", "written_at", "is_activity", "is_new_row"),
    *("received_user_id", "content_key", "is_newest", "is_mine", "file_name"),
    *("day", "is_active", "last_active_on", "data_from", "rewrite_from", "first_day"),
    *("has_events", "held_on", "holds_through", "is_eventful", "last_active_so_far"),
    *("as_of_date", "is_eligible", "days_since_last_activity", "tenure_days", "churn_label"),
    *("churn_risk", "risk_band", "risk_rank", "model_version", "scored_at", "in_holdout"),
    *("effect_1", "effect_2", "effect_3", "action"),
    *("reason_1", "reason_2", "reason_3", "events", "active_days", "known_days", "is_unknown"),
    *("user_value", "expected_loss", "expected_gain", "save_rate", "list_rank"),
    *("expected_gain_low", "expected_gain_high", "last_contact_on", "snoozed_until"),
    *("left_out_because", "value_per_horizon", "horizons", "first_seen"),
    *("churn_move", "moved_since", "contact_history"),
}
"""Columns of the product's own tables: no attribute and no measured column may have such a name."""

USER_COLUMNS = TABLE_COLUMNS | {"activity", "history", "owner", "risk_decile"}
"""Those of a published user too: no attribute may have such a name."""


DIRECTIVES = set("aAbBdmyYHIMSfgnpzZjUWwuVGxXcFT%")
"""Letters that DuckDB's strptime knows."""


def _format_of(value: str) -> str:
    if value in EPOCHS:
        return value
    if value.startswith("epoch"):
        raise ValueError(f"{value!r} is none of {', '.join(EPOCHS)}")
    if "%" not in value:
        raise ValueError(f"{value!r} is neither a format such as '%d.%m.%Y %H:%M' nor an epoch")
    for letter in re.findall(r"%-?(.?)", value):
        if letter not in DIRECTIVES:
            raise ValueError(f"%{letter} in {value!r} is no letter of strptime")
    return value


TimeFormat = Annotated[str, AfterValidator(_format_of)]


def _encoding(value: str) -> str:
    try:
        return codecs.lookup(value).name
    except LookupError:
        raise ValueError(f"{value!r} is no encoding such as utf-8, cp1252 or utf-16") from None


def _text(value: object) -> object:
    """Explain the words that YAML reads as true and false."""
    if isinstance(value, bool):
        raise ValueError(
            f"YAML reads on, yes and true as a switch, here {value}; write it in quotes, "
            'such as "on" or "off"'
        )
    if value is None:
        raise ValueError('YAML reads null and ~ as no value; write it in quotes, such as "NULL"')
    return str(value) if isinstance(value, int | float | date) else value


Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | int | float)]


class Strict(BaseModel):
    """A model that refuses unknown keys and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(Strict):
    """A column of a raw file. `{amount: number}` is short for `{amount: {type: number}}`."""

    type: Kind = Field(
        description="text, number, date, timestamp; any: whatever it is, as text, nested values as "
        "JSON; file_name: the file's name below the raw folder; row_number: the row's number in it."
    )
    optional: bool = Field(
        False,
        description="A file may lack the column; its rows have NULL then, and a note says so.",
    )
    format: TimeFormat | None = Field(
        None, description="How a date or time is written in this column; see time_format."
    )
    path: str | None = Field(
        None, min_length=1, description="JSON only: the path of a nested property, `user.plan`."
    )


def _column(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


AnyColumn = Annotated[Column, BeforeValidator(_column, json_schema_input_type=Kind | Column)]


class RawFiles(Strict):
    """A source of rows for one table: files below the raw folder, or a query."""

    path: str | None = Field(
        None,
        pattern=r"^[^/]",
        description="Files below the raw folder; `*` stands for any name, `**` for any folders.",
        examples=["orders/*", "orders/**"],
    )
    columns: dict[Text, AnyColumn] = Field(
        min_length=1, description="The columns that ingest.sql uses, with their types."
    )
    mapping: str = Field(
        "ingest.sql",
        pattern=r"^[\w.-]+\.sql$",
        description="SQL file of the domain's folder that maps this source to the tables.",
    )
    format: Literal["csv", "json", "parquet", "excel"] | None = Field(
        None, description="What the files are, if their endings do not say so."
    )
    delimiter: str = Field(
        ",", min_length=1, max_length=4, description="CSV: what separates columns."
    )
    quote: str = Field('"', max_length=1, description="CSV: what encloses a value; empty for none.")
    encoding: Annotated[str, AfterValidator(_encoding)] = Field(
        "utf-8", description="CSV and JSON: how text is encoded.", examples=["cp1252", "utf-16"]
    )
    null_words: list[Text] = Field(
        [], description="CSV: words that stand for no value, beside the empty one."
    )
    decimal: Literal[".", ","] = Field(".", description="What separates decimals in numbers.")
    thousands: str | None = Field(
        None, min_length=1, max_length=1, description="What separates thousands in numbers."
    )
    time_format: TimeFormat | None = Field(
        None,
        description="How dates and times are written, as in Python's strptime, or "
        f"{', '.join(EPOCHS)}. Without it they must be ISO 8601.",
        examples=["%d.%m.%Y %H:%M", "epoch_seconds"],
    )
    sheet: Text | None = Field(None, description="Excel: the sheet's name; the first by default.")
    reader: Literal["git_log"] | None = Field(
        None, description="git_log reads the commits of a git repository."
    )
    database: str | None = Field(
        None,
        pattern=r"^[A-Z][A-Z0-9_]*$",
        description="The environment variable with the address of a database to read.",
        examples=["SHOP_DATABASE_URL"],
    )
    relation: str | None = Field(
        None,
        description="A table or view that is in the warehouse file already, `schema.table`, or "
        "`file.duckdb:schema.table` for one in another DuckDB file below the raw folder.",
    )
    query: str | None = Field(None, description="The query to run in the database.")
    table: str | None = Field(None, description="The table to read from the database.")
    cursor: str | None = Field(
        None, description="A column that only grows: each load reads what is above the last one."
    )

    @model_validator(mode="after")
    def _one_place(self) -> "RawFiles":
        places = [name for name in ("path", "database", "relation") if getattr(self, name)]
        if len(places) != 1:
            raise ValueError(
                "a source has one of path, database and relation"
                + (f", not {' and '.join(places)}" if places else "")
            )
        if self.database and (self.query is None) == (self.table is None):
            raise ValueError("a database needs either a query or a table")
        if not self.database:
            for name in ("query", "table"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} needs a database")
        if self.path and self.cursor:
            raise ValueError("cursor needs a database or a relation")
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        return self

    @property
    def place(self) -> str:
        """Return where the rows are, for messages."""
        return self.path or self.relation or f"{self.database}: {self.table or 'query'}"


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


Sources = Annotated[
    list[RawFiles],
    BeforeValidator(_listed, json_schema_input_type=RawFiles | list[RawFiles]),
    Field(min_length=1),
]
TABLES = ("users", "identities", "events", "treatments")
"""The canonical tables in the order of loading."""


class Files(Strict):
    """The sources of each table: one, or a list of them."""

    events: Sources = Field(description="What users did.")
    users: Sources | None = Field(
        None, description="Who the users are. Without it, users_from_events derives them."
    )
    identities: Sources | None = Field(
        None,
        description="Which ids are one person (from_id, to_id, since): events of from_id count for "
        "to_id, those before the first link too.",
    )
    treatments: Sources | None = Field(
        None,
        description="Who was contacted: user_id, treated_at, campaign; channel, outcome, note and "
        "by where they are known.",
    )

    def by_table(self) -> dict[str, list[RawFiles]]:
        """Return the sources of each canonical table, in the order of loading."""
        return {table: getattr(self, table) or [] for table in TABLES}
