"""Files of any shape: dialects, encodings, JSON, spreadsheets, and many files at once."""

import gzip
import json
import os
import socket
import stat

import duckdb
import pytest
from support.shop import Shop
from support.xlsx import DAY, write_xlsx

from python_jobs.errors import JobError
from python_jobs.ingest import readers
from python_jobs.ingest.domain import Domain

VARS = """
vars:
  users_from_events: true
  event_types: {buy: {is_activity: true}}
  measures: [{name: spend, event_type: buy, agg: sum, column: amount}]
"""
COLUMNS = "{id: text, who: text, at: timestamp, amount: number}"
SQL = """create or replace temp view events as
select id as event_id, who as user_id, "at" as event_time, 'buy' as event_type, amount
from events_file"""
ROWS = "select event_id, user_id, event_time::varchar, amount from raw.events order by row_id"
TWO = [("1", "ann", "2026-02-01 10:00:00", 1234.5), ("2", "Zoë", "2026-02-01 11:30:00", -0.25)]


def shop(path, columns=COLUMNS, sql=SQL, pattern='"*"', **keys: str) -> Shop:
    listed = "".join(f", {key}: {value}" for key, value in keys.items())
    yml = f"files: {{events: {{path: {pattern}, columns: {columns}{listed}}}}}{VARS}"
    return Shop(path, yml, sql)


@pytest.mark.parametrize(
    ("keys", "name", "content"),
    [
        (
            {"delimiter": '";"', "decimal": '","', "time_format": '"%d.%m.%Y %H:%M"'},
            "excel.csv",
            "\ufeffid;who;at;amount\r\n1;ann;01.02.2026 10:00;1234,5\r\n"
            "2;Zoë;01.02.2026 11:30;-0,25\r\n".encode(),
        ),
        (
            {"delimiter": '";"', "decimal": '","', "thousands": '"."', "encoding": "cp1252"},
            "cp1252.csv",
            "id;who;at;amount\n1;ann;2026-02-01 10:00;1.234,5\n"
            "2;Zoë;2026-02-01 11:30;-0,25\n".encode("cp1252"),
        ),
        (
            {"delimiter": r'"\t"', "encoding": "utf-16"},
            "tabs.tsv",
            "id\twho\tat\tamount\n1\tann\t2026-02-01 10:00\t1234.5\n"
            "2\tZoë\t2026-02-01 11:30\t-0.25\n".encode("utf-16"),
        ),
        (
            {},  # a program of Windows that writes no byte order mark
            "bare.csv",
            "id,who,at,amount\n1,ann,2026-02-01 10:00,1234.5\n"
            "2,Zoë,2026-02-01 11:30,-0.25\n".encode("utf-16-le"),
        ),
        (
            {},
            "bare.jsonl.gz",
            gzip.compress(
                '{"id": 1, "who": "ann", "at": "2026-02-01 10:00", "amount": 1234.5}\n'
                '{"id": 2, "who": "Zoë", "at": "2026-02-01 11:30", "amount": -0.25}\n'.encode(
                    "utf-16-be"
                ),
                mtime=0,
            ),
        ),
        (
            {"quote": '"\'"', "null_words": "['\\N', 'NULL']"},
            "quotes.csv.gz",
            gzip.compress(
                "id,who,at,amount\n'1','ann','2026-02-01 10:00',1234.5\n"
                "2,Zoë,2026-02-01 11:30,-0.25\n".encode(),
                mtime=0,
            ),
        ),
        (
            {"time_format": "epoch_seconds"},
            "B.CSV",
            "id,who,at,amount\n1,ann,1769940000,1234.5\n2,Zoë,1769945400,-0.25\n".encode(),
        ),
        (
            {"time_format": "epoch_milliseconds"},
            "lines.jsonl",
            b'{"id": 1, "who": "ann", "at": 1769940000000, "amount": 1234.5}\n'
            + json.dumps({"id": "2", "who": "Zoë", "at": 1769945400000, "amount": -0.25}).encode(),
        ),
        (
            {},
            "array.json",
            json.dumps(
                [
                    {"id": 1, "who": "ann", "at": "2026-02-01T10:00:00Z", "amount": 1234.5},
                    {"id": 2, "who": "Zoë", "at": "2026-02-01 12:30:00 +0100", "amount": -0.25},
                ],
                indent=1,
            ).encode(),
        ),
    ],
)
def test_dialects_and_formats_give_the_same_rows(tmp_path, keys, name, content):
    made = shop(tmp_path, **keys)
    made.put(name, content)
    made.ingest()
    assert made.rows(ROWS) == TWO


