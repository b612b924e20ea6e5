"""rewrite: a person's rows leave a raw file, all else stays as it was written."""

import gzip
import json

import duckdb
import pytest
from support.shop import Shop
from support.xlsx import DAY, write_xlsx

from python_jobs.errors import JobError
from python_jobs.ingest import raw_files, rewrite

VARS = """
vars:
  users_from_events: true
  event_types: {visit: {is_activity: true}}
  measures: [{name: spend, agg: sum, column: amount}]
"""
COLUMNS = "{who: any, at: timestamp, amount: number}"
SQL = """create or replace temp view events as
select who || "at" as event_id, who as user_id, "at" as event_time, 'visit' as event_type, amount
from events_file"""
IDS = ["ann", "anon-1"]


def without(made: Shop) -> tuple[int, bytes]:
    """Return the rows removed from the only file, and what is left of it."""
    ((source, file),) = raw_files.find(made.raw, made.domain.files).files
    with duckdb.connect(config={"threads": 1}) as reader:
        removed, partial = rewrite.without(reader, made.domain, source, file, IDS)
    return removed, partial.read_bytes() if partial else file.path.read_bytes()


def shop(path, sql=SQL, columns=COLUMNS, **keys: str) -> Shop:
    listed = "".join(f", {key}: {value}" for key, value in keys.items())
    yml = f"files: {{events: {{path: '*', columns: {columns}{listed}}}}}{VARS}"
    return Shop(path, yml, sql)


def test_csv_keeps_its_dialect_and_encoding(tmp_path):
    made = shop(tmp_path, delimiter="';'", decimal="','", encoding="cp1252")
    made.put("a.csv", "who;at;amount\nann;2026-02-01;1,5\nZoë;2026-02-01;2,5\n".encode("cp1252"))
    removed, left = without(made)
    assert removed == 1 and left.decode("cp1252") == "who;at;amount\nZoë;2026-02-01;2,5\n"


def test_packed_lines_and_an_array_of_json_stay_what_they_are(tmp_path):
    rows = [{"who": who, "at": "2026-02-01", "amount": 1} for who in ("ann", "bob", "anon-1")]
    lines = shop(tmp_path / "lines")
    lines.put("a.jsonl.gz", gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
    removed, left = without(lines)
    assert removed == 2 and json.loads(gzip.decompress(left)) == rows[1]
    array = shop(tmp_path / "array")
    array.put("a.json", json.dumps(rows))
    assert json.loads(without(array)[1]) == [rows[1]]


def test_parquet_keeps_its_types(tmp_path):
    made = shop(tmp_path)
    values = "('ann', timestamp '2026-02-01', 1.5), ('bob', timestamp '2026-02-01', 2.5)"
    path = made.put("a.parquet", b"")
    made.db.execute(
        f"copy (from (values {values}) as t (who, \"at\", amount)) to '{path}' (format parquet)"
    )
    ((source, file),) = raw_files.find(made.raw, made.domain.files).files
    with duckdb.connect(config={"threads": 1}) as reader:
        removed, partial = rewrite.without(reader, made.domain, source, file, IDS)
        left = reader.execute(f"select who, amount from read_parquet('{partial}')").fetchall()
    assert removed == 1 and [row[0] for row in left] == ["bob"]


def test_row_that_gives_several_events_goes_whole(tmp_path):
    sql = """create or replace temp view events as
    select line || what as event_id, who as user_id, "at" as event_time, 'visit' as event_type,
        amount, line as source_row
    from (unpivot (select line, who, "at", a, b from events_file) on a, b
          into name what value amount)"""
    made = shop(tmp_path, sql, "{line: row_number, who: text, at: timestamp, a: number, b: number}")
    made.put("a.csv", "who,at,a,b\nbob,2026-02-01,1,2\nann,2026-02-01,1,2\n")
    assert without(made) == (1, b"who,at,a,b\nbob,2026-02-01,1,2\n")


def test_spreadsheet_that_holds_the_person_is_named(tmp_path):
    made = shop(tmp_path)
    write_xlsx(made.raw / "a.xlsx", {"S": [["who", "at", "amount"], ["ann", DAY, 1]]})
    files = raw_files.find(made.raw, made.domain.files).files
    with pytest.raises(JobError, match=r"a\.xlsx is a spreadsheet with rows of this person"):
        rewrite.check(made.domain, files, IDS)
    rewrite.check(made.domain, files, ["bob"])
