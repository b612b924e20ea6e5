"""A simulated retention team: whom it contacts each week, and what a contact truly changes.

A contact works from the night after its day. It keeps a user who is about to leave, or left a few
days ago, with a chance that falls with the silence and rises with the plan. Users won by ads take
it badly: it may make them leave. Content users of other sources do not notice it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from python_jobs.errors import JobError
from python_jobs.publication.holdout import in_holdout
from python_jobs.synthetic import world
from python_jobs.synthetic.world import People, Rows

FIRST_DAYS = 30  # without contacts
MONDAY = 4  # day 4 since 1970-01-01
WEEKLY_SHARE = 0.03  # of all users are contacted in a week
PAUSE_DAYS = 28  # between two contacts of a user
QUIET_DAYS = (5, 21)  # of silence; most contacts are with such users
QUIET_SHARE = 0.7  # of contacts
GIVEN_UP_DAYS = 30  # of silence
REACHED_SHARE = 0.8  # of contacts reach the user; the others change nothing
HALF_LIFE = 7  # days of silence after which a contact keeps half as many
PLAN_OPENNESS = np.array([0.4, 1.0, 1.6])  # free, basic, premium
ANNOYED_SOURCE = world.SOURCES.index("social_ads")
ANNOYED_SHARE = 0.3  # of the effect: the chance that a contact drives such a user away
CHANNELS = ("phone", "email")
OUTCOMES = ("reached", "no answer")
NOTES = ("wants a cheaper plan", "no time at the moment", "liked the call")
CALLERS = ("Ana", "Ben", "Chen")
NEVER_SEEN = -(2**30)
ARRAYS = ("last_seen", "last_contact", "holdout")  # of a team
UNCHANGED, KEPT, DRIVEN_AWAY = range(3)

TREATMENTS_SQL = f"""
    select
        printf('u%07d', number + 1) as user_id,
        make_timestamp((day * 86400::bigint + second) * 1000000) as treated_at,
        strftime(date '1970-01-01' + day, 'calls %Y-%m') as campaign,
        {list(CHANNELS)}[channel + 1] as channel,
        {list(OUTCOMES)}[outcome + 1] as outcome,
        {list(NOTES)}[note] as note,  -- the 0th is null
        {list(CALLERS)}[by_whom + 1] as "by"
    from rows"""

TRUE_CONTACTS_SQL = """
    select
        printf('u%07d', number + 1) as user_id,
        date '1970-01-01' + day as as_of_date,
        churn_probability,
        churn_probability_if_contacted,
        ['unchanged', 'kept', 'driven_away'][change + 1] as change
    from rows"""

TRUE_EFFECTS_SQL = """
    select
        printf('u%07d', number + 1) as user_id,
        date '1970-01-01' + day as as_of_date,
        churn_probability,
        churn_probability_if_contacted
    from rows"""


@dataclass
class Team:
    """The team's state. Arrays have one entry per user; days are numbers since 1970-01-01."""

    effect: float
    holdout_share: float
    contact_days: list[int] = field(default_factory=list)
    last_seen: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    last_contact: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    holdout: np.ndarray = field(default_factory=lambda: np.empty(0, bool))

    def meet(self, people: People) -> None:
        """Take up the users who signed up since the last call."""
        known, new = len(self.last_seen), len(people) - len(self.last_seen)
        unseen = np.full(new, NEVER_SEEN, np.int32)
        drawn = [in_holdout(user_id(known + n), self.holdout_share) for n in range(new)]
        self.last_seen = np.concatenate([self.last_seen, unseen])
        self.last_contact = np.concatenate([self.last_contact, unseen])
        self.holdout = np.concatenate([self.holdout, np.array(drawn, bool)])

    def see(self, events: Rows, day: int) -> None:
        """Note who was active on `day`."""
        self.last_seen[events["user"][events["kind"] <= world.QUIZ_ATTEMPT]] = day

    def choose(self, people: People, day: int, rng: np.random.Generator) -> np.ndarray:
        """Return whom the team contacts on `day`, never the holdout.

        QUIET_SHARE are drawn among users silent for some days, the others among all others.
        """
        silent = day - self.last_seen
        rested = day - self.last_contact > PAUSE_DAYS
        free = rng.permutation(np.flatnonzero(~self.holdout & rested & (silent <= GIVEN_UP_DAYS)))
        first, last = QUIET_DAYS
        is_quiet = (silent[free] >= first) & (silent[free] <= last)
        quiet, others = free[is_quiet], free[~is_quiet]
        places = round(WEEKLY_SHARE * len(people))
        quiet = quiet[: round(QUIET_SHARE * places)]
        return np.concatenate([quiet, others[: places - len(quiet)]])


