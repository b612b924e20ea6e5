"""promote: the decision by a table of cases, then its effect on pointer and record."""

import json
import math
import re
import shutil
from datetime import timedelta

import pytest
from support.training_world import (
    NOW,
    months_later,
    new_warehouse,
    run,
    scramble_labels,
    warehouse_by_plan,
)

from python_jobs.errors import JobError
from python_jobs.publication.models import RULES, in_words
from python_jobs.registry import store
from python_jobs.registry.promotion import ChampionComparison, decide, promote
from python_jobs.settings import Settings
from python_jobs.training.bootstrap import Interval
from python_jobs.training.metrics import RANKING


def compared(challenger, champion, half=0.05):
    """Return a comparison with an interval of difference +/- `half`."""
    lead = challenger - champion
    bounds = (None, None) if math.isnan(lead) else (lead - half, lead + half)
    return ChampionComparison(challenger, champion, Interval(lead, *bounds), 9, "x")


GOOD = {RANKING: 0.6, "roc_auc": 0.8, "base_rate": 0.3}
WEAK = {"recency": {RANKING: 0.5}, "prior_rate": {RANKING: 0.3}}
UNKNOWN = GOOD | {RANKING: None}
EQUAL = compared(0.6, 0.6)
BETTER = compared(0.7, 0.6)
CASES = {
    "beats everybody, no champion": (GOOD, WEAK, None, True, "no model is in"),
    "better than the champion": (GOOD, WEAK, BETTER, True, "better than"),
    "better by chance": (GOOD, WEAK, compared(0.649, 0.6), False, "^no better than"),
    "as good as the champion": (GOOD, WEAK, compared(0.6, 0.6), False, "^no better than"),
    "worse by chance": (GOOD, WEAK, compared(0.6, 0.649), False, "^no better than"),
    "worse beyond the interval": (GOOD, WEAK, compared(0.6, 0.6501), False, "^worse than"),
    "champion not measurable": (GOOD, WEAK, compared(0.6, math.nan), False, "^cannot be told"),
    "challenger not measurable": (GOOD, WEAK, compared(math.nan, 0.6), False, "^cannot be told"),
    "loses to a baseline, which is only told": (
        GOOD,
        WEAK | {"rfm": {RANKING: 0.61}},
        None,
        True,
        "average precision within dates 0.6000, 0.6100 of rfm",
    ),
    "a baseline is not measurable": (
        GOOD,
        {"rfm": {RANKING: None}},
        None,
        True,
        "no model is in production",
    ),
    "nothing can be measured, no champion": (UNKNOWN, WEAK, None, True, "^average.*could not be"),
    "nothing can be measured": (UNKNOWN, WEAK, BETTER, False, "could not be measured"),
    "own precision is NaN": (GOOD | {RANKING: math.nan}, WEAK, BETTER, False, "measured"),
    "another metric is NaN": (GOOD | {"roc_auc": math.nan}, WEAK, BETTER, False, "^roc_auc could"),
    "another metric is missing": (GOOD | {"roc_auc": None}, WEAK, BETTER, False, "^roc_auc could"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_decision_follows_the_table_of_cases(case):
    challenger, baselines, comparison, promoted, reason = case
    decision = decide(challenger, baselines, comparison, has_champion=comparison is not None)
    assert decision.is_promoted is promoted
    assert re.search(reason, decision.reason)


MUST_GO = {
    "better": (BETTER, True, "better than"),
    "equal": (EQUAL, True, "no better than.*it is old$"),
    "worse by chance": (compared(0.6, 0.649), True, "no better than.*it is old$"),
    "worse": (compared(0.6, 0.7), False, "^worse than"),
    "cannot be compared": (None, True, "cannot be compared with it; it is old$"),
}


@pytest.mark.parametrize("comparison, promoted, reason", MUST_GO.values(), ids=MUST_GO)
def test_champion_that_must_go_is_replaced_by_what_is_not_worse(comparison, promoted, reason):
    decision = decide(GOOD, {}, comparison, has_champion=True, must_go="it is old")
    assert decision.is_promoted is promoted and re.search(reason, decision.reason)


def test_champion_that_cannot_be_compared_stays():
    decision = decide(GOOD, WEAK, None, has_champion=True)
    assert not decision.is_promoted and "cannot be compared" in decision.reason


def test_every_objection_is_listed():
    assert len(decide(UNKNOWN, {}, compared(0.1, 0.2), has_champion=True).reasons) == 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the folder of a version trained on the data of every test."""
    home = tmp_path_factory.mktemp("trained")
    return home, run(new_warehouse(users=300), home).version


@pytest.fixture
def world(trained, tmp_path):
    home, version = trained
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    return new_warehouse(users=300), Settings(home=tmp_path), version


def decisions(con):
    return con.execute(
        "select version, champion, is_promoted, decided_at from ml.promotions order by decided_at"
    ).fetchall()


def test_the_first_good_version_becomes_production_and_is_recorded(world):
    con, settings, version = world
    decision = promote(con, settings, now=NOW)
    assert (decision.is_promoted, decision.version, decision.champion) == (True, version, None)
    assert store.production(settings.models).version == version
    assert decisions(con) == [(version, None, True, NOW.replace(tzinfo=None))]


def test_metrics_of_an_earlier_release_are_judged_the_same(world, monkeypatch):
    """An earlier release called the baselines rivals in metrics.json."""
    con, settings, _ = world
    honest = store.read_json

    def earlier(models, version, name):
        text = json.dumps(honest(models, version, name))
        return json.loads(text.replace('"kind": "baseline"', '"kind": "rival"'))

    monkeypatch.setattr(store, "read_json", earlier)
    decision = promote(con, settings, now=NOW)
    assert set(decision.numbers["baselines"]) == {"prior_rate", *RULES}


def test_version_of_an_earlier_release_without_metrics_by_date_is_promoted(world, monkeypatch):
    con, settings, version = world
    honest = store.read_json

    def earlier(models, name_of_version, name):
        def without(content):
            if isinstance(content, dict):
                return {k: without(v) for k, v in content.items() if not k.endswith("_by_date")}
            return content

        return without(honest(models, name_of_version, name))

    monkeypatch.setattr(store, "read_json", earlier)
    assert promote(con, settings, now=NOW).is_promoted
    assert store.production(settings.models).version == version


def test_promoting_the_production_version_does_nothing_and_says_so(world):
    con, settings, version = world
    promote(con, settings, now=NOW)
    before = store.production(settings.models)
    lines = []
    again = promote(
        con, settings, now=NOW + timedelta(days=1), version=version, progress=lines.append
    )
    assert not again.is_promoted and "already" in again.reason and "already" in lines[0]
    assert store.production(settings.models) == before
    assert len(decisions(con)) == 1


def test_equal_version_replaces_the_champion_only_from_the_age_set(world):
    """Same data: the champion's recipe is compared on the same folds."""
    con, settings, first = world
    promote(con, settings, now=NOW)
    second = run(con, settings.home, now=NOW + timedelta(hours=1)).version

    def decided(days, limit):
        now = NOW + timedelta(days=days)
        return promote(con, settings, now=now, replace_after_days=limit)

    for days, limit in ((900, None), (89, 90)):
        decision = decided(days, limit)
        assert not decision.is_promoted and "again on the same folds" in decision.reason
    decision = decided(90, 90)
    assert decision.is_promoted and "the champion is 90 days old" in decision.reason
    pointer = store.production(settings.models)
    assert (pointer.version, pointer.previous) == (second, first)


def test_champion_whose_features_are_gone_is_replaced(world):
    con, settings, _ = world
    promote(con, settings, now=NOW)
    con.execute("alter table evaluation_set drop column payment_fail_rate_30d")
    second = run(con, settings.home, now=NOW + timedelta(days=1)).version
    decision = promote(con, settings, now=NOW + timedelta(days=1))
    assert decision.is_promoted and "features are gone" in decision.reason
    assert store.production(settings.models).version == second


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"horizon_days": 14}, "the champion predicts 30 days, not 14"),
        ({"attributes": ()}, "the champion uses plan, which the new version does not"),
        ({"candidates": ["hist_gradient_boosting"]}, "is no longer a candidate"),
    ],
)
def test_champion_of_withdrawn_settings_is_replaced(tmp_path, options, reason):
    con, settings = warehouse_by_plan(), Settings(home=tmp_path)
    kept = {"attributes": ("plan",), "candidates": ["logistic_regression"]}
    run(con, settings.home, **kept)
    promote(con, settings, now=NOW)
    later = NOW + timedelta(days=1)
    second = run(con, settings.home, now=later, **kept | options).version
    decision = promote(con, settings, now=later)
    assert decision.is_promoted and reason in decision.reason
    assert store.production(settings.models).version == second


