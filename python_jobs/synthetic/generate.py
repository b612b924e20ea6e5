"""Synthetic e-learning data: raw files as a feed delivers them, and the hidden truth.

Each day is simulated with its own random stream, and the state is saved beside the truth. So 120
days and one appended day give the same bytes as 121 days. An event is in the file of the day on
which it arrives; some events are late, some are broken. With an effect, a retention team contacts
users, and what follows differs from a world without it; see campaigns.py.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from python_jobs.errors import JobError
from python_jobs.files import sql_text
from python_jobs.synthetic import campaigns, world
from python_jobs.synthetic.campaigns import Team
from python_jobs.synthetic.world import People, Rows

FIRST_SHARE = 2 / 3  # of `users` have signed up before the first day
SIGNUP_DAYS = 120  # the others sign up within this many days; growth continues at this pace
LATE_SHARE = 0.04
LATENESS = (0.50, 0.22, 0.13, 0.09, 0.06)  # of late events: one to five days
COPY_DELAY = (0.4, 0.3, 0.2, 0.1)  # a duplicate comes zero to three days after its original
EPOCH = date(1970, 1, 1)
_SHOWN = ("signup_day", "plan", "country", "source")  # of a user, in the users file

USERS_SQL = f"""
    select
        printf('u%07d', number + 1) as user_id,
        (date '1970-01-01' + signup_day)::varchar as signup_date,
        {list(world.PLANS)}[plan + 1] as plan,
        {list(world.COUNTRIES)}[country + 1] as country,
        {list(world.SOURCES)}[source + 1] as marketing_source,
        make_timestamp((day * 86400::bigint + second) * 1000000) as updated_at
    from rows"""

EVENTS_SQL = f"""
    select
        case when event != {world.NO_ID} then printf('e%012d', event) end as event_id,
        printf('u%07d', "user" + 1) as user_id,
        make_timestamp((day * 86400::bigint + second) * 1000000) as event_time,
        {list(world.EVENT_TYPES)}[kind + 1] as event_type,
        {list(world.COURSES)}[course] as course_id,  -- the 0th is null
        case when kind = {world.VIDEO_WATCH} then value / 10 end as watch_minutes,
        case when kind = {world.QUIZ_ATTEMPT} then value / 10 end as quiz_score,
        case when kind in ({world.PAYMENT_SUCCESS}, {world.PAYMENT_FAILED})
            then value / 100 end as amount
    from rows"""

TRUE_USERS_SQL = f"""
    select
        printf('u%07d', number + 1) as user_id,
        engagement,
        ['stays', 'stays', 'fades', 'stops'][mood + 1] as churn_kind,
        case when churn_day < {world.NEVER} then date '1970-01-01' + churn_day end as churn_date
    from rows"""

TRUE_PROBABILITY_SQL = """
    select
        printf('u%07d', number + 1) as user_id,
        date '1970-01-01' + day as as_of_date,
        churn_probability
    from rows"""


@dataclass(frozen=True)
class Generated:
    """Counts of users and event rows in all files so far; `files` are the new files."""

    users: int
    events: int
    first_day: date
    last_day: date
    files: tuple[Path, ...]


@dataclass
class _World:
    """The state on which the next day depends."""

    asked: dict[str, Any]  # the parameters of the first call
    days: int  # days simulated so far
    events: int  # rows in all files
    next_event: int
    people: People
    pending: Rows  # events that have happened but not yet arrived
    team: Team | None = None

    @property
    def start(self) -> int:
        return (date.fromisoformat(self.asked["start"]) - EPOCH).days


def generate(
    raw: Path,
    truth: Path,
    *,
    users: int = 2000,
    days: int = 120,
    start: date = date(2025, 1, 1),
    seed: int = 7,
    append: bool = False,
    effect: float | None = None,
    holdout_share: float = 0.05,
    called: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Generated:
    """Write the raw files of `days` days to `raw` and the hidden truth to `truth`.

    `users`: how many have signed up by day 120, two thirds of them before the first day, the
    others at a steady pace that continues in appended days. `append`: continue the data in
    `truth`; users, start and seed are then taken from there. `effect`: a team contacts users, and
    this is how strongly contacts work, 0 to 1; None for no team, or when appending for the team
    that is there. `holdout_share`: the team never contacts this share of users. `called`: ids of
    the users whom the team contacts on the first Monday of these days, instead of its own choice,
    and nobody on the others. Existing data with the same parameters are left unchanged. Raises
    JobError for other data in `raw`, for nothing to append to, for numbers that are too small,
    and for a user in `called` who is not in the data.
    """
    if users < 1 or days < 1 or seed < 0:
        raise JobError(
            f"A world needs users and days above 0 and a seed of at least 0, "
            f"not {users}, {days} and {seed}.",
            next_step="correct the numbers.",
        )
    asked = {"users": users, "days": days, "start": start.isoformat(), "seed": seed}
    if effect is not None:
        asked |= {"effect": effect, "holdout_share": holdout_share}
    state = truth / ".world.npz"
    header = _header(state)
    if append:
        if not header or not _all_there(raw, header):
            raise JobError(
                f"There is no finished world in {raw} to append to.",
                next_step="generate one without append first.",
            )
        here = _load(state)
        if effect is not None:
            here.team = here.team or Team(effect, holdout_share)
            here.team.effect = effect
        if called is not None and here.team is None:
            raise JobError(
                "These data have no team that could call anybody.",
                next_step="add --campaigns.",
            )
    else:
        taken = any(raw.glob("users/*")) or any(raw.glob("events/*"))
        if taken and (not header or header["asked"] != asked):
            raise JobError(
                f"{raw} already holds {_described(header)}.",
                next_step="append to it, or empty the raw and truth folders first.",
            )
        if taken and header and _all_there(raw, header):
            return _report(header, ())
        for stale in [*truth.glob("*/*.parquet"), *raw.glob("treatments/*.parquet")]:
            stale.unlink()
        here = _begin(asked)
        _save(state, here)  # marks an interrupted run as ours, so that it can be run again

    files, last = [], here.days + days
    with duckdb.connect() as db:
        while here.days < last:
            day = here.start + here.days
            files += _one_day(db, here, raw, truth)
            if here.team and campaigns.is_contact_day(day, here.days):
                files += _contacts(db, here, raw, truth, called)
                called = None if called is None else ()
            if progress:
                progress(days - (last - here.days), days)
        people = here.people
        known: Rows = {
            "number": np.arange(len(people)),
            "engagement": people.rate,
            "mood": people.mood,
            "churn_day": people.churn_day,
        }
        _write(db, TRUE_USERS_SQL, known, truth / "users.parquet")
    _save(state, here)
    return _report(_summary(here), tuple(files))


def is_finished(raw: Path, truth: Path) -> bool:
    """Return True if generated data are there with all their files."""
    header = _header(truth / ".world.npz")
    return header is not None and _all_there(raw, header)


def _begin(asked: dict[str, Any]) -> _World:
    start = (date.fromisoformat(asked["start"]) - EPOCH).days
    rng = np.random.default_rng([asked["seed"], 0])
    people = world.first_people(_signed_up(asked["users"], 0), start, rng)
    team = Team(asked["effect"], asked["holdout_share"]) if "effect" in asked else None
    return _World(asked, days=0, events=0, next_event=1, people=people, pending={}, team=team)


def _signed_up(users: int, days: int) -> int:
    """Return how many users have signed up by the end of day number `days`."""
    first = round(users * FIRST_SHARE)
    return first + (users - first) * days // SIGNUP_DAYS


def _one_day(db: duckdb.DuckDBPyConnection, here: _World, raw: Path, truth: Path) -> list[Path]:
    """Simulate the next day and write its files."""
    day, users = here.start + here.days, here.asked["users"]
    here.days += 1
    rng = np.random.default_rng([here.asked["seed"], here.days])
    signups = _signed_up(users, here.days) - _signed_up(users, here.days - 1)
    known = len(here.people)
    here.people = here.people.join(world.newcomers(np.full(signups, day), rng))
    world.advance(here.people, day, rng)
    changed = world.change_plans(here.people, day, rng)
    new = np.concatenate([np.arange(known, known + signups), changed])
    news = new if here.days > 1 else np.arange(known + signups)
    clean = world.clean_events(here.people, day, rng)
    if here.team:
        here.team.meet(here.people)
        here.team.see(clean, day)
    happened = _feed(here, clean, day, rng)
    due = happened["arrival"] == day
    arrived = {name: column[due] for name, column in happened.items()}
    here.pending = {name: column[~due] for name, column in happened.items()}
    here.events += len(arrived["event"])

    name = f"{EPOCH + timedelta(days=day)}.parquet"
    files = [raw / "users" / name, raw / "events" / name]
    _write(db, USERS_SQL, _user_rows(here.people, news, day, rng), files[0])
    _write(db, EVENTS_SQL, arrived, files[1])
    if (day + 4) % 7 == 0:
        probability = world.churn_probability(here.people, day)
        rows: Rows = {
            "number": np.arange(len(probability)),
            "day": np.full(len(probability), day, np.int32),
            "churn_probability": probability,
        }
        _write(db, TRUE_PROBABILITY_SQL, rows, truth / "churn_probability" / name)
        if here.team:
            rows["churn_probability_if_contacted"] = campaigns.churn_probability(
                here.people, day, here.team.effect
            )
            _write(db, campaigns.TRUE_EFFECTS_SQL, rows, truth / "contact_effects" / name)
    return files


def _contacts(
    db: duckdb.DuckDBPyConnection,
    here: _World,
    raw: Path,
    truth: Path,
    called: Sequence[str] | None,
) -> list[Path]:
    """Let the team contact users on the last day, and write its file if there are any."""
    assert here.team is not None
    day = here.start + here.days - 1
    # a stream of its own, so that the same people sign up and the same luck strikes without a team
    rng = np.random.default_rng([here.asked["seed"], here.days, 1])
    if called is None:
        who = here.team.choose(here.people, day, rng)
    else:
        who = campaigns.numbers_of(called, here.people)
    if not len(who):
        return []
    here.people, rows, truths = campaigns.contact(here.team, here.people, who, day, rng)
    name = f"{EPOCH + timedelta(days=day)}.parquet"
    _write(db, campaigns.TREATMENTS_SQL, rows, raw / "treatments" / name)
    _write(db, campaigns.TRUE_CONTACTS_SQL, truths, truth / "contacts" / name)
    return [raw / "treatments" / name]


def _user_rows(people: People, who: np.ndarray, day: int, rng: np.random.Generator) -> Rows:
    return {
        "number": who,
        **{column: getattr(people, column)[who] for column in _SHOWN},
        "day": np.full(len(who), day, np.int32),
        "second": rng.integers(0, 86_400, len(who), dtype=np.int32),
    }


def _feed(here: _World, clean: Rows, day: int, rng: np.random.Generator) -> Rows:
    """Return all events still to arrive: pending ones and the day's, with ids, dirt and delays."""
    valid = len(clean["user"])
    clean["event"] = np.zeros(valid, np.int64)
    rows = _joined([clean, *world.broken_events(clean, rng)])
    count = len(rows["user"])
    rows["event"] = np.where(
        rows["event"] == world.NO_ID, world.NO_ID, here.next_event + np.arange(count)
    )
    here.next_event += count
    late = rng.random(count) < LATE_SHARE
    rows["arrival"] = np.full(count, day, np.int32)
    rows["arrival"][late] += _days(LATENESS, late.sum(), rng) + 1

    copies = world.some_of(rows, np.arange(valid), rng)
    copies["arrival"] += _days(COPY_DELAY, len(copies["arrival"]), rng)
    np.minimum(copies["arrival"], day + len(LATENESS), out=copies["arrival"])
    return _joined([here.pending, rows, copies])


