"""The simulated e-learning users: their hidden moods, and the clean events they cause.

Each user is a small hidden Markov chain. Content users may turn sour (tickets, failed payments,
lower quiz scores) and recover. Both may stop at once or begin to fade: fading users come more
rarely until they stop for good. Only the mood changes activity. So the true probability of 30
days without activity follows from a recursion over 30 days.

Days are whole numbers since 1970-01-01, users are rows of `People`, counted from 0.
"""

from dataclasses import dataclass, fields

import numpy as np

PLANS = ("free", "basic", "premium")
COUNTRIES = ("US", "IN", "GB", "DE", "BR", "FR", "NG", "JP")
SOURCES = ("organic", "referral", "paid_search", "social_ads", "partner")
PLAN_SHARES = (0.45, 0.35, 0.20)
COUNTRY_SHARES = (0.28, 0.20, 0.12, 0.11, 0.10, 0.08, 0.06, 0.05)
SOURCE_SHARES = (0.35, 0.20, 0.20, 0.15, 0.10)
PLAN_KEENNESS = np.array([-0.15, 0.05, 0.25])  # added to the log of the session rate
SOURCE_RISK = np.array([1.0, 0.75, 1.1, 1.4, 0.9])  # users won by ads leave more often
PLAN_CENTS = np.array([0, 1200, 2900])

LOGIN, COURSE_ENROLL, VIDEO_WATCH, QUIZ_ATTEMPT = range(4)
PAYMENT_SUCCESS, PAYMENT_FAILED, SUPPORT_TICKET = range(4, 7)
UNKNOWN_TYPE = 7
EVENT_TYPES = (
    "login",
    "course_enroll",
    "video_watch",
    "quiz_attempt",
    "payment_success",
    "payment_failed",
    "support_ticket",
    "page_ping",  # an unknown event type
)
NO_VALUE = np.iinfo(np.int32).min

# The hidden moods and their daily effects. Nobody leaves FADING or STOPPED.
CONTENT, SOUR, FADING, STOPPED = range(4)
STOP_HAZARD = np.array([0.0004, 0.012, 0.0, 0.0])
FADE_HAZARD = np.array([0.0013, 0.038, 0.0, 0.0])
SOUR_HAZARD = 0.006
RECOVERY_HAZARD = 0.04
SOUR_ACTIVITY = 0.8  # sour people come a little less often
FADE_DAYS = (14, 42)  # from the first weaker day to the last: weeks, not days
MAX_RISK = 4.0  # keeps every sum of hazards far below 1
TICKETS = np.array([0.004, 0.06, 0.012, 0.0])  # per user and day
PAYMENT_FAILS = np.array([0.03, 0.35, 0.12, 0.35])  # per payment
QUIZ_DROP = np.array([0.0, 12.0, 8.0, 0.0])  # points

SESSIONS_PER_DAY = 0.72  # of the median user
RATE_SPREAD = 0.7  # standard deviation of the log rate
WEEK = np.array([1.12, 1.15, 1.12, 1.08, 0.93, 0.72, 0.88])  # Monday to Sunday, mean 1
VIDEOS, QUIZZES, ENROLLS = 1.5, 0.6, 0.1  # per session
COURSES = tuple(f"c{number:03}" for number in range(1, 201))
BILLING_DAYS = 30
PLAN_CHANGE_HAZARD = 0.0012  # the same in every mood, so the latest plan does not leak the future
TENURE_DAYS = 540  # people of the first day signed up within this many days before it
WARM_UP_DAYS = 45  # moods develop this long before the first day, so that it is a typical day
DIRT_SHARE = 0.01  # of each kind
FUTURE_DAYS = 40 * 365  # later than anyone will load these files
UNKNOWN_USERS = 90_000_000  # user numbers from here on do not exist
NO_ID = -1
NEVER = 2**30
HORIZON = 30
BLOCK = 1 << 16  # users at a time in the recursion, to stay within the processor's cache