def test_zstd_and_nested_properties_are_read(tmp_path):
    columns = (
        "{id: text, who: {type: text, path: user.name}, at: timestamp, "
        "amount: {type: number, path: cart.total}, tags: any}"
    )
    sql = SQL.replace("from events_file", ", tags from events_file")
    made = shop(tmp_path, columns=columns, sql=sql)
    rows = [
        {
            "id": "1",
            "user": {"name": "ann"},
            "at": "2026-02-01 10:00",
            "cart": {"total": 2},
            "tags": ["a"],
        }
    ]
    plain = made.raw.parent / "plain.json"
    plain.write_text("\n".join(json.dumps(row) for row in rows))
    made.db.execute(f"copy (select * from read_text('{plain}')) to '{made.raw}/x.csv' (format csv)")
    (made.raw / "x.csv").unlink()
    duckdb.sql(
        f"copy (select json from read_json_objects('{plain}')) to '{made.raw}/a.jsonl.zst' "
        "(format csv, compression zstd, header false, quote '', escape '', delimiter '\x01')"
    )
    assert not [note for note in made.ingest().notes if "not declared" in note]
    assert made.rows(ROWS) == [("1", "ann", "2026-02-01 10:00:00", 2.0)]
    assert made.rows("select tags from raw.events") == [('["a"]',)]


def test_spreadsheet_cells_are_read_as_text_and_numbers(tmp_path):
    columns = "{id: text, who: text, at: timestamp, amount: number}"
    made = shop(tmp_path, columns=columns, sheet="Orders")
    header = ["id", "who", "at", "amount"]
    orders = [header, [1, "ann", DAY, 1234.5], [2, "Zoë", DAY + 1.5 / 24, -0.25]]
    write_xlsx(made.raw / "shop.xlsx", {"Notes": [["x"], [1]], "Orders": orders})
    made.ingest()
    assert made.rows(ROWS) == TWO
    made.put("no.xlsx", b"PK no spreadsheet")
    with pytest.raises(JobError, match=r"no\.xlsx cannot be read as a spreadsheet"):
        made.ingest()


def test_mixed_line_ends_and_cells_of_megabytes_are_read(tmp_path):
    made = shop(
        tmp_path, columns="{id: text, who: text, at: timestamp, amount: number, note: text}"
    )
    header = "id,who,at,amount,note\r\n"
    made.put("mixed.csv", header + "1,ann,2026-02-01 10:00,1,a\r\n2,bob,2026-02-01 10:00,1,b\n")
    made.put("long.csv", header + f"3,cy,2026-02-01 10:00,1,{'x' * 5_000_000}\r\n")
    assert made.ingest().rows["events"] == 3


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_last_line_of_any_length_is_read_or_refused(tmp_path, monkeypatch, ending):
    """DuckDB drops one that is longer than its buffer, for example of a file that was torn."""

    def put(name: str, text: str) -> None:
        content = text.encode()
        made.put(f"{name}{ending}", gzip.compress(content, 1) if ending != ".csv" else content)

    made = shop(tmp_path)
    start = "id,who,at,amount\n1,ann,2026-02-01 10:00,1\n"
    put("long", f"{start}2,{'x' * 33 * 2**20},2026-02-01 10:00,1")
    assert made.ingest().rows["events"] == 2
    monkeypatch.setattr(readers, "LONG_LINE", 34 * 2**20)
    put("torn", start + "\0" * 35 * 2**20)
    with pytest.raises(JobError, match=r"torn\.csv.* ends with a line of 35 MiB"):
        made.ingest()


def test_bare_try_cast_of_the_mapping_gives_null(tmp_path):
    """DuckDB 2.0 would push it into the CSV reader as a cast that fails."""
    made = shop(
        tmp_path,
        columns="{id: text, who: text, at: timestamp, amount: text}",
        sql=SQL.replace("amount\n", "try_cast(amount as double) as amount\n"),
    )
    made.put("a.csv", "id,who,at,amount\n1,ann,2026-02-01,free\n2,ann,2026-02-01,3\n")
    made.ingest()
    assert made.rows("select amount from raw.events order by row_id") == [(None,), (3.0,)]


def test_optional_column_that_old_files_lack_is_null_with_a_note(tmp_path):
    columns = COLUMNS.replace("}", ", utm: {type: text, optional: true}}")
    made = shop(tmp_path, columns=columns, sql=SQL.replace("amount\n", "amount, utm\n"))
    made.put("1.csv", "id,who,at,amount\n1,ann,2026-01-01,1\n")
    made.put("2.csv", "id,who,at,amount,utm\n2,ann,2026-02-01,1,mail\n")
    assert made.ingest().notes[0] == "1.csv: there is no column 'utm', so it is empty"
    assert made.rows("select utm from raw.events order by row_id") == [(None,), ("mail",)]


