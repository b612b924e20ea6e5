"""Show whether lists learn from campaigns: simulated worlds in which contacts work, and do not.

    .venv/bin/python bench/campaigns.py --seeds 10

Each seed is a synthetic world with a model in production. It is copied for each effect. Then, for
some weeks, the real product makes a list with random places, a simulated team calls it, and the
next days arrive. A month later, the lists that one could make are compared by the world's hidden
truth: by risk, by expected gain with the domain's constant save_rate, and by what was learned.
"""

import argparse
import contextlib
import math
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from python_jobs import pipeline, terminal
from python_jobs.ingest import domain as domains
from python_jobs.ingest.domain import Domain
from python_jobs.settings import PROJECT, Settings
from python_jobs.synthetic.generate import generate
from python_jobs.warehouse.dbt import BEFORE_MODELS, Dbt

START = date(2025, 1, 1)
FIRST_DAYS = 89  # to a Sunday, the day of which the truth is known
QUIET_DAYS = 28  # after the last contact, until all outcomes but the last are closed
SAVE_RATE, OFFER_COST, HOLDOUT = 0.3, 5.0, 0.2
SETTINGS = """  top_k: {places}
  offer_cost: {cost}
  save_rate: {rate}
  holdout_share: {holdout}
  list: {{order: gain, explore_share: 0.5}}
  value: {{sql: "case plan when 'premium' then 150 when 'basic' then 100 else 50 end"}}
  max_rejected_share: 0.10
"""
LISTS = ("list_history", "churn_top_risk", "scored_features", "build_log")
RESULTS = (*LISTS, "policy_value", "campaign_lift")
UNTESTED = ("--exclude-resource-type", "test", "unit_test")
POLICIES = {
    "risk": "order by risk_rank",
    "constant": f"and expected_loss * {SAVE_RATE} > {OFFER_COST} order by expected_loss desc",
    "learned": "and expected_gain > 0 order by expected_gain desc",
    "best": "and true_gain > 0 order by true_gain desc",
}
"""SQL that chooses and orders candidates; `best` knows the truth."""

WORTH = """
    with candidates as (
        select
            predictions.*,
            expected_gain,
            user_value * (churn_probability - churn_probability_if_contacted) - {cost} as true_gain
        from churn_predictions_latest as predictions
        inner join contact_candidates using (user_id, as_of_date)
        inner join read_parquet($truth) as truth using (user_id, as_of_date)
        where left_out_because is null
    )
    select coalesce(sum(true_gain), 0), count(*)
    from (select true_gain from candidates where true {choice} limit {places})
"""
TRUE_VALUE = """
    select avg(user_value * (churn_probability - churn_probability_if_contacted)) - {cost}
    from list_outcomes
    inner join read_parquet($truth) as truth using (user_id, as_of_date)
    where is_treated
"""

LIFTS = """
    select difference_low, difference_high, (
        select avg(churn_probability_if_contacted - churn_probability)
        from campaign_outcomes as outcomes
        inner join read_parquet($truth) as truth using (user_id, as_of_date)
        where
            outcomes.campaign = campaign_lift.campaign
            and outcomes.month = campaign_lift.month
            and is_treated
    )
    from campaign_lift
    where treated_measured >= 20
"""


@dataclass(frozen=True)
class Outcome:
    """What one world came to. Money is true: of the world's hidden effects."""

    seed: int
    effect: float
    money: dict[str, float]  # of each policy's list
    contacts: dict[str, int]  # users on each policy's list
    claimed: tuple[float, float, float] | None  # policy_value of the list, with its bounds
    truth: float  # the same, as it truly was
    measured: int  # contacts that policy_value rests on
    missing: int | None  # contacts, by policy_value
    lifts: list[tuple[float, float, float]]  # bounds of each month's lift, and what it truly was
    effect_model: str  # what was decided about it


class _ParsedDbt(Dbt):
    """dbt that parses the project once for all homes of this process."""

    parsed: Any = None

    def parse(self) -> Any:
        self._manifest = _ParsedDbt.parsed
        _ParsedDbt.parsed = super().parse()
        return _ParsedDbt.parsed