Rows = dict[str, np.ndarray]


@dataclass
class People:
    """All users who ever signed up, one array entry each, with their hidden attributes."""

    signup_day: np.ndarray
    plan: np.ndarray
    country: np.ndarray
    source: np.ndarray
    rate: np.ndarray  # engagement: sessions on an average day while content
    risk: np.ndarray  # multiplies the hazards of souring, fading and stopping
    skill: np.ndarray  # mean quiz score while content
    fade_days: np.ndarray  # how long this user's fading would last
    mood: np.ndarray
    churn_day: np.ndarray  # first day without any activity to come, or NEVER

    def __len__(self) -> int:
        return len(self.rate)

    def join(self, others: "People") -> "People":
        """Return these users followed by the others."""
        return People(
            **{
                f.name: np.concatenate([vars(self)[f.name], vars(others)[f.name]])
                for f in fields(self)
            }
        )


def newcomers(signup_day: np.ndarray, rng: np.random.Generator) -> People:
    """Return new users for these signup days, all content, with random attributes."""
    n = len(signup_day)

    def choose(shares: tuple[float, ...]) -> np.ndarray:
        return np.searchsorted(np.cumsum(shares)[:-1], rng.random(n)).astype(np.int8)

    plan, country, source = choose(PLAN_SHARES), choose(COUNTRY_SHARES), choose(SOURCE_SHARES)
    keenness = rng.standard_normal(n)
    return People(
        signup_day=signup_day.astype(np.int32),
        plan=plan,
        country=country,
        source=source,
        rate=SESSIONS_PER_DAY * np.exp(RATE_SPREAD * keenness + PLAN_KEENNESS[plan]),
        risk=np.minimum(np.exp(-0.4 * keenness) * SOURCE_RISK[source], MAX_RISK),
        skill=rng.normal(72, 9, n),
        fade_days=rng.integers(FADE_DAYS[0], FADE_DAYS[1] + 1, n, dtype=np.int32),
        mood=np.zeros(n, np.int8),
        churn_day=np.full(n, NEVER, np.int32),
    )


def first_people(n: int, start: int, rng: np.random.Generator) -> People:
    """Return the users of the first day; some of them have already stopped."""
    people = newcomers(start - np.sort(rng.integers(1, TENURE_DAYS + 1, n))[::-1], rng)
    for day in range(start - WARM_UP_DAYS, start):
        advance(people, day, rng)
    return people


def advance(people: People, day: int, rng: np.random.Generator) -> None:
    """Change the moods in place, for the night before `day`."""
    mood = people.mood
    stop, fade = people.risk * STOP_HAZARD[mood], people.risk * FADE_HAZARD[mood]
    turn = np.select([mood == CONTENT, mood == SOUR], [people.risk * SOUR_HAZARD, RECOVERY_HAZARD])
    luck = rng.random(len(people))
    moved = np.flatnonzero((luck < stop + fade + turn) & (people.signup_day < day))
    luck, stop, fade = luck[moved], stop[moved], fade[moved]
    stops, fades = moved[luck < stop], moved[(luck >= stop) & (luck < stop + fade)]
    turns = moved[luck >= stop + fade]
    mood[turns] = np.where(mood[turns] == CONTENT, SOUR, CONTENT)
    mood[stops], mood[fades] = STOPPED, FADING
    people.churn_day[stops] = day
    people.churn_day[fades] = day + people.fade_days[fades] - 1


def session_rate(people: People, day: int) -> np.ndarray:
    """Return the expected sessions of each user on this day."""
    left = np.clip((people.churn_day - day) / people.fade_days, 0, 1)
    mood = np.where(people.mood == SOUR, SOUR_ACTIVITY, 1.0)
    rate: np.ndarray = people.rate * week(day) * left * mood
    return rate


def week(day: int) -> float:
    """Return the activity factor of this weekday, 1 on average (1970-01-01 was a Thursday)."""
    share: float = WEEK[(day + 3) % 7]
    return share