def test_rule_that_no_candidate_beats_is_published_as_one(world):
    """Churn depends on inactivity and noise alone, so no model can beat recency."""
    con, settings, _ = world
    con.execute("""
        update evaluation_set set churn_label =
            days_since_last_activity + hash(user_id, as_of_date) % 8 > 14
    """)
    later = NOW + timedelta(days=1)
    registered = run(con, settings.home, now=later)
    assert registered.manifest["estimator"] in RULES
    card = (settings.models / registered.version / "model_card.md").read_text()
    assert f"Model: {in_words(registered.manifest['estimator'])}" in card
    assert "None beyond the rule's own logistic regression." in card
    decision = promote(con, settings, now=later)
    assert decision.is_promoted and "average precision within dates" in decision.reason
    assert store.production(settings.models).version == registered.version


def test_both_models_are_compared_on_rows_neither_has_seen(world):
    con, settings, _ = world
    promote(con, settings, now=NOW)
    months_later(con)
    later = NOW + timedelta(days=70)
    run(con, settings.home, now=later)
    decision = promote(con, settings, now=later)
    assert "held-out rows that neither has seen" in decision.reason


def test_a_champion_that_still_does_better_stays(world):
    """The champion knows the pattern; the challenger learned from scrambled labels."""
    con, settings, first = world
    promote(con, settings, now=NOW)
    months_later(con)
    scramble_labels(con)
    later = NOW + timedelta(days=70)
    second = run(con, settings.home, now=later).version
    decision = promote(con, settings, now=later)
    assert not decision.is_promoted and "worse than the champion" in decision.reason
    assert store.production(settings.models).version == first
    assert decisions(con)[1] == (second, first, False, later.replace(tzinfo=None))


