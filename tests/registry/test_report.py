"""report: one self-contained file with every part; the decision is added later."""

import re

import pytest
from support.training_world import NOW, new_warehouse, run

from python_jobs.registry.promotion import promote
from python_jobs.registry.published_report import DECISION, published_report, with_decision
from python_jobs.settings import Settings


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return a version's report and its input."""
    home, con = tmp_path_factory.mktemp("home"), new_warehouse(users=300)
    con.execute("update evaluation_set set plan = '<b>odd & bold</b>' where plan = 'free'")
    trained = run(con, home)
    return (home / "models" / trained.version / "report.html").read_text(), trained


def test_report_loads_nothing_from_elsewhere(page):
    """No link, script, style or image loads an address. XML namespaces are only names."""
    text = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page[0])
    assert not re.search(r"<(script|link|img|iframe|object)\b|@import|url\((?!#)", text)
    assert not re.search(r'(src|href)="(?!#)', text)


def test_report_has_every_part(page):
    text, trained = page
    for part in (
        "Precision and recall",
        "ROC",
        "Calibration",
        "Gain; lift",
        "Fold by fold",
        "Expected and realised",
    ):
        assert part in text
    for name in trained.metrics["models"]:
        assert name.replace("_", " ") in text
    for words in ("days since last activity", "events in 30 days", "watch minutes in 30 days"):
        assert f"<td>{words}</td>" in text
    assert text.count("<svg") == 4 and "Slices by plan" in text


def test_four_charts_share_a_page_without_clashing_ids(page):
    """Ids are unique, each chart refers to its own, and charts have a text for screen readers."""
    ids = re.findall(r'\bid="([^"]+)"', page[0])
    assert ids and len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', page[0])) == set(ids)
    told = re.findall(r'<svg role="img" aria-label="([^"]+)"', page[0])
    assert [words.split(",")[0] for words in told] == [
        "Precision and recall",
        "ROC",
        "Calibration",
        "Gain; lift of the model",
    ]


def test_report_shows_the_numbers_of_the_metrics(page):
    text, trained = page
    chosen = trained.metrics["models"][trained.metrics["selected"]]["folds"]["pooled"]
    for population in ("eligible", "all"):
        precision = chosen[population]["average_precision"]
        assert f"{precision['value']:.3f}<br>" in text
        assert f"({precision['low']:.3f} to {precision['high']:.3f})" in text


def test_text_from_the_data_is_escaped(page):
    assert "&lt;b&gt;odd &amp; bold&lt;/b&gt;" in page[0] and "<b>odd" not in page[0]


def test_the_decision_is_added_once_and_escaped(page):
    text, _ = page
    assert text.count(DECISION) == 1
    decided = with_decision(text, False, ["worse than <the> champion"], "2026-11-21 10:15")
    assert "Not promoted" in decided and "worse than &lt;the&gt; champion" in decided
    assert DECISION not in decided and '"decision yes"' not in decided
    assert '"decision yes"' in with_decision(text, True, ["good"], "2026-11-21 10:15")


def test_the_published_page_holds_the_newest_decision(tmp_path):
    con, settings = new_warehouse(users=300), Settings(home=tmp_path)
    version = run(con, tmp_path).version
    assert DECISION in published_report(con, settings, version)
    reasons = promote(con, settings, now=NOW).reasons
    page = published_report(con, settings, version)
    assert "<b>Promoted</b>, 2026-11-21 10:15 UTC" in page
    assert all(f"<li>{reason}</li>" in page for reason in reasons)