def churn_probability(people: People, day: int) -> np.ndarray:
    """Return P(no activity in the HORIZON days after `day` | hidden state at its end), per user."""
    steps, lengths = np.arange(1, HORIZON + 1), np.arange(FADE_DAYS[1] + 1)
    ahead = np.array([week(day + int(k)) for k in steps])
    # Expected sessions divided by the rate: with r days left of a fading of L days, and with a
    # fading of L days that begins k days from now.
    slope = 1 / np.maximum(lengths, 1)
    left_over = (np.clip(lengths[:, None] - steps, 0, None) @ ahead)[:, None] * slope
    age = steps[None, :] - steps[:, None] + 1
    share = np.clip(1 - age[:, :, None] * slope, 0, 1) * (age > 0)[:, :, None]
    begun = (share * ahead[None, :, None]).sum(axis=1)
    result = np.empty(len(people))
    for first in range(0, len(people), BLOCK):
        part = slice(first, first + BLOCK)
        mood, rate, risk = people.mood[part], people.rate[part], people.risk[part]
        fade_days = people.fade_days[part]
        content, sour = (mood == CONTENT) * 1.0, (mood == SOUR) * 1.0
        left = np.clip(people.churn_day[part] - day, 0, FADE_DAYS[1])
        silent = (mood >= FADING) * np.exp(-rate * left_over[left, fade_days])
        quiet = {w: np.exp(-rate * w) for w in set(ahead)}
        quiet_sour = {w: quiet[w] ** SOUR_ACTIVITY for w in quiet}
        souring = risk * SOUR_HAZARD
        for k, w in enumerate(ahead):
            stopping = risk * (STOP_HAZARD[CONTENT] * content + STOP_HAZARD[SOUR] * sour)
            fading = risk * (FADE_HAZARD[CONTENT] * content + FADE_HAZARD[SOUR] * sour)
            silent += stopping + fading * np.exp(-rate * begun[k][fade_days])
            left_content = 1 - souring - risk * (STOP_HAZARD[CONTENT] + FADE_HAZARD[CONTENT])
            left_sour = 1 - RECOVERY_HAZARD - risk * (STOP_HAZARD[SOUR] + FADE_HAZARD[SOUR])
            content, sour = (
                (content * left_content + sour * RECOVERY_HAZARD) * quiet[w],
                (sour * left_sour + content * souring) * quiet_sour[w],
            )
        result[part] = silent + content + sour
    return np.minimum(result, 1.0)


def change_plans(people: People, day: int, rng: np.random.Generator) -> np.ndarray:
    """Move a few active users to another plan, in place; return their row numbers."""
    who = np.flatnonzero(
        (rng.random(len(people)) < PLAN_CHANGE_HAZARD)
        & (people.signup_day < day)
        & (people.churn_day > day)
    )
    people.plan[who] = (people.plan[who] + rng.integers(1, 3, len(who))) % len(PLANS)
    return who


