"""raw_files: a file is read as written, whatever its name and first rows."""

import gzip
from pathlib import Path

import duckdb
import pytest

from python_jobs.errors import JobError
from python_jobs.ingest import columns as file_columns
from python_jobs.ingest import raw_files, readers
from python_jobs.ingest.batch import Batch, RawFile
from python_jobs.ingest.sources import Files, RawFiles

COLUMNS = {"a": "text", "b": "number"}


@pytest.fixture
def db():
    with duckdb.connect() as connection:
        yield connection


def view(db, path: Path, content: str | bytes, columns=COLUMNS) -> list[tuple]:
    """Return the rows of a file; for a Parquet file, text is a query."""
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, str):
        db.execute(f"copy ({content}) to '{path}' (format parquet)")
    else:
        path.write_bytes(content)
    return read(db, [path], RawFiles(path="*", columns=columns))


def read(db, paths: list[Path], source: RawFiles, *, is_careful=True) -> list[tuple]:
    """Return the rows of files of one shape, read at once."""
    files = [RawFile("events", path, path.name, path.stat().st_size, 0) for path in paths]
    batch = Batch(source, readers.shape_of(db, source, files[0]), files)
    file_columns.check_columns(batch)
    loaded = readers.load_batch(db, batch, is_careful=is_careful)
    file_columns.make_view(db, "events", batch)
    rows = []
    for n in range(len(files)):
        file_columns.show_file(db, batch, loaded, n)
        rows += db.execute("from events_file").fetchall()
    return rows


def refusal(db, path: Path, content: str | bytes, columns=COLUMNS) -> str:
    with pytest.raises(JobError) as refused:
        view(db, path, content, columns)
    return str(refused.value)


@pytest.mark.parametrize(
    "name", ["e[1].csv", "e*.csv", "e?.csv", "it's.csv", "b=7/e.csv", "é ü.csv"]
)
def test_file_name_is_not_read_as_a_pattern(db, tmp_path, name):
    (tmp_path / "e1.csv").write_bytes(b"a,b\nother,1\n")
    assert view(db, tmp_path / name, b"a,b\nx,1\n") == [("x", 1.0)]
    parquet = name.replace(".csv", ".parquet").replace("'", "")
    assert view(db, tmp_path / parquet, "select 'x' as a, 1 as b") == [("x", 1.0)]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a,b\r\nx,1\r\n", [("x", 1.0)]),
        (b"\xef\xbb\xbfa,b\nx,1\n", [("x", 1.0)]),
        (b"a,b\nx,1", [("x", 1.0)]),
        (b'a,b\n"x, ""y""\nz",1\n', [('x, "y"\nz', 1.0)]),
        (b'"a","b"\nx,1\n', [("x", 1.0)]),
        (b"a,b\n,\n", [(None, None)]),
        (b"a,b\n#x,1\n#y,2\n", [("#x", 1.0), ("#y", 2.0)]),
        (b"a,b\n007,1e3\n", [("007", 1000.0)]),
        (b"a,b\nx\\,-1\n", [("x\\", -1.0)]),
        (b"b,other,a\n1,?,x\n", [("x", 1.0)]),
        (b"a,b,,\nx,1,,\n", [("x", 1.0)]),
        (b"a,b,A,a\nx,1,y,z\n", [("x", 1.0)]),
    ],
)
def test_csv_is_read_as_written(db, tmp_path, content, rows):
    assert view(db, tmp_path / "e.csv", content) == rows
    assert view(db, tmp_path / "e.csv.gz", gzip.compress(content)) == rows


@pytest.mark.parametrize(
    "header", [b"a;b\nx;1\n", b"A,B\nx,1\n", b"Report\n\na,b\nx,1\n", b"a\nx\n"]
)
def test_a_missing_column_is_named_with_its_file(db, tmp_path, header):
    said = refusal(db, tmp_path / "e.csv", header)
    assert said.startswith("e.csv has no column ") and " Next: " in said


