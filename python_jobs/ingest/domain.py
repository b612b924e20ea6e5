"""Domains: the data and settings of one kind of business, read from one folder and checked.

`domain.yml` says where the raw files are, which columns they have and what is measured;
`ingest.sql` maps them to raw.users and raw.events. Defaults are in dbt_project.yml.
Your own folders are in CHURNHOUSE_DOMAINS, the shipped ones beside the dbt project.
"""

import csv
import difflib
import filecmp
import hashlib
import json
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from python_jobs.errors import JobError
from python_jobs.settings import PROJECT, Settings

SHIPPED = PROJECT / "domains"
FILES = ("domain.yml", "ingest.sql")

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Days = Annotated[int, Field(ge=1, le=3650)]
Share = Annotated[float, Field(ge=0, le=1)]


class _KeyTwice(yaml.YAMLError):
    """A mapping has the same key twice; plain YAML would silently take the last one."""


class _EachKeyOnce(yaml.SafeLoader):
    """YAML loader that raises _KeyTwice for a mapping with the same key twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise _KeyTwice(f"the key {name!r} stands twice, in lines {lines[name]} and {line}")
            lines[name] = line
        return node


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RawFiles(_Strict):
    """Files that fill one canonical table: a path below the raw folder, and their columns."""

    path: Annotated[str, Field(pattern=r"^[^/]")]
    columns: dict[str, Literal["text", "number", "date", "timestamp"]] = Field(min_length=1)
    reader: Literal["git_log"] | None = None


class Files(_Strict):
    """The raw files of a domain. Without `users`, ingest.sql derives users from the events.

    `treatments` (user_id, treated_at, campaign): who was contacted, if that is known.
    """

    events: RawFiles
    users: RawFiles | None = None
    treatments: RawFiles | None = None

    def by_table(self) -> dict[str, RawFiles | None]:
        """Return the canonical tables in the order of loading, with the files that fill each."""
        return {"users": self.users, "events": self.events, "treatments": self.treatments}

    def columns(self) -> dict[str, dict[str, str]]:
        """Return the declared columns of each canonical table, in that order; {} without files."""
        return {t: dict(spec.columns) if spec else {} for t, spec in self.by_table().items()}


class Measure(_Strict):
    """One thing that is counted, summed or averaged per user and day."""

    name: Name
    event_type: str | None = None
    agg: Literal["count", "sum", "avg"]
    column: Name | None = None

    @model_validator(mode="after")
    def _column_goes_with_the_aggregate(self) -> "Measure":
        if (self.agg == "count") == (self.column is not None):
            raise ValueError("a count takes no column, a sum or an avg needs one")
        return self


class Ratio(_Strict):
    """A share over the longest feature window: `part` over the sum of `of`, NULL over nothing."""

    name: Name
    part: Name
    of: list[Name] = Field(min_length=1)


class Check(_Strict):
    """A check on one column's values; a missing value is accepted.

    With `only_on`, events of those types must have a value. At most the share `elsewhere_share`
    of all other events may have one.
    """

    min: float | None = None
    max: float | None = None
    above: float | None = None
    values: list[str] | None = None
    only_on: list[str] | None = None
    elsewhere_share: Share = 0.02


class EventType(_Strict):
    """The settings of one event type."""

    is_activity: bool
    description: str = ""


class Vars(_Strict):
    """The settings of a domain; the defaults are in dbt_project.yml."""

    churn_horizon_days: Days
    eligibility_days: Days
    feature_windows_days: list[Days] = Field(min_length=2)
    training_every_days: Days
    users_from_events: bool
    arrival_tolerance_minutes: Annotated[int, Field(ge=0)]
    max_rejected_share: Share
    expected_weekdays: list[Annotated[int, Field(ge=1, le=7)]]
    min_day_share: Share
    holdout_share: Share
    offer_cost: Annotated[float, Field(ge=0)]
    save_rate: Share
    user_value: Annotated[float, Field(ge=0)]
    measures: list[Measure] = Field(min_length=1)
    ratios: list[Ratio]
    attributes: list[Name]
    checks: dict[Name, Check]
    event_types: dict[str, EventType]

    @model_validator(mode="after")
    def _names_refer_to_something(self) -> "Vars":
        names = [m.name for m in self.measures] + [r.name for r in self.ratios]
        names += ["events", "active_days"]  # counted for every domain
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"the name {min(twice)!r} is taken already")
        types = list(self.event_types) or _seeded_event_types()
        for measure in self.measures:
            if measure.event_type is not None and measure.event_type not in types:
                raise ValueError(
                    f"measure {measure.name!r} looks at {measure.event_type!r}, "
                    f"which is no event type{_guess(measure.event_type, types)}"
                )
        additive = {m.name for m in self.measures if m.agg != "avg"}
        for ratio in self.ratios:
            if unknown := {ratio.part, *ratio.of} - additive:
                raise ValueError(
                    f"ratio {ratio.name!r} names {min(unknown)!r}, "
                    "which is not a count or sum among the measures"
                )
        if sorted(set(self.feature_windows_days)) != self.feature_windows_days:
            raise ValueError("feature_windows_days must rise, each window once")
        return self


class _DomainFile(_Strict):
    files: Files
    vars: dict[str, Any]


class Domain:
    """One domain, checked: `files`, `vars` (defaults filled in) and the text of ingest.sql."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._where = folder / "domain.yml"
        text = _read(self._where)
        try:
            content = yaml.load(text, _EachKeyOnce)
        except _KeyTwice as error:
            raise JobError(
                f"{self._where}: {error}.", next_step="keep one of them and run again."
            ) from None
        except yaml.YAMLError as error:
            line = " ".join(str(error).split())
            raise JobError(
                f"{self._where} is not YAML: {line}.", next_step="correct it and run again."
            ) from None
        parsed = self._check(_DomainFile, content if isinstance(content, dict) else {})
        self.files: Files = parsed.files
        self.vars: Vars = self._check(Vars, {**_default_vars(), **parsed.vars}, under="vars")
        self.ingest_sql = _read(folder / "ingest.sql")

    def _check(self, model: type[BaseModel], content: dict[str, Any], under: str = "") -> Any:
        try:
            return model.model_validate(content)
        except ValidationError as error:
            # report a misspelt key first: it is why another key is missing
            first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
            path = ".".join(str(part) for part in [under, *first["loc"]] if part != "")
            if first["type"] == "extra_forbidden":
                what = f"unknown key {path!r}{_closest(first['loc'], model)}"
            else:
                what = f"{path or 'the file'}: {first['msg'].removeprefix('Value error, ')}"
            raise JobError(
                f"{self._where}: {what}.", next_step="correct domain.yml and run again."
            ) from None

    @property
    def note(self) -> str | None:
        """Return a note if this domain replaces a shipped one of the same name; else None."""
        shipped = SHIPPED / self.name
        if not shipped.is_dir() or not filecmp.cmpfiles(self.folder, shipped, FILES, False)[1]:
            return None
        return f"domain {self.name} is read from {self.folder}, not the shipped one of that name"

    @cached_property
    def settings_json(self) -> str:
        """Return the settings that the warehouse stores for the dbt macros, as JSON.

        A change of settings, event types or product version changes this text, and the next build
        then starts from scratch.
        """
        event_types = hashlib.sha256(_read(PROJECT / "seeds/event_types.csv").encode())
        built_with = {
            "domain": self.name,
            "product_version": version("churnhouse"),
            "event_types_sha256": event_types.hexdigest(),
        }
        return json.dumps(
            built_with | self.vars.model_dump(mode="json", exclude_none=True), sort_keys=True
        )