def test_hive_keys_and_the_file_name_are_columns(tmp_path):
    made = shop(
        tmp_path,
        columns=COLUMNS.replace("}", ", country: text, origin: file_name}"),
        sql=SQL.replace("amount\n", "amount, country, origin\n"),
        pattern='"**"',
    )
    for country in ("de", "fr"):
        path = made.put(f"country={country}/x.parquet", b"")
        row = (
            f"select '{country}' as id, 'ann' as who, timestamp '2026-02-01' as \"at\", 1 as amount"
        )
        made.db.execute(f"copy ({row}) to '{path}' (format parquet)")
    made.ingest()
    assert made.rows("select country, origin from raw.events order by row_id") == [
        ("de", "country=de/x.parquet"),
        ("fr", "country=fr/x.parquet"),
    ]


def test_key_in_the_path_counts_for_its_files_alone_and_is_checked(tmp_path):
    columns = COLUMNS.replace("}", ", day: {type: number, optional: true}}")
    made = shop(tmp_path, columns, SQL.replace("amount\n", "amount, day\n"), pattern='"**"')
    made.put("a.csv", "id,who,at,amount\n1,ann,2026-02-01,1\n")
    made.put("day=7/a.csv", "id,who,at,amount\n2,ann,2026-02-01,1\n")
    assert made.ingest().notes[0] == "a.csv: there is no column 'day', so it is empty"
    assert made.rows("select event_id, day from raw.events order by 1") == [("1", None), ("2", 7)]
    made.put("day=x/a.csv", "id,who,at,amount\n3,ann,2026-02-01,1\n")
    with pytest.raises(
        JobError, match=r"day=x/a\.csv: 'x', the key 'day' of its path, is not a num"
    ):
        made.ingest()


def test_names_that_json_paths_and_duckdb_keep_for_themselves(tmp_path):
    columns = "{id: text, who: text, at: timestamp, amount: number, 'x\"y/z~': text}"
    made = shop(tmp_path, columns, SQL.replace("amount\n", 'amount, "x""y/z~" as odd\n'))
    row = {"id": 1, "who": "ann", "at": "2026-02-01", "amount": 1, 'x"y/z~': "odd"}
    made.put("a.jsonl", json.dumps(row))
    made.ingest()
    assert made.rows("select odd from raw.events") == [("odd",)]
    reserved = shop(tmp_path / "reserved")
    reserved.put("a.csv", "id,who,at,amount,rowid\n1,ann,2026-02-01,1,9\n")
    with pytest.raises(JobError, match=r"a\.csv has a column 'rowid', a name that DuckDB keeps"):
        reserved.ingest()


def test_every_file_below_a_declared_path_is_read_or_named(tmp_path):
    made = shop(tmp_path)
    line = "id,who,at,amount\n{0},ann,2026-02-01,1\n"
    for name in ("a.csv", "B.CSV", "sub/c.csv"):
        made.put(name, line.format(name))
    made.put("d.csv.zip", b"PK")
    made.put(".hidden", b"")
    (made.raw / "link.csv").symlink_to("a.csv")
    os.mkfifo(made.raw / "pipe.csv")
    held = socket.socket(socket.AF_UNIX)
    here = os.open(made.raw, os.O_RDONLY)
    held.bind(f"/proc/self/fd/{here}/sock.csv")
    (made.raw / os.fsdecode(b"bad\xff.csv")).write_text("x")
    done = made.ingest()
    assert stat.S_ISFIFO((made.raw / "pipe.csv").stat().st_mode)
    assert done.loaded == ["B.CSV", "a.csv"] and done.known == 1  # the link has known content
    said = "\n".join(done.notes)
    for name in ("d.csv.zip", ".hidden", "pipe.csv", "sock.csv", "sub", "bad\\udcff.csv"):
        assert f"{name} was not read: " in said
    held.close()
    os.close(here)
    deep = shop(tmp_path / "deep", pattern='"**"')
    deep.put("a.csv", line.format(1))
    deep.put("2025/01/b.csv", line.format(2))
    assert deep.ingest().loaded == ["2025/01/b.csv", "a.csv"]


def test_several_sources_each_have_their_own_columns_and_mapping(tmp_path):
    yml = f"""
files:
  events:
    - {{path: "orders/*", columns: {{id: text, who: text, at: timestamp, total: number}}}}
    - {{path: "logins/*", columns: {{id: text, uid: text, ts: timestamp}}, mapping: logins.sql}}
{VARS.replace("true}}", "true}, login: {is_activity: true}}")}"""
    sql = SQL.replace("amount\n", "total as amount\n")
    logins = """create or replace temp view events as
    select id as event_id, uid as user_id, ts as event_time, 'login' as event_type
    from events_file"""
    made = Shop(tmp_path, yml, sql, logins=logins)
    made.put("orders/1.csv", "id,who,at,total\no1,ann,2026-02-01,9.5\n")
    made.put("logins/1.csv", "id,uid,ts\nl1,ann,2026-02-02\n")
    assert made.ingest().rows["events"] == 2
    assert made.rows("select event_type, amount from raw.events order by row_id") == [
        ("buy", 9.5),
        ("login", None),
    ]


