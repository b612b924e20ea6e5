"""What the manifest of a published version holds of what jobs and API read from it."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from typing_extensions import TypedDict

from python_jobs.files import json_of


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("it has no time zone")
    return moment


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (KeyError, OSError):
        raise ValueError("there is no such time zone") from None


Day = Annotated[str, AfterValidator(date.fromisoformat)]
Moment = Annotated[str, AfterValidator(_moment)]
Zone = Annotated[str, AfterValidator(_zone)]


Pair = Annotated[list[float | None], Field(min_length=2, max_length=2)]


class File(TypedDict):
    """A file of the version; `rows` by table."""

    sha256: str
    bytes: NotRequired[int]
    rows: NotRequired[dict[str, int]]
    ids_sha256: NotRequired[str]


class Model(TypedDict):
    """The model behind the predictions; what could not be measured is None."""

    estimator: str
    roc_auc: float | None
    average_precision: float | None
    precision_at_50: float | None
    promoted_at: NotRequired[str | None]
    kind: NotRequired[str]
    unjudged: NotRequired[str | None]


class FirstWeek(TypedDict):
    """What is expected of the first week."""

    until: Day
    leavers: float
    loss: float


class Expected(TypedDict):
    """What is expected of the horizon."""

    churners: float
    loss: float
    first_week: FirstWeek


class Rules(TypedDict):
    """The rules of the list, from domain.yml."""

    order: Literal["risk", "loss", "gain"]
    top_k: PositiveInt
    offer_cost: NonNegativeFloat
    contact_pause_days: NonNegativeInt
    budget: NotRequired[NonNegativeFloat | None]
    campaigns: NotRequired[list[str] | None]
    owners: NotRequired[list[str] | None]


class Risky(TypedDict):
    """One of the first users of the list."""

    user_id: str
    churn_risk: float


class Manifest(TypedDict):
    """The manifest. Versions of earlier releases lack what is not required."""

    version: str
    published_at: Moment
    as_of_date: Day
    model_version: str
    domain: str
    data_from: Day
    data_through: Day
    users: int
    events: int
    rejected: dict[str, int]
    user_days: int
    base_rate: float | None
    model: Model
    riskiest: list[Risky]
    files: dict[str, File]
    promoted_at: NotRequired[str | None]
    sequence: NotRequired[int]
    attributes: NotRequired[list[str]]
    timezone: NotRequired[Zone]
    eligibility_days: NotRequired[int | None]
    value_horizons: NotRequired[PositiveFloat]
    limits: NotRequired[dict[str, Pair]]
    forgotten_at: NotRequired[Moment | None]
    set_aside: NotRequired[dict[str, int]]
    excluded_users: NotRequired[dict[str, int]]
    unknown_days: NotRequired[list[Day]]
    expected: NotRequired[Expected]
    list: NotRequired[Rules]


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return the manifest of the version in a folder.

    Raises OSError if it cannot be read, ValueError, which says what is wrong, if it is damaged.
    """
    return json_of(folder / "manifest.json", Manifest)
