"""A small part of bench/campaigns.py: the loop of list, contact, outcome and learning is real."""

import importlib.util
import math
import sys

import pytest

from python_jobs import terminal
from python_jobs.settings import PROJECT

SPEC = importlib.util.spec_from_file_location("campaigns", PROJECT / "bench/campaigns.py")


@pytest.mark.nightly
def test_two_weeks_of_lists_are_worked_off_and_measured(tmp_path, monkeypatch):
    campaigns = importlib.util.module_from_spec(SPEC)
    monkeypatch.setitem(sys.modules, "campaigns", campaigns)
    SPEC.loader.exec_module(campaigns)
    monkeypatch.setattr(terminal.console, "quiet", True)
    (found,) = campaigns.play(tmp_path, seed=1, effects=[0.6], users=200, weeks=2, places=20)
    # all who were called count, but for those of whom no later day is known
    assert 30 <= found.measured <= 40
    low, value, high = found.claimed[1], found.claimed[0], found.claimed[2]
    assert low < value < high and math.isfinite(found.truth)
    assert found.missing > 0 and "contacts with an outcome" in found.effect_model
    # nobody beats the list that knows the truth, and it costs what it costs
    assert max(found.money.values()) == found.money["best"] > 0
    assert found.contacts["risk"] == 20
    assert -20 * campaigns.OFFER_COST <= found.money["risk"] < found.money["best"]
