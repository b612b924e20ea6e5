"""Options that a build would ignore are refused in one line: vars, days, selections."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from support import parsed
from support.tiny import DAY_TABLES, Tiny, day

from python_jobs import pipeline
from python_jobs.errors import JobError
from python_jobs.warehouse.dbt import Dbt


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Tiny:
    """Return six days of one user, built up to the fifth."""
    tiny = Tiny(tmp_path_factory.mktemp("built") / "data")
    visits = [(f"e{n}", "ann", f"{day(n)} 12:00:00", "visit", 1) for n in range(6)]
    tiny.load([("ann", day(0), "a", f"{day(0)} 00:00:00")], visits)
    tiny.build()
    return tiny


def refused(tiny: Tiny, *selection: str, **variables: str) -> str:
    """Give the one line of a build that must fail."""
    with parsed.once(), pytest.raises(JobError) as error:
        Dbt(tiny.settings, variables).build(selection)
    line = str(error.value)
    assert "\n" not in line and line.count("Next: ") == 1, line
    return line


def test_dbt_vars_are_refused_and_the_right_setting_is_named(built):
    line = refused(built, "--select", "days", churn_horizon_days="14", rewrite_from="2025-03-02")
    assert "no churn_horizon_days from --vars" in line and "domains/tiny/domain.yml" in line
    assert "Next: change them there, run `churnhouse ingest --domain tiny`" in line


def test_var_reserved_for_unit_tests_is_refused(built):
    assert "no domain from --vars" in refused(built, "--select", "days", domain="{}")


def test_recompute_from_needs_build_window_in_the_selection(built):
    line = refused(built, "--select", "user_daily", rewrite_from="2025-03-02")
    assert "build_window alone, which was not selected. Next: select +build_window" in line


@pytest.mark.parametrize("selection", [["nosuch"], ["days", "nosuch"], ["tag:nosuch", "days"]])
def test_a_selected_name_that_does_not_exist_is_named(built, selection):
    line = refused(built, "--select", *selection)
    assert "nosuch' does not match any" in line and "Next: correct the selection" in line


def test_empty_selection_is_refused(built):
    line = refused(built, "--select", "days", "--exclude", "days")
    assert "Nothing to do" in line and "Next: correct the selection" in line


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--selct", "days"], "No such option '--selct'"),
        (["days"], "unexpected extra argument"),
        (["--select"], "'--select' requires an argument"),
    ],
)
def test_unknown_dbt_option_is_named(built, typed, told):
    line = refused(built, *typed)
    assert told in line and "Next: see `churnhouse build --help`" in line


def test_without_raw_tables_the_next_step_is_ingest(tmp_path: Path):
    line = refused(Tiny(tmp_path), *DAY_TABLES)
    assert "no raw tables in this warehouse. Next: run `churnhouse ingest`." in line


def test_a_day_after_the_last_built_one_is_refused(built):
    last = built.rows("select data_through from build_window")[0][0]
    pipeline.check_from_day(built.settings, last)
    with pytest.raises(JobError, match=f"after {last}, the last day that was built.* Next: "):
        pipeline.check_from_day(built.settings, last + timedelta(days=1))


def test_a_day_before_the_first_recomputes_everything(built):
    early = date(2020, 1, 1)
    pipeline.check_from_day(built.settings, early)
    built.build(variables={"rewrite_from": str(early)})
    assert built.rows("select rewrite_from = data_from from build_window") == [(True,)]


def test_any_day_is_accepted_before_the_first_build(tmp_path: Path):
    tiny = Tiny(tmp_path)
    tiny.load([("ann", day(0), "a", f"{day(0)} 00:00:00")])
    pipeline.check_from_day(tiny.settings, date(2030, 1, 1))
