"""What cannot be true is rejected by name, an outage is no silence, any legal name builds."""

from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.site import Site

from python_jobs.errors import JobError
from python_jobs.publication import ids
from python_jobs.settings import PROJECT
from python_jobs.warehouse import build_notes

START = date(2026, 1, 1)
COLUMNS = "{id: text, who: text, at: timestamp, kind: text, amount: number}"
VARS = """
  users_from_events: true
  max_rejected_share: 1
  expected_weekdays: []
  min_day_share: 0
  churn_horizon_days: 7
  eligibility_days: 14
  event_types: {visit: {is_activity: true}, buy: {is_activity: true}}
  measures:
    - {name: visits, event_type: visit, agg: count}
    - {name: spend, event_type: buy, agg: sum, column: amount}
  checks: {amount: {max: 1000}}
"""
SQL = """create or replace temp view events as
select id as event_id, who as user_id, "at" as event_time, kind as event_type, amount,
    if(kind = 'test', 'test_account', null) as reject_reason
from events_file"""
HEADER = "id,who,at,kind,amount\n"


def yml(extra: str = "") -> str:
    return f"files: {{events: {{path: '*', columns: {COLUMNS}}}}}\nvars:{VARS}{extra}"


def visits(days, users=("ann", "bob")) -> list[str]:
    return [f"{u}{n},{u},{START + timedelta(n)} 10:00:00,visit," for n in days for u in users]


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    """A log in which every row-level check fails at least once, loaded and built."""
    site = Site(tmp_path_factory.mktemp("dirty"), yml(), SQL)
    lines = [
        *visits(range(20)),
        "p1,NULL,2026-01-05 10:00:00,visit,",
        "p2, None ,2026-01-05 10:00:00,visit,",
        "p3,undefined,2026-01-05 10:00:00,visit,",
        "p4,-1,2026-01-05 10:00:00,visit,",
        "p5,,2026-01-05 10:00:00,visit,",
        ",ann,2026-01-05 10:00:00,visit,",
        "t1,ann,1970-01-01 00:00:00,visit,",
        "t2,ann,2099-01-01 00:00:00,visit,",
        "t3,ann,26-01-05 10:00,visit,",
        "t4,ann,soon,visit,",
        "n1,ann,2026-01-05 10:00:00,buy,nan",
        "n2,ann,2026-01-05 10:00:00,buy,inf",
        "n3,ann,2026-01-05 10:00:00,buy,5000",
        "k1,ann,2026-01-05 10:00:00,dance,",
        "k2,ann,2026-01-05 10:00:00,test,",
        "o1,ann,2026-01-05 23:30:00 -0500,buy,7",
        "ann3,ann,2026-01-04 10:00:00,visit,",
    ]
    site.put("a.csv", HEADER + "\n".join(lines) + "\n")
    done = site.ingest()
    site.build()
    return site, done


def test_rejects_are_named_at_ingest_as_the_build_names_them(dirty):
    site, done = dirty
    told = Counter({one.reason: one.rows for one in done.rejected if one.table == "events"})
    query = "select reject_reason, count(*) from rejected_events group by 1"
    assert told == Counter(dict(site.rows(query)))
    assert told == {
        "missing_user_id": 5,
        "missing_event_id": 1,
        "event_time_before_first_day": 1,
        "event_time_after_arrival": 1,
        "unreadable_event_time": 2,
        "amount_not_a_number": 2,
        "amount_out_of_range": 1,
        "unknown_event_type": 1,
        "test_account": 1,
    }
    samples = {one.reason: one.sample for one in done.rejected}
    assert samples["event_time_before_first_day"] == "1970-01-01 00:00:00"
    assert samples["unreadable_event_time"] in ("26-01-05 10:00", "soon")
    assert site.rows("select reject_reason, event_id from set_aside_events") == [
        ("repeated_event", "ann3")
    ]


def test_one_row_of_1970_moves_neither_the_data_nor_a_signup(dirty):
    site, _ = dirty
    assert site.rows("select data_from, data_through from build_window") == [
        (START, START + timedelta(19))
    ]
    assert site.rows("select user_id, signup_date from accepted_users order by 1") == [
        ("ann", START),
        ("bob", START),
    ]


def test_offset_after_a_space_is_read(dirty):
    site, _ = dirty
    assert site.rows("select event_time::varchar from accepted_events where event_id = 'o1'") == [
        ("2026-01-06 04:30:00",)
    ]