def _days(shares: tuple[float, ...], n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(len(shares), n, p=shares).astype(np.int32)


def _joined(parts: list[Rows]) -> Rows:
    """Return the rows of all parts, joined by column; an empty dict counts as no rows."""
    return {name: np.concatenate([p[name] for p in parts if p]) for name in parts[-1]}


def _write(db: duckdb.DuckDBPyConnection, sql: str, rows: Rows, path: Path) -> None:
    """Write the query over `rows` as one Parquet file; it appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent.parent / ".unfinished"  # no reader of raw files looks there
    db.register("rows", rows)
    try:
        db.execute(f"copy ({sql}) to {sql_text(unfinished)} (format parquet, compression zstd)")
        unfinished.replace(path)
    finally:
        db.unregister("rows")
        unfinished.unlink(missing_ok=True)


def _save(path: Path, here: _World) -> None:
    """Save the state for the next call. The header can be read without the rest."""
    people = {f"people.{name}": column for name, column in vars(here.people).items()}
    pending = {f"pending.{name}": column for name, column in here.pending.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(".unfinished.npz")
    columns: dict[str, Any] = people | pending
    if here.team:
        columns |= {f"team.{name}": getattr(here.team, name) for name in campaigns.ARRAYS}
    np.savez(unfinished, header=np.array(json.dumps(_summary(here))), **columns)
    unfinished.replace(path)


def _summary(here: _World) -> dict[str, Any]:
    summary = {
        "asked": here.asked,
        "days": here.days,
        "events": here.events,
        "next_event": here.next_event,
        "users": len(here.people),
    }
    if here.team:
        facts = vars(here.team).items()
        summary["team"] = {name: fact for name, fact in facts if name not in campaigns.ARRAYS}
    return summary


def _header(path: Path) -> dict[str, Any] | None:
    """Return the header of the saved state; None if there is none."""
    if not path.exists():
        return None
    with np.load(path) as kept:
        header: dict[str, Any] = json.loads(str(kept["header"]))
    return header


def _load(path: Path) -> _World:
    with np.load(path) as kept:
        header = json.loads(str(kept["header"]))
        parts: dict[str, Rows] = {"people": {}, "pending": {}, "team": {}}
        for name in kept.files:
            part, _, column = name.partition(".")
            if column:
                parts[part][column] = kept[name]
    del header["users"]
    facts: dict[str, Any] | None = header.pop("team", None)
    team = None if facts is None else Team(**(facts | parts["team"]))
    return _World(**header, people=People(**parts["people"]), pending=parts["pending"], team=team)


def _all_there(raw: Path, header: dict[str, Any]) -> bool:
    """Return True if every file of the saved state is still in the raw folder."""
    start = date.fromisoformat(header["asked"]["start"])
    names = [f"{start + timedelta(days=day)}.parquet" for day in range(header["days"])]
    files = [raw / kind / name for kind in ("users", "events") for name in names]
    contact_days = header.get("team", {}).get("contact_days", [])
    files += [raw / f"treatments/{EPOCH + timedelta(days=day)}.parquet" for day in contact_days]
    return bool(names) and all(file.exists() for file in files)


def _described(header: dict[str, Any] | None) -> str:
    if header is None:
        return "files that were not generated together with this truth folder"
    return "a world of " + ", ".join(f"{name} {value}" for name, value in header["asked"].items())


def _report(header: dict[str, Any], files: tuple[Path, ...]) -> Generated:
    first = date.fromisoformat(header["asked"]["start"])
    last = first + timedelta(days=header["days"] - 1)
    return Generated(header["users"], header["events"], first, last, files)