def test_only_rows_a_horizon_after_the_champions_last_date_count(world):
    """The last training date is 30 March: 29 April is fair, 28 April is not."""
    con, settings, version = world
    promote(con, settings, now=NOW)
    for days, fair in ((29, False), (30, True)):
        con.execute(f"""
            create or replace table evaluation_set as
            from world where as_of_date <= date '2025-03-30' union all by name
            select * replace (as_of_date + {days} as as_of_date)
            from world where as_of_date = date '2025-03-30';
            update build_window set data_through = '2025-06-30'
        """)
        later = NOW + timedelta(days=days)
        run(con, settings.home, now=later)
        decision = promote(con, settings, now=later, version=store.versions(settings.models)[-1])
        assert ("neither has seen" in decision.reason) is fair
        pointer = store.Production(version, "2026-11-21T10:15:00Z", None)
        store.write_json(settings.models / "production.json", pointer.__dict__)


def test_without_any_version_the_next_step_is_train(tmp_path):
    with pytest.raises(JobError, match="churnhouse train"):
        promote(new_warehouse(users=5), Settings(home=tmp_path), now=NOW)


@pytest.mark.parametrize("name", ["model.onnx", "model.joblib", "metrics.json", "held_out.parquet"])
def test_a_version_with_a_tampered_file_is_refused_by_name(world, name):
    con, settings, version = world
    path = settings.models / version / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(JobError, match=name):
        promote(con, settings, now=NOW)
    assert store.production(settings.models) is None and decisions(con) == []


def test_promotion_that_lost_a_race_records_nothing(world, monkeypatch):
    """Another run promoted a version after this one had read the pointer."""
    con, settings, version = world
    truth = store.swap_production(settings, None, version, NOW)
    seen = iter([None, truth])
    monkeypatch.setattr(store, "production", lambda models: next(seen))
    with pytest.raises(JobError, match="faster"):
        promote(con, settings, now=NOW)
    assert decisions(con) == []
    assert json.loads((settings.models / "production.json").read_text())["version"] == version
