"""judging: tables of all models by fold and population, and the choice among them."""

import numpy as np
import pytest

from python_jobs.training import judging, metrics
from python_jobs.training.metrics import METRICS
from python_jobs.training.splits import HeldOut, Rows

DAY = np.datetime64("2025-03-02")


def held_out() -> tuple[Rows, HeldOut]:
    """Two folds of four rows; only `good` ranks them right; the last row is not eligible."""
    y = np.array([1, 0, 0, 0, 1, 0, 0, 1])
    dates = DAY + np.repeat([0, 7], 4)
    eligible = np.arange(8) < 7
    rows = Rows(np.zeros((8, 1), np.float32), y, dates, np.arange(8).astype(str), eligible)
    risks = {"bad": np.full(8, 0.5), "good": 0.1 + 0.8 * y, "rule": np.linspace(0, 1, 8)}
    return rows, HeldOut(np.arange(8), np.repeat(["1", "2"], 4), risks, [])


def test_tables_separate_folds_and_populations():
    tables = judging.judge(*held_out(), candidates={"bad", "good"})
    assert {n: t["kind"] for n, t in tables.items()} == {
        "bad": "candidate",
        "good": "candidate",
        "rule": "baseline",
    }
    counts = {
        (fold, who): (m["rows"], m["positives"])
        for fold, populations in tables["good"]["folds"].items()
        for who, m in populations.items()
    }
    assert counts == {
        ("1", "eligible"): (4, 1),
        ("1", "all"): (4, 1),
        ("2", "eligible"): (3, 1),
        ("2", "all"): (4, 2),
        ("pooled", "eligible"): (7, 2),
        ("pooled", "all"): (8, 3),
    }
    assert judging.pooled(tables, "good")["average_precision"] == 1
    assert judging.best_model(tables) == "good"
    assert judging.best_model(judging.judge(*held_out(), candidates={"bad"})) == "bad"


def test_first_candidate_wins_a_tie_and_a_missing_value_loses():
    rows, held = held_out()
    held.risks.update(bad=held.risks["good"])
    tables = judging.judge(rows, held, candidates={"bad", "good"})
    assert judging.best_model(tables) == "bad"
    tables["bad"]["folds"]["pooled"]["eligible"][metrics.RANKING]["value"] = None
    assert judging.best_model(tables) == "good"


def test_rule_wins_a_tie_with_a_candidate():
    rows, held = held_out()
    held.risks.update(recency=held.risks["good"])
    assert judging.best_model(judging.judge(rows, held, candidates={"bad", "good"})) == "recency"


def test_rate_for_everybody_is_never_chosen():
    rows, held = held_out()
    held.risks.update(prior_rate=held.risks["good"], good=held.risks["bad"])
    tables = judging.judge(rows, held, candidates={"bad", "good"})
    assert judging.best_model(tables) in ("bad", "good")


def test_no_model_is_best_where_none_can_be_measured():
    rows, held = held_out()
    rows.y[:] = 1
    assert judging.best_model(judging.judge(rows, held, candidates={"bad", "good"})) is None


def test_expected_and_realised_churn_are_told_by_date():
    """The last row of the second date is not eligible."""
    rows, held = held_out()
    first, second = judging.levels(rows, held, "good")
    assert first == {
        "as_of_date": "2025-03-02",
        "fold": "1",
        "rows": 4,
        "mean_risk": pytest.approx(0.3),
        "base_rate": 0.25,
    }
    assert (second["as_of_date"], second["rows"]) == ("2025-03-09", 3)
    assert (second["mean_risk"], second["base_rate"]) == pytest.approx((1.1 / 3, 1 / 3))


def test_rows_for_sql_hold_every_number_once():
    tables = judging.judge(*held_out(), candidates={"bad", "good"})
    found = list(judging.metric_rows(tables))
    assert len({row[:4] for row in found}) == len(found) == 3 * 3 * 2 * len(METRICS)
    assert ("good", "pooled", "eligible", "roc_auc", 1.0, 1.0, 1.0, 7) in found


def test_repeated_rows_of_users_do_not_narrow_the_interval():
    """Every user's row repeated on five dates: values and bounds stay as they were."""
    rng = np.random.default_rng(4)
    n = 200
    y = (rng.random(n) < 0.3).astype(int)
    risk = np.clip(0.3 * y + 0.7 * rng.random(n), 0, 1)

    def judged(times):
        users = np.tile(np.arange(n).astype(str).astype(object), times)
        days = DAY + np.repeat(np.arange(times), n)
        rows = Rows(
            np.zeros((n * times, 1)), np.tile(y, times), days, users, np.ones(n * times, bool)
        )
        fold = np.full(n * times, "1")
        held = HeldOut(np.arange(n * times), fold, {"model": np.tile(risk, times)}, [])
        found = judging.judge(rows, held, candidates={"model"})["model"]["folds"]["pooled"]
        return [
            found["eligible"][name][part]
            for name in ("average_precision", "roc_auc", "log_loss", "brier")
            for part in ("value", "low", "high")
        ]

    once = judged(1)
    assert once[1] < once[0] - 0.02 < once[2]
    assert judged(5) == pytest.approx(once, abs=1e-6)


def test_no_slice_is_of_few_users_or_of_an_attribute_that_names_them():
    """Users count, not rows: ten rows of each of ten users are of ten users."""
    n = 100
    users = np.repeat(np.array([f"u{i}" for i in range(n)], object), 10)
    days = np.tile(DAY + np.arange(10), n)
    texts = {
        "plan": np.repeat(["free"] * 50 + ["paid"] * 25 + ["gift"] * 15 + ["trial"] * 10, 10),
        "country": np.repeat(["DE"] * 90 + ["FR"] * 10, 10),
        "email": np.array([f"{user}@x.example" for user in users], object),
        "nick": np.array([f"nick of {int(user[1:]) // 4}" for user in users], object),
        "phone": np.repeat(["unknown"] * 45 + [f"+49 {i}" for i in range(55)], 10),
    }
    rng = np.random.default_rng(3)
    y, risk = rng.integers(0, 2, n * 10), rng.random(n * 10)
    rows = Rows(np.zeros((n * 10, 1)), y, days, users, np.ones(n * 10, bool), texts)
    held = HeldOut(np.arange(n * 10), np.full(n * 10, "1"), {"model": risk}, [])
    found = judging.slices(rows, held, "model")
    assert {name: {v: part["rows"] for v, part in of.items()} for name, of in found.items()} == {
        "plan": {"free": 500, "paid": 250, "other": 250},
        "country": {"DE": 900},
    }
