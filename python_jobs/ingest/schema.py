"""The settings of domain.yml: types, meanings and defaults. Keys of sources are in sources.py.

docs/domain-reference.md and docs/domain.schema.json are generated from both.
"""

import csv
import difflib
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from python_jobs.ingest.sources import (
    TABLE_COLUMNS,
    USER_COLUMNS,
    Days,
    Files,
    Name,
    Share,
    Strict,
    Text,
)
from python_jobs.publication.feature_facts import REASONS
from python_jobs.settings import PROJECT

OWN_REASONS = sorted(set(REASONS.values()))
"""Reasons that every domain has; no measure may have such a name."""


class Measure(Strict):
    """One thing that is counted, summed or averaged per user and day."""

    name: Name = Field(description="Its columns are named after it: `spend`, `spend_30d`.")
    event_type: Text | None = Field(None, description="Only events of this type; all by default.")
    agg: Literal["count", "sum", "avg"] = Field(description="How a day's events are aggregated.")
    column: Name | None = Field(None, description="What is summed or averaged.")
    scale: int = Field(
        4, ge=0, le=15, description="Decimals that are kept; smaller amounts are refused."
    )
    label: Text | None = Field(
        None, description="Its name in sentences, a plural: `lessons`; by default `name`."
    )
    unit: Text | None = Field(
        None,
        description="The unit of a sum or an avg in sentences: `minutes` (shown as hours where "
        "large), `EUR`, `%`.",
    )

    @model_validator(mode="after")
    def _column_goes_with_the_aggregate(self) -> "Measure":
        if (self.agg == "count") == (self.column is not None):
            raise ValueError("a count takes no column, a sum or an avg needs one")
        if self.agg == "count" and self.unit:
            raise ValueError("a count takes no unit")
        return self


class Ratio(Strict):
    """A share over the longest feature window: `part` over the sum of `of`, NULL over nothing."""

    name: Name
    part: Name = Field(description="A measure that is a count or a sum.")
    of: list[Name] = Field(min_length=1, description="Measures whose sum is the whole.")
    label: Text | None = Field(None, description="Its name in sentences; by default `name`.")


class Check(Strict):
    """A check on one column's values; a missing value is accepted."""

    min: float | None = Field(None, description="The least value.")
    max: float | None = Field(None, description="The greatest value.")
    above: float | None = Field(None, description="Values must be greater than this.")
    values: list[Text] | None = Field(None, description="The only values.")
    only_on: list[Text] | None = Field(
        None, description="Events of these types must have a value; only they are checked."
    )
    elsewhere_share: Share = Field(
        0.02, description="With only_on: the share of other events that may have a value."
    )


class EventType(Strict):
    """The settings of one event type."""

    is_activity: bool = Field(description="Whether such an event makes a user active.")
    description: str = ""


def _days_of(value: object) -> object:
    """Return dates and spans `2025-02-10..2025-02-19` as a sorted list of dates."""
    if not isinstance(value, list):
        return value
    days: set[date] = set()
    for item in value:
        first, dots, last = str(item).partition("..")
        if dots and not last.strip():
            raise ValueError(f"{item!r} has no end")
        try:
            start, end = (
                date.fromisoformat(first.strip()),
                date.fromisoformat((last or first).strip()),
            )
        except ValueError:
            raise ValueError(
                f"{item!r} is neither a date, 2025-02-10, nor days, 2025-02-10..2025-02-19"
            ) from None
        if end < start or (end - start).days > 3650:
            raise ValueError(f"{item!r} ends before it starts, or spans more than ten years")
        days |= {start + timedelta(n) for n in range((end - start).days + 1)}
    return sorted(days)


DayList = Annotated[list[date], BeforeValidator(_days_of, json_schema_input_type=list[str])]


def _time_zone(value: str) -> str:
    from zoneinfo import available_timezones

    if value not in available_timezones():
        close = difflib.get_close_matches(value, available_timezones(), n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"{value!r} is no time zone such as Europe/Berlin{hint}")
    return value


def _excluded(value: object) -> object:
    if value is None:
        return {}
    reasons = value if isinstance(value, dict) else {"excluded": value}
    for reason, given in reasons.items():
        if isinstance(given, int | float) or given == "":
            raise ValueError(f"{reason}: {given!r} is neither a condition nor a list of ids")
    return reasons