UNPIVOT = """create or replace temp view events as
select line || '-' || what as event_id, who as user_id, "at" as event_time, what as event_type,
    amount, line as source_row
from (unpivot (select line, who, "at", buy, refund from events_file) on buy, refund
      into name what value amount)"""


def test_one_row_may_become_several_events_and_each_is_accounted_for(tmp_path):
    columns = "{line: row_number, who: text, at: timestamp, buy: number, refund: number}"
    made = shop(tmp_path, columns=columns, sql=UNPIVOT)
    made.put("a.csv", "who,at,buy,refund\nann,2026-02-01,5,1\nbob,2026-02-01,7,\n")
    assert made.ingest().rows["events"] == 3
    assert made.rows("select rows_read, row_count from raw.files") == [(2, 3)]
    made.put("b.csv", "who,at,buy,refund\ncy,2026-02-01,,\n")
    with pytest.raises(JobError, match=r"b\.csv has 1 rows, but the mapping .* makes 0 of them"):
        made.ingest()


def test_many_small_files_are_read_at_once_and_keep_their_names(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "BATCH_FILES", 40)
    made = shop(tmp_path)
    for n in range(100):
        made.put(f"{n:03}.csv", f"id,who,at,amount\n{n},ann,2026-02-01,{n}\n")
    assert made.ingest().rows["events"] == 100
    joined = (
        "select files.name, event_id from raw.events join raw.files using (file_id) order by row_id"
    )
    assert made.rows(joined) == [(f"{n:03}.csv", f"{n}") for n in range(100)]
    made.put("050b.csv", "id,who,at,amount\nx,ann,2026-02-01,none\n")
    for n in range(100, 200):
        made.put(f"{n:03}.csv", f"id,who,at,amount\n{n},ann,2026-02-01,{n}\n")
    with pytest.raises(
        JobError, match=r"050b\.csv, column 'amount', row 1: 'none' is not a number"
    ):
        made.ingest()
    assert made.rows("select count(*) from raw.events") == [(100,)]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("id;who;at;amount", 'its header is separated by ";". Next: add `delimiter: ";"`'),
        ("id\twho\tat\tamount", r'its header is separated by "\\t"'),
        ("ID,who,at,amount", r"has no column 'id' \(it has 'ID'\)"),
    ],
)
def test_a_wrong_header_names_the_likely_cause(tmp_path, header, says):
    made = shop(tmp_path)
    made.put("a.csv", f"{header}\n")
    with pytest.raises(JobError, match=says):
        made.ingest()


def test_decimal_comma_that_is_not_declared_is_named(tmp_path):
    made = shop(tmp_path, delimiter='";"')
    made.put("a.csv", "id;who;at;amount\n1;ann;2026-02-01;10,00\n")
    with pytest.raises(JobError, match=r"row 1: '10,00' is not a number.*add `decimal: \",\"`"):
        made.ingest()


def test_a_changed_zone_is_refused_once_times_were_read_in_the_old_one(tmp_path):
    """Times without an offset would be of two zones, and days and repeats would go wrong."""
    made = shop(tmp_path)
    made.put("a.csv", "id,who,at,amount\n1,ann,2026-02-01 10:00,1\n")
    made.ingest()
    zone = VARS.replace("vars:\n", "vars:\n  timezone: America/New_York\n")
    yml = f'files: {{events: {{path: "*", columns: {COLUMNS}}}}}{zone}'
    (made.domain.folder / "domain.yml").write_text(yml)
    kept, made.domain = made.domain, Domain("shop", made.domain.folder)
    made.put("b.csv", "id,who,at,amount\n2,ann,2026-02-02 10:00,1\n")
    with pytest.raises(JobError, match=r"read as those of UTC .*Next: set it back to UTC; or"):
        made.ingest()
    made.domain = kept
    assert made.ingest().rows["events"] == 1 and len(made.rows(ROWS)) == 2


def test_word_in_a_column_of_numbers_may_be_a_null_word(tmp_path):
    made = shop(tmp_path)
    made.put("a.csv", "id,who,at,amount\n1,ann,2026-02-01,n/a\n")
    with pytest.raises(JobError, match=r"'n/a' is not a number.*add `null_words: \['n/a'\]`"):
        made.ingest()
    made = shop(tmp_path, null_words="['n/a']")
    assert made.ingest().rows["events"] == 1
