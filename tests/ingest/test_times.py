"""times: text becomes the moment it says, in any zone, or is no time at all."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_jobs.files import sql_text
from python_jobs.ingest import times
from python_jobs.publication import ids

ZONES = ("UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia")
MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1)).map(  # noqa: DTZ001 - UTC, as all raw times
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)


@pytest.fixture(scope="module")
def db():
    with duckdb.connect() as connection:
        yield connection


def read(db, texts: list[str], zone: str, written: str | None = None, kind="timestamp"):
    """Return what ingest makes of texts in a domain of this time zone."""
    db.execute(f"set TimeZone = {sql_text(zone)}")
    text = times.formatted("x", written) if written else times.tidied("x")
    query = times.read("y", kind, "VARCHAR", zone)
    rows = f"(select {text} as y from (select unnest(?) as x))"
    return [row[0] for row in db.execute(f"select {query} from {rows}", [texts]).fetchall()]


def utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


@given(st.lists(MOMENTS, min_size=1, max_size=20), st.sampled_from(ZONES))
def test_text_without_an_offset_is_in_the_domains_zone(db, moments, zone):
    local = [moment.replace(tzinfo=ZoneInfo(zone)) for moment in moments]
    # an hour that summer time repeats or skips has no single answer
    single = [
        m
        for m in local
        if m.utcoffset() == m.replace(fold=1).utcoffset()
        and m.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        == m.replace(tzinfo=None)
    ]
    naive = [m.replace(tzinfo=None) for m in single]
    assert read(db, [m.isoformat(" ") for m in naive], zone) == [utc(m) for m in single]
    assert read(db, [m.isoformat() for m in naive], zone, kind="date") == [m.date() for m in naive]
    german = [f"{m:%d.%m.%Y %H:%M}" for m in naive]
    expected = [utc(m.replace(second=0, microsecond=0)) for m in single]
    assert read(db, german, zone, "%d.%m.%Y %H:%M") == expected


@given(
    st.lists(st.tuples(MOMENTS, st.integers(-14 * 4, 14 * 4)), min_size=1, max_size=20),
    st.sampled_from(ZONES),
    st.sampled_from([" ", "T"]),
    st.sampled_from(["", " "]),
)
def test_text_with_an_offset_means_the_same_everywhere(db, moments, zone, middle, before):
    texts, expected = [], []
    for moment, quarters in moments:
        sign, minutes = "-" if quarters < 0 else "+", abs(quarters) * 15
        offset = f"{sign}{minutes // 60:02}{minutes % 60:02}"
        texts.append(moment.isoformat(middle) + before + offset)
        expected.append(moment - timedelta(minutes=quarters * 15))
    assert read(db, texts, zone) == expected


@given(st.lists(MOMENTS, min_size=1, max_size=20), st.sampled_from(ZONES))
def test_epochs_are_read_in_their_unit(db, moments, zone):
    whole = [m.replace(microsecond=0) for m in moments]
    seconds = [int(m.replace(tzinfo=UTC).timestamp()) for m in whole]
    for unit, factor in (("seconds", 1), ("milliseconds", 1000), ("microseconds", 10**6)):
        assert read(db, [str(s * factor) for s in seconds], zone, f"epoch_{unit}") == whole


@pytest.mark.parametrize(
    "text",
    ["25-01-05 10:00", "05/01/25", "soon", "2025-13-01", "infinity", "1769940000", "", "10:30"],
)
def test_text_that_is_no_time_is_no_time(db, text):
    assert read(db, [text], "UTC") == [None]
    assert read(db, [text], "UTC", kind="date") == [None]


def test_text_that_does_not_fit_the_format_is_not_guessed(db):
    fifth = datetime(2025, 1, 5)  # noqa: DTZ001 - UTC, as all raw times
    assert read(db, ["2025-01-05", "5.1.2025"], "UTC", "%d.%m.%Y") == [None, fifth]
    assert read(db, ["5.1.25"], "UTC", "%d.%m.%y", "date") == [date(2025, 1, 5)]


@given(st.lists(st.text(max_size=300), min_size=1, max_size=20))
def test_ids_that_ingest_accepts_can_be_looked_up(db, texts):
    """The conditions are those of macros/measures/longest_id.sql and has_control_characters.sql."""
    texts = [text.replace("\x00", "\x01") for text in texts]
    rows = db.execute(
        f"select length(x) <= {ids.LENGTH} and not regexp_matches(x, '[\\x00-\\x1f\\x7f]') "
        "and x <> '' from (select unnest(?) as x)",
        [texts],
    ).fetchall()
    assert [row[0] for row in rows] == [ids.is_id(text) for text in texts]