def test_gate_names_the_commonest_reasons_with_a_value(tmp_path):
    site = Site(tmp_path, yml().replace("max_rejected_share: 1", "max_rejected_share: 0.1"), SQL)
    lines = visits(range(4)) + [f"x{n},nobody,31.01.2026,visit," for n in range(5)]
    site.put("a.csv", HEADER + "\n".join(lines) + "\n")
    site.ingest()
    with pytest.raises(JobError, match=r"found 0.3846: unreadable_event_time 5 \(31.01.2026\)"):
        site.build("--select", "+rejected_share")


def test_correction_without_a_version_stops_the_run(tmp_path):
    """It would be lost: the first row of an id counts. With a version the newest does."""
    site = Site(tmp_path, yml(), SQL)
    site.put("a.csv", HEADER + "o1,ann,2026-01-02 10:00,buy,999\n" + "\n".join(visits(range(4))))
    site.ingest()
    site.build("--exclude", "source:ml+")
    site.put("b.csv", HEADER + "o1,ann,2026-01-02 10:00,buy,9.99\n")
    site.ingest()
    with pytest.raises(JobError, match=r"\(o1\): found 1 corrections .* give events a version"):
        site.build("--exclude", "source:ml+")


def test_change_that_cannot_be_read_is_rejected_and_changes_nothing(tmp_path):
    """It would count as the oldest version, or as not deleted."""
    columns = COLUMNS.replace("}", ", version: text, gone: text}")
    sql = SQL.replace("amount,", "amount, version, gone as is_deleted,")
    site = Site(tmp_path, yml().replace(COLUMNS, columns), sql)
    lines = [f"{line},1,no" for line in visits(range(4))]
    lines += ["ann3,ann,2026-01-04 10:00,buy,9,v2,no", "bob3,bob,2026-01-04 10:00,buy,9,2,gone"]
    site.put("a.csv", "id,who,at,kind,amount,version,gone\n" + "\n".join(lines) + "\n")
    done = site.ingest()
    assert [(one.reason, one.rows) for one in done.rejected] == [("unreadable_version", 2)]
    site.build()
    assert site.rows("select reject_reason, event_id from rejected_events order by 2") == [
        ("unreadable_version", "ann3"),
        ("unreadable_version", "bob3"),
    ]
    assert site.rows("select count(*) from accepted_events") == [(8,)]


def test_history_longer_than_the_limit_stops_before_the_day_tables(tmp_path):
    extra = "  first_day: 1900-01-01\n  max_history_days: 100\n"
    site = Site(tmp_path, yml(extra), SQL)
    site.put("a.csv", HEADER + "\n".join([*visits([0]), "x,ann,2001-01-01,visit,"]) + "\n")
    site.ingest()
    with pytest.raises(JobError, match=r"found 9132 days, allowed at most 100: set first_day"):
        site.build("--exclude", "source:ml+")
    assert site.rows("select 1 from duckdb_tables() where table_name = 'user_daily'") == []


def test_amount_that_would_become_zero_is_refused_with_its_scale(tmp_path):
    site = Site(tmp_path / "a", yml(), SQL)
    site.put("a.csv", HEADER + "b1,ann,2026-01-02,buy,0.00003\n" + "\n".join(visits(range(3))))
    with pytest.raises(JobError, match=r"3e-05 would become 0.* Next: add `scale: 5`"):
        site.ingest()
    text = yml().replace("column: amount}", "column: amount, scale: 6}")
    scaled = Site(tmp_path / "b", text, SQL)
    scaled.put("a.csv", HEADER + "b1,ann,2026-01-02,buy,0.00003\n" + "\n".join(visits(range(3))))
    scaled.ingest()
    scaled.build()
    assert scaled.rows("select max(spend)::double from user_daily") == [(0.00003,)]


def test_outage_is_unknown_and_a_weekly_closed_day_is_not(tmp_path):
    """Closed on Sundays, as the data shows; down for three days in February."""
    down = {START + timedelta(n) for n in (35, 36, 37)}
    opened = [n for n in range(70) if (START + timedelta(n)).isoweekday() != 7]
    site = Site(tmp_path, yml(), SQL)
    lines = visits([n for n in opened if START + timedelta(n) not in down])
    site.put("a.csv", HEADER + "\n".join(lines) + "\n")
    site.ingest()
    site.build()
    unknown = [row[0] for row in site.rows("select day from days where is_unknown order by 1")]
    assert unknown == sorted(down)
    assert site.rows("select distinct churn_label from churn_labels") == [(0,)]
    assert site.rows("select max(days_since_last_activity) from user_features_daily") == [(1,)]
    labelled = {row[0] for row in site.rows("select distinct as_of_date from churn_labels")}
    touched = {START + timedelta(n) for n in range(28, 37)}
    assert not labelled & touched and START + timedelta(27) in labelled
    (note,) = build_notes.notes(site.settings)
    assert note.startswith("3 unknown days, without data: 2026-02-05..2026-02-07.")