def user_id(number: int) -> str:
    """Return the id of a user by number, counted from 0."""
    return f"u{number + 1:07d}"


def numbers_of(user_ids: Sequence[str], people: People) -> np.ndarray:
    """Return the numbers of users. Raises JobError for an id that the generator did not make."""
    numbers = {user_id(number): number for number in range(len(people))}
    if strangers := [one for one in user_ids if one not in numbers]:
        raise JobError(
            f"The generated data have no user {strangers[0]!r}, whom the list names.",
            next_step="use a list that was published from these data.",
        )
    return np.array([numbers[one] for one in user_ids], np.int64)


def is_contact_day(day: int, days: int) -> bool:
    """Return True if the team contacts users on `day`, the `days`-th of the data."""
    return (day - MONDAY) % 7 == 0 and days > FIRST_DAYS


def response(people: People, day: int, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """Return each user's chances that a contact at the end of `day` keeps them, or drives them off.

    `effect`: the chance, 0 to 1, that a basic user about to leave is kept, if they are reached.
    """
    silent = np.maximum(day - people.churn_day + 1, 0)
    fresh = 0.5 ** (silent / HALF_LIFE)
    open_minded = np.minimum(effect * PLAN_OPENNESS[people.plan], 1.0)
    annoyed = people.source == ANNOYED_SOURCE
    keep = np.where((people.mood != world.CONTENT) & ~annoyed, open_minded * fresh, 0.0)
    drive = np.where((people.mood < world.STOPPED) & annoyed, effect * ANNOYED_SHARE, 0.0)
    return REACHED_SHARE * keep, REACHED_SHARE * drive


def churn_probability(people: People, day: int, effect: float) -> np.ndarray:
    """Return P(no activity in the HORIZON days after `day` | a contact at its end), per user."""
    keep, drive = response(people, day, effect)
    as_it_is, kept, driven = (
        world.churn_probability(changed(people, np.full(len(people), change), day), day)
        for change in (UNCHANGED, KEPT, DRIVEN_AWAY)
    )
    result: np.ndarray = keep * kept + drive * driven + (1 - keep - drive) * as_it_is
    return result


def changed(people: People, change: np.ndarray, day: int) -> People:
    """Return the users after their contacts of `day`: UNCHANGED, KEPT or DRIVEN_AWAY."""
    kept, driven = change == KEPT, change == DRIVEN_AWAY
    return replace(
        people,
        mood=np.select([kept, driven], [world.CONTENT, world.STOPPED], people.mood).astype(np.int8),
        churn_day=np.select(
            [kept, driven], [world.NEVER, np.minimum(people.churn_day, day + 1)], people.churn_day
        ).astype(np.int32),
    )


def contact(
    team: Team, people: People, who: np.ndarray, day: int, rng: np.random.Generator
) -> tuple[People, Rows, Rows]:
    """Contact these users at the end of `day`.

    Returns the users afterwards, the rows of TREATMENTS_SQL, and those of TRUE_CONTACTS_SQL.
    """
    keep, drive = response(people, day, team.effect)
    luck, n = rng.random(len(who)), len(who)
    # the unlucky were not reached, or reached in vain; so the outcome tells little
    reached = luck < REACHED_SHARE
    kept = luck < keep[who]
    driven = ~kept & (luck < keep[who] + drive[who])
    change = np.zeros(len(people), np.int8)
    change[who] = np.select([kept, driven], [KEPT, DRIVEN_AWAY], UNCHANGED)
    rows: Rows = {
        "number": who,
        "day": np.full(n, day, np.int32),
        "second": rng.integers(9 * 3600, 17 * 3600, n, dtype=np.int32),
        "channel": rng.integers(0, len(CHANNELS), n),
        "outcome": np.where(reached, 0, 1),
        "note": np.where(reached & (rng.random(n) < 0.2), rng.integers(1, len(NOTES) + 1, n), 0),
        "by_whom": rng.integers(0, len(CALLERS), n),
    }
    truth: Rows = {
        "number": who,
        "day": rows["day"],
        "churn_probability": world.churn_probability(people, day)[who],
        "churn_probability_if_contacted": churn_probability(people, day, team.effect)[who],
        "change": change[who],
    }
    team.last_contact[who] = day
    team.contact_days.append(day)
    return changed(people, change, day), rows, truth