def test_the_first_bad_row_of_a_numeric_column_is_named(db, tmp_path):
    rows = [(f"x{i}", str(i)) for i in range(30_000)]
    rows[20_006] = ("y", "oops")
    rows[25_000] = ("y", "later")
    csv = "a,b\n" + "".join(f"{a},{b}\n" for a, b in rows)
    said = refusal(db, tmp_path / "e.csv", csv.encode())
    assert said.startswith("e.csv, column 'b', row 20007: 'oops' is not a number.")
    select = f"select * from read_csv('{tmp_path}/e.csv', all_varchar = true)"
    said = refusal(db, tmp_path / "e.parquet", select)
    assert said.startswith("e.parquet, column 'b', row 20007: 'oops' is not a number.")


@pytest.mark.parametrize(
    ("declared", "value", "kind"),
    [
        ("number", "true", "BOOLEAN"),
        ("number", "date '2026-01-01'", "DATE"),
        ("text", "1.5::double", "DOUBLE"),
        ("date", "20260101", "INTEGER"),
        ("timestamp", "1.5::double", "DOUBLE"),
        ("timestamp", "time '10:00'", "TIME"),
    ],
)
def test_a_parquet_column_of_another_type_is_refused(db, tmp_path, declared, value, kind):
    said = refusal(db, tmp_path / "e.parquet", f"select {value} as a", {"a": declared})
    assert said.startswith(f"e.parquet: column 'a' holds {kind}, and {declared} was declared.")


@pytest.mark.parametrize(
    ("declared", "value", "read"),
    [
        ("text", "7::bigint", "7"),
        ("text", "true", "true"),
        ("text", "['x', 'y']", '["x","y"]'),
        ("text", "{'plan': 'pro'}", '{"plan":"pro"}'),
        ("text", "'abc'::blob", "abc"),
        ("text", "'{\"a\": 1}'::json", '{"a": 1}'),
        ("any", "1.5::double", "1.5"),
        ("any", "date '2026-01-01'", "2026-01-01"),
        ("number", "'5'", 5.0),
        ("number", "7::tinyint", 7.0),
        ("number", "7.25::decimal(9, 2)", 7.25),
        ("text", "null", None),
        ("number", "null", None),
        ("timestamp", "null", None),
    ],
)
def test_parquet_columns_may_be_any_number_integer_ids_or_empty(
    db, tmp_path, declared, value, read
):
    assert view(db, tmp_path / "e.parquet", f"select {value} as a", {"a": declared}) == [(read,)]


def test_undeclared_columns_are_noted_and_left_out(db, tmp_path):
    path = tmp_path / "e.csv"
    path.write_bytes(b"z,a,b,y\n1,x,1,2\n")
    source = RawFiles(path="*", columns=COLUMNS)
    file = RawFile("events", path, "e.csv", 0, 0)
    batch = Batch(source, readers.shape_of(db, source, file), [file])
    readers.load_batch(db, batch)
    assert file_columns.make_view(db, "events", batch) == [
        "e.csv: column 'y' is not declared and was ignored",
        "e.csv: column 'z' is not declared and was ignored",
    ]
    assert [row[0] for row in db.execute("describe events_file").fetchall()] == ["a", "b"]


def test_users_are_found_before_events_by_name_and_other_files_are_not(tmp_path):
    files = Files.model_validate(
        {table: {"path": f"{table}/*", "columns": {"a": "text"}} for table in ("events", "users")}
    )
    names = ["users/b.csv", "users/a.parquet", "events/2.csv.gz", "events/10.csv"]
    for name in [*names, "events/README.md", "events/3.csv.part", "other/1.csv", "events/x/1.csv"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a\n")
    assert [(file.table, file.name) for _, file in raw_files.find(tmp_path, files).files] == [
        ("users", "users/a.parquet"),
        ("users", "users/b.csv"),
        ("events", "events/10.csv"),
        ("events", "events/2.csv.gz"),
    ]