def test_id_of_too_many_events_is_named(tmp_path):
    site = Site(tmp_path, yml(), SQL)
    lines = [f"r{n},robot,{START + timedelta(n % 9)} 10:00:00,visit," for n in range(400)]
    lines += [f"u{n},u{n:04},{START + timedelta(n % 9)} 10:00:00,visit," for n in range(1100)]
    site.put("a.csv", HEADER + "\n".join(lines) + "\n")
    site.ingest()
    site.build()
    (note,) = build_notes.notes(site.settings)
    assert note.startswith("'robot' has 27% of all events")


def test_rule_for_ids_is_the_same_in_sql_and_at_lookup():
    macro = (PROJECT / "macros/measures/longest_id.sql").read_text()
    assert f"return({ids.LENGTH})" in macro
    assert ids.is_id("x" * ids.LENGTH) and not ids.is_id("x" * (ids.LENGTH + 1))
    assert not ids.is_id("two\nlines") and not ids.is_id("") and not ids.is_id(None)


RESERVED = [
    "select",
    "group",
    "order",
    "table",
    "user",
    "end",
    "case",
    "limit",
    "all",
    "desc",
    "in",
]
TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("'\"{}%;-\\$`"),
    min_size=1,
    max_size=12,
).filter(lambda text: text.strip() == text)


@st.composite
def hostile(draw):
    """Draw attributes, measures, event types and texts that a careless query would break on."""
    names = draw(st.permutations(RESERVED))
    types = draw(st.lists(TEXTS, min_size=2, max_size=3, unique_by=str.lower))
    return {
        "attributes": names[:2],
        "measures": names[2:5],
        "column": names[5],
        "types": types,
        "values": draw(st.lists(TEXTS, min_size=1, max_size=3)),
    }


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@settings(
    max_examples=3,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(hostile())
def test_domain_with_any_legal_names_and_texts_builds(tmp_path_factory, words):
    import yaml

    first, second = words["attributes"]
    kinds, column = words["types"], words["column"]
    content = {
        "files": {
            "events": {
                "path": "*",
                "columns": {"id": "text", "who": "text", "at": "timestamp", "n": "number"},
            }
        },
        "vars": {
            "users_from_events": True,
            "expected_weekdays": [],
            "min_day_share": 0,
            "attributes": words["attributes"],
            "event_types": {kind: {"is_activity": True, "description": kind} for kind in kinds},
            "measures": [
                {"name": words["measures"][0], "event_type": kinds[0], "agg": "count"},
                {"name": words["measures"][1], "agg": "sum", "column": column},
                {
                    "name": words["measures"][2],
                    "event_type": kinds[1],
                    "agg": "avg",
                    "column": column,
                },
            ],
            "checks": {
                column: {"min": 0, "only_on": [kinds[0]], "elsewhere_share": 1},
                first: {"values": words["values"]},
            },
        },
    }
    events = f"""
        id as event_id, who as user_id, "at" as event_time, n as {quoted(column)},
        if(n = 1, {literal(kinds[0])}, {literal(kinds[1])}) as event_type,
        {literal(words["values"][0])} as {quoted(first)},
        {literal(kinds[-1])} as {quoted(second)}"""
    sql = f"create or replace temp view events as select {events} from events_file"
    site = Site(
        tmp_path_factory.mktemp("hostile"), yaml.safe_dump(content, allow_unicode=True), sql
    )
    lines = [f"{n},u{n % 3},{START + timedelta(n % 9)},{n % 2}" for n in range(30)]
    site.put("a.csv", "id,who,at,n\n" + "\n".join(lines) + "\n")
    assert site.ingest().rejected == []
    site.build("--exclude", "source:ml+")
    assert site.rows("select count(*) from accepted_events") == [(30,)]
    assert site.rows(f"select distinct {quoted(first)} from user_features_daily") == [
        (words["values"][0],)
    ]