class World:
    """One home, and the product's jobs over it."""

    def __init__(self, home: Path, domain_folder: Path) -> None:
        self.settings = Settings(home=home, domains=domain_folder)
        self.domain: Domain = domains.load("elearning", self.settings)
        self.dbt = _ParsedDbt(self.settings)

    def begin(self, users: int, seed: int) -> None:
        """Make the first days, and put a model into production."""
        self.live(FIRST_DAYS, users=users, seed=seed)
        self.build(*BEFORE_MODELS)
        pipeline.train(self.settings, seed, 0)
        pipeline.promote(self.settings, None)

    def live(self, days: int, **parameters: Any) -> None:
        """Let days pass, and ingest them."""
        generate(
            self.settings.raw,
            self.settings.truth,
            days=days,
            start=START,
            holdout_share=HOLDOUT,
            **parameters,
        )
        pipeline.ingest(self.settings, self.domain, None)

    def build(self, *selection: str) -> None:
        """Build tables with dbt, as `churnhouse build` does, without the tests."""
        pipeline.build(self.settings, self.domain, self.dbt, (*selection, *UNTESTED), "build")

    def up_to(self, names: Iterable[str]) -> None:
        """Build these models and all before them."""
        self.build("--select", *(f"+{name}" for name in names))

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query over the warehouse."""
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            return connection.execute(query, parameters).fetchall()


def play(
    folder: Path,
    *,
    seed: int,
    effects: Sequence[float],
    users: int = 1000,
    weeks: int = 12,
    places: int = 60,
) -> list[Outcome]:
    """Play one world for each effect, all from the same first days, below an empty folder."""
    domain_folder = folder / "domains"
    shutil.copytree(PROJECT / "domains/elearning", domain_folder / "elearning")
    file = domain_folder / "elearning/domain.yml"
    added = SETTINGS.format(places=places, cost=OFFER_COST, rate=SAVE_RATE, holdout=HOLDOUT)
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = "".join(line for line in lines if not line.startswith("  max_rejected_share"))
    file.write_text(kept.replace("  measures:\n", added + "  measures:\n", 1), encoding="utf-8")
    shared = World(folder / "shared", domain_folder)
    shared.begin(users, seed)
    outcomes = []
    for effect in effects:
        home = folder / f"effect-{effect:g}"
        shutil.copytree(folder / "shared", home)
        world = World(home, domain_folder)
        for _ in range(weeks):
            world.up_to(LISTS)
            listed = world.rows("select user_id from churn_top_risk order by list_rank")
            called = [user_id for (user_id,) in listed]
            world.live(7, append=True, effect=effect, called=called)
        world.live(QUIET_DAYS, append=True, called=[])
        world.up_to(RESULTS)
        if pipeline.learn_effect(world.settings, seed):
            world.up_to(LISTS)
        outcomes.append(_outcome(world, seed, effect, places))
        shutil.rmtree(home)
    return outcomes


def _outcome(world: World, seed: int, effect: float, places: int) -> Outcome:
    truth = world.settings.truth
    effects, contacts = (
        str(truth / name / "*.parquet") for name in ("contact_effects", "contacts")
    )
    found = {
        name: world.rows(
            WORTH.format(cost=OFFER_COST, choice=choice, places=places), truth=effects
        )[0]
        for name, choice in POLICIES.items()
    }
    query = "select value_kept, value_kept_low, value_kept_high, contacted, missing_contacts"
    query += " from policy_value"
    *claimed, measured, missing = world.rows(f"{query} where policy = 'list'")[0]
    (true_value,) = world.rows(TRUE_VALUE.format(cost=OFFER_COST), truth=contacts)[0]
    return Outcome(
        seed=seed,
        effect=effect,
        money={name: money for name, (money, _) in found.items()},
        contacts={name: users for name, (_, users) in found.items()},
        claimed=None if claimed[0] is None else (claimed[0], claimed[1], claimed[2]),
        truth=true_value if true_value is not None else math.nan,
        measured=measured,
        missing=missing,
        lifts=world.rows(LIFTS, truth=contacts),
        effect_model=world.rows("select reason from ml.effect_models order by decided_at desc")[0][
            0
        ],
    )


def interval(values: Sequence[float]) -> str:
    """Return the mean over seeds with its 95 % interval (Student's t)."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:,.0f}"
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return f"{mean:,.0f} ({mean - half:,.0f} to {mean + half:,.0f})"


def report(outcomes: list[Outcome], console: Console) -> None:
    """Print, for each effect, the money of each list and how often the claims were true."""
    for effect in dict.fromkeys(outcome.effect for outcome in outcomes):
        worlds = [outcome for outcome in outcomes if outcome.effect == effect]
        table = Table(title=f"effect {effect:g}, {len(worlds)} worlds: money of the next list")
        for column in ("list", "users", "true money", "more than by risk", "more than constant"):
            table.add_column(column, justify="left" if column == "list" else "right")
        for name in POLICIES:
            table.add_row(
                name,
                f"{np.mean([world.contacts[name] for world in worlds]):.0f}",
                interval([world.money[name] for world in worlds]),
                interval([world.money[name] - world.money["risk"] for world in worlds]),
                interval([world.money[name] - world.money["constant"] for world in worlds]),
            )
        console.print(table)
        claims = [(w.claimed, w.truth) for w in worlds if w.claimed]
        covered = sum(low <= truth <= high for (_, low, high), truth in claims)
        above = sum(low > truth for (_, low, _), truth in claims)
        console.print(
            f"policy_value: the interval holds the true value in {covered} of {len(claims)} worlds"
            f" and lies above it in {above}; claimed {interval([c[0] for c, _ in claims])} per "
            f"contact, truly {interval([truth for _, truth in claims])}, from "
            f"{np.mean([world.measured for world in worlds]):.0f} contacts; the effect model was "
            f"promoted in {sum('lists follow it' in world.effect_model for world in worlds)}"
        )
        lifts = [lift for world in worlds for lift in world.lifts]
        covered = sum(low <= truth <= high for low, high, truth in lifts)
        claimed = sum(low * high > 0 for low, high, _ in lifts)
        console.print(
            f"campaign_lift: the interval holds the true difference of {covered} of {len(lifts)} "
            f"months of campaigns, and leaves out 0 in {claimed}"
        )


def main() -> None:
    """Play the worlds of some seeds and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--weeks", type=int, default=12)
    parser.add_argument("--places", type=int, default=60, help="on each list")
    parser.add_argument("--effects", type=float, nargs="+", default=[0.6, 0.0])
    given = parser.parse_args()
    console = Console(width=140)
    terminal.console.quiet = True
    outcomes: list[Outcome] = []
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(PROJECT):
            outcomes += play(
                Path(folder),
                seed=seed,
                effects=given.effects,
                users=given.users,
                weeks=given.weeks,
                places=given.places,
            )
        console.print(*outcomes[-len(given.effects) :], sep="\n")
    report(outcomes, console)


if __name__ == "__main__":
    main()