class Models(Strict):
    """How models are made and replaced. No table depends on it, so no build follows a change."""

    candidates: list[Literal["logistic_regression", "hist_gradient_boosting", "soft_voting"]] = (
        Field(
            ["logistic_regression", "hist_gradient_boosting", "soft_voting"],
            min_length=1,
            description="The kinds of model that are tried.",
        )
    )
    time_budget: float = Field(
        2.5,
        ge=0,
        description="Seconds of search for parameters. --time-budget and CHURNHOUSE_TIME_BUDGET "
        "overrule it.",
    )
    replace_after_days: int | None = Field(
        None,
        ge=0,
        description="From this age on, in days, a new model of equal quality replaces the one in "
        "production; by default only a better one does.",
    )


LIFETIME_FEATURES = ("active_days_ever", "events_ever", "active_day_rate", "silence_share")
"""See macros/measures/lifetime_features.sql; and observed_days over the longest window."""


class Value(Strict):
    """What a user who stays is worth; without column, measure or sql it is user_value."""

    column: Name | None = Field(None, description="An attribute that holds it, as a number.")
    measure: Name | None = Field(
        None,
        description="A sum among the measures, such as spend: its pace over the last `days` is "
        "carried forward over `horizon_days`, as far as the user's risk lets them stay.",
    )
    sql: Text | None = Field(
        None, description="An expression over the columns of user_features_latest."
    )
    days: Days = Field(description="Days over which the measure's pace is taken.")
    horizon_days: Days = Field(description="Days ahead for which a measure's pace counts.")

    @model_validator(mode="after")
    def _one_source(self) -> "Value":
        given = [name for name in ("column", "measure", "sql") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"give {given[0]} or {given[1]}, not both")
        return self


Names = list[Name]
Verb = Annotated[list[Text], Field(min_length=2, max_length=2)]


class CallList(Strict):
    """Whom to act on: churn_top_risk and what follows from it."""

    order: Literal["gain", "loss", "risk"] = Field(
        description="By expected gain (only where it is above 0), expected loss, or churn risk; "
        "equal ones by churn risk, then by user_id."
    )
    budget: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Money for one list: as many users as offer_cost allows, not top_k."
    )
    where: Text | None = Field(
        None, description="A condition in SQL over the columns of user_features_latest."
    )
    contact_pause_days: Annotated[int, Field(ge=0)] = Field(
        description="Nobody contacted in the last so many days is on the list again."
    )
    explore_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        description="Share of the list that is drawn at random among all who may be contacted, so "
        "that policy_value can tell what other lists would have earned."
    )
    campaigns: list[Text] = Field(
        description="The campaigns that a contact may name; empty: any name is taken."
    )
    owners: list[Text] = Field(
        description="Who may be named as working on a user; empty: any name is taken."
    )