def load(name: str, settings: Settings) -> Domain:
    """Read and check one domain. Raises JobError naming the file and the key."""
    known = available(settings)
    if name not in known:
        raise JobError(
            f"There is no domain {name!r}{_guess(name, list(known))} "
            f"in {settings.domains} or among the shipped ones in {SHIPPED}.",
            next_step=f"choose one of {', '.join(known)}, or add {settings.domains / name}/"
            f" with {' and '.join(FILES)}.",
        )
    return Domain(name, known[name])


def available(settings: Settings) -> dict[str, Path]:
    """Return the folder of every domain by name, sorted. Your own replace shipped ones."""
    if "domains" in settings.model_fields_set and not settings.domains.is_dir():
        raise JobError(
            f"CHURNHOUSE_DOMAINS={settings.domains} is not a folder.",
            next_step="correct it, or unset it to use ./domains and the shipped ones.",
        )
    files = [*SHIPPED.glob("*/domain.yml"), *settings.domains.glob("*/domain.yml")]
    folders = {file.parent.name: file.parent for file in files}  # the later one wins
    return dict(sorted(folders.items()))


def _default_vars() -> dict[str, Any]:
    vars_: dict[str, Any] = yaml.safe_load(_read(PROJECT / "dbt_project.yml"))["vars"]
    return vars_


def _seeded_event_types() -> list[str]:
    seed = _read(PROJECT / "seeds/event_types.csv")
    return [row["event_type"] for row in csv.DictReader(seed.splitlines())]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise JobError(
            f"{path} cannot be read ({error.strerror}).", next_step="restore the file."
        ) from None
    except UnicodeDecodeError:
        raise JobError(f"{path} is not UTF-8 text.", next_step="save it as UTF-8.") from None


def _closest(loc: tuple[Any, ...], model: type[BaseModel]) -> str:
    """Return the allowed key that is closest to the one at `loc`, as a hint for the message."""
    for part in loc[:-1]:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        nested = [
            candidate
            for candidate in (annotation, *getattr(annotation, "__args__", ()))
            if isinstance(candidate, type) and issubclass(candidate, BaseModel)
        ]
        model = nested[0] if nested else model
    return _guess(str(loc[-1]), list(model.model_fields))


def _guess(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