def clean_events(people: People, day: int, rng: np.random.Generator) -> Rows:
    """Return all valid events of one day by time: user, day, second, kind, course, value.

    `course` is 0 if there is none. `value` is in tenths of minutes, tenths of points or cents,
    depending on the kind of event, or NO_VALUE.
    """
    sessions = rng.poisson(session_rate(people, day))
    sessions[(people.signup_day == day) & (sessions == 0)] = 1  # new users have a first session
    active = np.flatnonzero(sessions)
    sessions = sessions[active]
    counts = [sessions, *(rng.poisson(mean * sessions) for mean in (ENROLLS, VIDEOS, QUIZZES))]
    spots = np.concatenate([np.repeat(np.arange(len(active)), count) for count in counts])
    logins, enrolls, videos, quizzes = (int(count.sum()) for count in counts)

    # A day begins between 6 and 22 o'clock, most often around 14, and lasts up to 90 minutes.
    begin = 21_600 + rng.integers(0, 28_800, (2, len(active)), dtype=np.int32).sum(
        axis=0, dtype=np.int32
    )
    second = begin[spots] + rng.integers(0, 5_400, len(spots), dtype=np.int32)

    watcher = active[spots[logins + enrolls : logins + enrolls + videos]]
    vigour = np.clip((people.churn_day[watcher] - day) / people.fade_days[watcher], 0.2, 1)
    minutes = 1 + rng.standard_gamma(2, videos) * 80 * vigour
    pupil = active[spots[logins + enrolls + videos :]]
    score = people.skill[pupil] - QUIZ_DROP[people.mood[pupil]] + 10 * rng.standard_normal(quizzes)

    users = np.arange(len(people))
    billed = users[
        (people.plan > 0)
        & ((day - people.signup_day) % BILLING_DAYS == 0)
        & (day - people.churn_day < BILLING_DAYS)  # users who stop pay at most once more
    ]
    failed = rng.random(len(billed)) < PAYMENT_FAILS[people.mood[billed]]
    upset = users[
        (rng.random(len(people)) < TICKETS[people.mood])
        & (people.signup_day < day)
        & (people.churn_day > day)
    ]
    others = len(billed) + len(upset)

    rows = {
        "user": np.concatenate([active[spots], billed, upset]).astype(np.int32),
        "second": np.concatenate([second, rng.integers(0, 86_400, others, dtype=np.int32)]),
        "kind": np.concatenate(
            [
                np.repeat(np.arange(4, dtype=np.int8), (logins, enrolls, videos, quizzes)),
                np.where(failed, PAYMENT_FAILED, PAYMENT_SUCCESS).astype(np.int8),
                np.full(len(upset), SUPPORT_TICKET, np.int8),
            ]
        ),
        "course": np.concatenate(
            [
                np.zeros(logins, np.int16),
                rng.integers(1, len(COURSES) + 1, enrolls + videos + quizzes, dtype=np.int16),
                np.zeros(others, np.int16),
            ]
        ),
        "value": np.concatenate(
            [
                np.full(logins + enrolls, NO_VALUE, np.int32),
                minutes.astype(np.int32),
                np.clip(score * 10, 0, 1000).astype(np.int32),
                PLAN_CENTS[people.plan[billed]].astype(np.int32),
                np.full(len(upset), NO_VALUE, np.int32),
            ]
        ),
    }
    order = np.argsort((rows["second"] // 60).astype(np.uint16), kind="stable")
    rows = {name: column[order] for name, column in rows.items()}
    return {**rows, "day": np.full(len(order), day, np.int32)}


def broken_events(clean: Rows, rng: np.random.Generator) -> list[Rows]:
    """Return additional invalid rows; each is a copy of a clean row with one fault."""
    everything = np.arange(len(clean["user"]))
    videos = np.flatnonzero(clean["kind"] == VIDEO_WATCH)
    quizzes = np.flatnonzero(clean["kind"] == QUIZ_ATTEMPT)
    without_id, odd_type, future, stranger = (some_of(clean, everything, rng) for _ in range(4))
    negative, too_good = some_of(clean, videos, rng), some_of(clean, quizzes, rng)
    without_id["event"][:] = NO_ID
    odd_type["kind"][:] = UNKNOWN_TYPE
    future["day"] += FUTURE_DAYS
    stranger["user"] += UNKNOWN_USERS
    negative["value"] *= -1
    too_good["value"] += 1001  # tenths of points
    return [without_id, odd_type, future, stranger, negative, too_good]


def some_of(rows: Rows, among: np.ndarray, rng: np.random.Generator) -> Rows:
    """Return copies of a random DIRT_SHARE of the rows, for one kind of fault."""
    picked = among[rng.random(len(among)) < DIRT_SHARE]
    return {name: column[picked] for name, column in rows.items()}