class Vars(Strict):
    """The settings of a domain; the defaults are in dbt_project.yml."""

    churn_horizon_days: Days = Field(description="Days of silence that mean churn.")
    eligibility_days: Days = Field(description="Users active in these last days are eligible.")
    feature_windows_days: list[Days] = Field(min_length=2, description="Windows of features.")
    feature_families: list[Literal["lifetime"]] = Field(
        description="What features look at beyond the windows; see docs/models.md."
    )
    training_every_days: Days = Field(description="Days between sampled as_of_dates.")
    users_from_events: bool = Field(
        description="Users are derived from events, and sign up at their earliest date."
    )
    timezone: Annotated[str, AfterValidator(_time_zone)] = Field(
        description="Times without an offset are in it, and days are its days. It stays as it is "
        "once rows are loaded."
    )
    first_day: date | None = Field(
        description="Earlier dates cannot be true; by default ten years before a row's arrival."
    )
    max_history_days: Annotated[int, Field(ge=1)] = Field(
        description="A build over more days stops before it starts."
    )
    unknown_days: DayList = Field(
        description="Days whose data is missing or wrong: they close no label window."
    )
    silent_days: Literal["unknown", "closed"] = Field(
        description="What a day without any event is, where events are expected: an outage, or a "
        "day on which the business was closed."
    )
    delivery: Literal["append", "full_snapshot"] = Field(
        description="Whether new files add rows, or hold all of them: then what is gone is gone."
    )
    exclude: Annotated[
        dict[Name, Text | list[Text]],
        BeforeValidator(
            _excluded, json_schema_input_type=dict[str, str | list[str]] | list[str] | str
        ),
    ] = Field(
        description="Users who do not count, by reason: a condition in SQL over the columns of "
        "users, or a list of ids."
    )
    max_user_share: Share = Field(
        description="An id with a larger share of all events is named in a note."
    )
    arrival_tolerance_minutes: Annotated[int, Field(ge=0)] = Field(
        description="An event's time may be this much later than its arrival."
    )
    max_rejected_share: Share = Field(description="A larger share of rejected rows stops the run.")
    expected_weekdays: list[Annotated[int, Field(ge=1, le=7)]] = Field(
        description="ISO weekdays that have events; empty: learned from the data."
    )
    min_day_share: Share = Field(
        description="A recent day with less than this share of its usual events stops the run."
    )
    holdout_share: Share = Field(description="Share of users whom nobody contacts.")
    offer_cost: Annotated[float, Field(ge=0)] = Field(description="Cost of contacting one user.")
    save_rate: Share = Field(description="Share of contacted churners who stay because of it.")
    user_value: Annotated[float, Field(ge=0)] = Field(
        description="Value of a user who stays, where `value` says nothing."
    )
    value: Value = Field(description="What each user who stays is worth.")
    top_k: Annotated[int, Field(ge=1)] = Field(
        description="Length of the list that people work off: churn_top_risk and its files."
    )
    models: Models = Field(description="How models are made and replaced.")
    measures: list[Measure] = Field(min_length=1, description="What is measured.")
    ratios: list[Ratio] = Field(description="Shares of measures.")
    attributes: list[Name] = Field(
        description="Columns of users that describe them: filters, slices and inputs of the model."
    )
    model_attributes: list[Name] | None = Field(
        description="Those attributes that the model may learn from; all by default."
    )
    checks: dict[Name, Check] = Field(description="Checks of columns.")
    event_types: dict[Text, EventType] = Field(
        description="The types of events; empty: seeds/event_types.csv."
    )
    verb: Verb = Field(
        description="What an active user does, and did, in sentences: `[buy, bought]`."
    )
    actions: dict[Name, Text] = Field(
        description="What to do about a reason: silence, tenure, or the name of a measure, ratio "
        "or attribute. A change takes effect with the next scoring."
    )
    # last: after it `list` is no type any more in this class
    list: CallList = Field(description="Whom to act on, and in which order.")

    @model_validator(mode="after")
    def _names_refer_to_something(self) -> "Vars":
        if sorted(set(self.feature_windows_days)) != self.feature_windows_days:
            raise ValueError("feature_windows_days must rise, each window once")
        _check_columns(self)
        types = list(self.event_types) or seeded_event_types()
        for measure in self.measures:
            if measure.event_type is not None and measure.event_type not in types:
                raise ValueError(
                    f"measure {measure.name!r} looks at {measure.event_type!r}, "
                    f"which is no event type{guess(measure.event_type, types)}"
                )
        if self.value.column and self.value.column not in self.attributes:
            raise ValueError(f"value.column names {self.value.column!r}, which is no attribute")
        sums = [m.name for m in self.measures if m.agg == "sum"]
        if self.value.measure and self.value.measure not in sums:
            raise ValueError(
                f"value.measure names {self.value.measure!r}, which is no sum among the measures"
                f"{guess(self.value.measure, sums)}"
            )
        if self.list.budget and not 0 < self.offer_cost <= self.list.budget:
            raise ValueError(
                "list.budget pays for nobody: offer_cost must be above 0 and within it"
            )
        for name in self.model_attributes or []:
            if name not in self.attributes:
                raise ValueError(
                    f"model_attributes names {name!r}, which is no attribute"
                    f"{guess(name, self.attributes)}"
                )
        reasons = [*OWN_REASONS, *(m.name for m in self.measures)]
        reasons += [*(ratio.name for ratio in self.ratios), *self.attributes]
        for name in self.actions:
            if name not in reasons:
                raise ValueError(
                    f"actions names {name!r}, which is no reason{guess(name, reasons)}; "
                    f"possible are {', '.join(reasons)}"
                )
        additive = {m.name for m in self.measures if m.agg != "avg"}
        for ratio in self.ratios:
            if unknown := {ratio.part, *ratio.of} - additive:
                raise ValueError(
                    f"ratio {ratio.name!r} names {min(unknown)!r}, "
                    "which is not a count or sum among the measures"
                )
        return self

    @property
    def learned_attributes(self) -> Names:
        """Return the attributes that the model may learn from."""
        return self.attributes if self.model_attributes is None else self.model_attributes

    @property
    def features(self) -> Names:
        """Return the columns of user_features_latest that the settings define, attributes aside."""
        windows = [f"_{n}d" for n in self.feature_windows_days]
        features = [f"{name}{end}" for name in ("events", "active_days") for end in windows]
        for measure in self.measures:
            features += [measure.name + end for end in [*windows, "_trend"]]
        features += [ratio.name + windows[-1] for ratio in self.ratios]
        lifetime = [*LIFETIME_FEATURES, f"observed_days{windows[-1]}"]
        return features + (lifetime if "lifetime" in self.feature_families else [])


def _check_columns(vars_: Vars) -> None:
    """Raise ValueError if two columns of a table would have one name."""
    names = [m.name for m in vars_.measures] + [r.name for r in vars_.ratios]
    names += ["events", "active_days"]  # counted for every domain
    names += OWN_REASONS
    if twice := {n for n in names if names.count(n) > 1}:
        raise ValueError(f"the name {min(twice)!r} is taken already")
    for key, used in (
        ("attributes", vars_.attributes),
        ("measures", [m.name for m in vars_.measures]),
        ("measures", [m.column for m in vars_.measures if m.column]),
        ("ratios", [r.name for r in vars_.ratios]),
        ("checks", list(vars_.checks)),
    ):
        taken = USER_COLUMNS if key == "attributes" else TABLE_COLUMNS
        if own := sorted(set(used) & taken):
            raise ValueError(f"{key}: {own[0]!r} is a column of the product; choose another name")
    windows = [f"_{n}d" for n in vars_.feature_windows_days]
    measured = {m.column for m in vars_.measures if m.column} | {
        name for name in vars_.checks if name not in vars_.attributes
    }
    days = [f"{name}{end}" for name in ("events", "active_days") for end in ("", "_total")]
    features = [*vars_.attributes, *vars_.features]
    if "lifetime" not in vars_.feature_families:  # a domain may ask for them later
        features += [*LIFETIME_FEATURES, f"observed_days{windows[-1]}"]
    for measure in vars_.measures:
        parts = ["_sum", "_count"] if measure.agg == "avg" else [""]
        days += [measure.name + part + end for part in parts for end in ("", "_total")]
    for columns in (days, features, [*measured, *(f"{name}_received" for name in measured)]):
        if repeated := sorted({name for name in columns if columns.count(name) > 1}):
            raise ValueError(
                f"two columns would be named {repeated[0]!r}; rename a measure or an attribute"
            )


def seeded_event_types() -> list[str]:
    """Return the event types of seeds/event_types.csv."""
    seed = (PROJECT / "seeds/event_types.csv").read_text(encoding="utf-8")
    return [row["event_type"] for row in csv.DictReader(seed.splitlines())]


def guess(name: str, known: list[str]) -> str:
    """Return a hint at the known name that is closest, or an empty text."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


class DomainFile(Strict):
    """The two parts of domain.yml, and the short form of database sources."""

    files: Files = Field(description="Where the data is.")
    vars: dict[str, Any] = Field(description="The settings; what is missing has its default.")


def plain_path(loc: tuple[Any, ...], content: Any) -> list[str]:
    """Return a pydantic location as the keys of the file: a single source has no list index."""
    path: list[str] = []
    for part in loc:
        if isinstance(part, int) and not isinstance(content, list):
            continue  # a single source, which pydantic sees as a list of one
        if isinstance(content, list) and isinstance(part, int) and part < len(content):
            content = content[part]
        elif isinstance(content, dict):
            content = content.get(part)
        if part != "[key]":
            path.append(str(part))
    return path


def seeded_activity() -> dict[str, bool]:
    """Return for each event type of seeds/event_types.csv whether it is activity."""
    seed = (PROJECT / "seeds/event_types.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(seed.splitlines())
    return {row["event_type"]: row["is_activity"] == "true" for row in rows}
