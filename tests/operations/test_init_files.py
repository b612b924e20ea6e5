"""init reads files of any dialect, encoding and way to write times, or says why not."""

import json
import shutil
from datetime import datetime, timedelta

import duckdb
import pytest
import yaml
from support.homes import churnhouse, refused
from support.logs import german_csv, visits
from support.xlsx import write_xlsx


@pytest.mark.parametrize(
    ("above", "line"),
    [
        ("Sales report 2026", 2),
        ("Report\nMade by Bob, Inc.\n", 4),
        ("Umsatz;;;;;", 2),
        ("sep=;", 2),
    ],
)
def test_title_above_the_column_names_is_named(work, above, line):
    german_csv(work / "raw/log.csv", visits())
    text = (work / "raw/log.csv").read_text(encoding="cp1252")
    (work / "raw/log.csv").write_text(f"{above}\n{text}", encoding="cp1252")
    said = refused(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    title = above.split("\n")[0]
    assert f"does not begin with a line of column names, but with {title!r}; they may be" in said
    assert f"in line {line}. Next: take away what is above that line" in said
    (work / "raw/log.csv").write_text(text, encoding="cp1252")
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    (work / "raw/log.csv").write_text(f"{above}\n{text}", encoding="cp1252")
    said = refused(work / "home", "doctor", "--domain", "shop", "--raw", str(work / "raw"))
    assert f"log.csv has no column 'id'; its first line has {title.split(';')[0]!r}" in said


def test_title_and_totals_of_a_spreadsheet_are_named(work):
    header = ["customer", "when", "what", "amount", "id"]
    rows = [[who, str(when), what, 5, number] for number, who, when, what, _ in visits()]
    totals = ["", "", "", 5 * len(rows), ""]
    write_xlsx(work / "raw/log.xlsx", {"Data": [["Sales 2026"], header, *rows, totals]})
    init = ("init", "shop", "--events", str(work / "raw/log.xlsx"), "--yes")
    assert "log.xlsx does not begin with a line of column names, but with 'Sales 2026" in refused(
        work / "home", *init
    )
    write_xlsx(work / "raw/log.xlsx", {"Data": [header, *rows, totals]})
    said = churnhouse(work / "home", *init).stdout
    assert "'customer' is empty in 1 rows, which will be rejected" in said
    sql = (work / "domains/shop/ingest.sql").read_text()
    assert '"what" as event_type' in sql and '"id" as varchar) as event_id' in sql
    raw = ("--domain", "shop", "--raw", str(work / "raw"))
    assert "1 events rejected: missing_event_id" in str(churnhouse(work / "home", "ingest", *raw))


@pytest.mark.parametrize("written", ["%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S"])
def test_times_as_one_number_are_read(work, written):
    with (work / "raw/log.csv").open("w", encoding="utf-8") as file:
        file.write("customer,at\n")
        file.writelines(f"{who},{when:{written}}\n" for _, who, when, *_ in visits())
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    columns = yaml.safe_load((work / "domains/shop/domain.yml").read_text())["files"]["events"]
    assert columns["columns"]["at"] == {"type": "timestamp", "format": written}


@pytest.mark.parametrize("name", ["log.csv", "log.csv.zst"])
def test_delimiter_is_found_though_a_value_has_line_breaks(work, name):
    """The lines that are looked at end within a value."""
    rows = "".join(f"('{who}', '{when}', E'a,\\nb,\\nc')," for _, who, when, *_ in visits())
    duckdb.sql(
        f'copy (from (values {rows}) as rows (customer, "when", note)) '
        f"to '{work / 'raw' / name}' (format csv, delimiter ';', header)"
    )
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw" / name), "--yes")
    assert "delimiter: ;" in (work / "domains/shop/domain.yml").read_text()


def test_files_named_alike_are_read_too(work):
    """A file a day: with the name of one, those of other days were never read."""
    by_day = {}
    for row in visits():
        by_day.setdefault(f"{row[2]:%Y-%m-%d}", []).append(row)
    for day, rows in by_day.items():
        german_csv(work / f"raw/log-{day}.csv", rows)
    last = work / f"raw/log-{max(by_day)}.csv"
    told = ("--events", str(last), "--user", "customer", "--yes")
    said = churnhouse(work / "home", "init", "shop", *told).stdout
    assert f"path is log-*.csv, since {len(by_day)} files have such names" in said
    raw = ("--domain", "shop", "--raw", str(work / "raw"))
    assert f"{len(visits()):,} rows read" in churnhouse(work / "home", "doctor", *raw).stdout
    (work / "raw/log-notes.csv").write_text("another file\n")
    churnhouse(work / "home", "init", "other", *told)
    assert f"path: {last.name}\n" in (work / "domains/other/domain.yml").read_text()


def test_name_with_brackets_is_no_pattern(work):
    german_csv(work / "raw/log [1].csv", visits())
    told = ("--events", str(work / "raw/log [1].csv"), "--yes")
    churnhouse(work / "home", "init", "shop", *told)
    raw = ("--domain", "shop", "--raw", str(work / "raw"))
    assert "60 users" in churnhouse(work / "home", "ingest", *raw).stdout


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_init_reads_utf_16_with_and_without_a_mark(work, encoding):
    german_csv(work / "raw/log.csv", visits())
    text = (work / "raw/log.csv").read_text(encoding="cp1252")
    (work / "raw/log.csv").write_text(text, encoding=encoding)
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    written = yaml.safe_load((work / "domains/shop/domain.yml").read_text())
    assert written["files"]["events"]["encoding"] == encoding
    assert written["files"]["events"]["delimiter"] == ";"


@pytest.mark.parametrize(
    "written",
    [
        *("%B %d, %Y %I:%M %p", "%b %d, %Y", "%d %b %Y", "%d/%b/%Y:%H:%M:%S +0200"),
        *("%a, %d %b %Y %H:%M:%S +0200", "%Y-%m-%d %H:%M:%S +0200 UTC"),
    ],
)
def test_times_of_other_programs_are_read(work, written):
    rows = visits()
    with (work / "raw/log.csv").open("w", encoding="utf-8") as file:
        file.write("customer;at\n")
        file.writelines(f"{who};{when:{written}}\n" for _, who, when, *_ in rows)
    told = ("--events", str(work / "raw/log.csv"), "--timezone", "Asia/Tokyo", "--yes")
    churnhouse(work / "home", "init", "shop", *told)
    churnhouse(work / "home", "ingest", "--domain", "shop", "--raw", str(work / "raw"))
    offset = timedelta(hours=2 if "+0200" in written else 9)
    plain = written.replace(" +0200", "").replace(" UTC", "")
    read = [datetime.strptime(f"{row[2]:{plain}}", plain) for row in rows]  # noqa: DTZ007 - the file names no zone
    expected = min(read) - offset
    with duckdb.connect(str(work / "home/warehouse.duckdb")) as connection:
        assert connection.sql("select min(event_time) from raw.events").fetchall() == [(expected,)]


def test_nested_properties_of_json_are_columns(work):
    """The id of one user is a number in some rows and text in others; other objects stay whole."""
    rows = visits()
    with (work / "raw/log.jsonl").open("w", encoding="utf-8") as file:
        for n, (number, who, when, what, seconds) in enumerate(rows):
            ident = int(who[1:]) + 1
            row = {"id": number, "ts": str(when), "what": what, "user": {"id": ident, "plan": "a"}}
            row["user"]["id"] = ident if n % 2 else str(ident)
            row["props"] = {"cart": {"total": seconds}, "of_items": {f"item{n % 90}": 1}}
            file.write(json.dumps(row) + "\n")
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.jsonl"), "--yes")
    written = yaml.safe_load((work / "domains/shop/domain.yml").read_text())
    columns = written["files"]["events"]["columns"]
    assert columns["user.id"] == {"type": "any", "path": "user.id"}
    assert {"props.cart.total", "props.of_items"} < columns.keys() and "user" not in columns
    assert "props_cart_total_sum" in [measure["name"] for measure in written["vars"]["measures"]]
    raw = ("--domain", "shop", "--raw", str(work / "raw"))
    said = churnhouse(work / "home", "ingest", *raw)
    assert f"60 users, {len(rows):,} events" in said.stdout + said.stderr
    assert "not declared" not in said.stdout + said.stderr


def test_words_for_no_number_are_null_words(work):
    with (work / "raw/log.csv").open("w", encoding="utf-8") as file:
        file.write("customer;when;amount;note\n")
        for n, (_, who, when, _, seconds) in enumerate(visits()):
            amount = ("N/A", "-")[n % 2] if n % 9 == 0 else str(seconds).replace(".", ",")
            file.write(f"{who};{when};{amount};none\n")
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    written = yaml.safe_load((work / "domains/shop/domain.yml").read_text())
    assert written["files"]["events"]["null_words"] == ["-", "N/A"]
    assert "amount_sum" in [measure["name"] for measure in written["vars"]["measures"]]
    raw = ("--domain", "shop", "--raw", str(work / "raw"))
    assert "rejected" not in str(churnhouse(work / "home", "ingest", *raw))


def test_single_quotes_are_found(work):
    with (work / "raw/log.csv").open("w", encoding="utf-8") as file:
        file.write("'customer','when','note'\n")
        file.writelines(f"'{who}','{when}','a, b'\n" for _, who, when, *_ in visits())
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    raw = ("--domain", "shop", "--raw", str(work / "raw"))
    assert "60 users" in churnhouse(work / "home", "ingest", *raw).stdout


def test_init_names_what_is_no_file_to_look_at(work):
    (work / "raw/log.csv.zip").write_bytes(b"PK\x03\x04")
    for name, message in (
        ("log.csv.zip", "log.csv.zip is packed in a way that is not read. Next: unpack it"),
        ("", "raw is a folder. Next: name the file of events."),
        ("log.csv", "There is no file"),
    ):
        path = str(work / "raw" / name)
        assert message in refused(work / "home", "init", "shop", "--events", path, "--yes")


def test_day_and_month_that_could_be_either_are_asked_for(work):
    """Of 60 users, the first twelve days of months only: no date shows what comes first."""
    with (work / "raw/log.csv").open("w", encoding="utf-8") as file:
        file.write("customer,when,seconds\n")
        for day in range(1, 13):
            for month in range(1, 8):
                file.writelines(f"c{n},{month:02}/{day:02}/2026,{n}\n" for n in range(9))
    with (work / "raw/people.csv").open("w", encoding="utf-8") as file:
        file.write("customer,joined\n")
        file.writelines(f"c{n},12/25/2025\n" for n in range(9))
    home = work / "home"
    init = ("init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    line = refused(home, *init)
    assert "Column 'when' holds 01/01/2026, 01/02/2026, 01/03/2026: the day or the month" in line
    assert "--first day or --first month" in line
    people = ("--users", str(work / "raw/people.csv"))
    for user in ((), ("--user", "customer")):  # the events' column is not asked of the users' file
        churnhouse(home, *init, *people, *user, "--first", "month")
        written = yaml.safe_load((work / "domains/shop/domain.yml").read_text())["files"]
        assert written["events"]["columns"]["when"]["format"] == "%m/%d/%Y"
        assert written["users"]["columns"]["joined"]["format"] == "%m/%d/%Y"
        assert "joined" in (work / "domains/shop/ingest.sql").read_text()
        shutil.rmtree(work / "domains/shop")
    churnhouse(home, *init, "--first", "day")
    assert "when: {format: '%d/%m/%Y'" in (work / "domains/shop/domain.yml").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c1,2026-01-02,4\nc2,2026-01-03,5\n", "does not begin with a line of column names"),
        ("customer,when,seconds\n", "log.csv has no rows. Next: name a file"),
        ("", "is empty. Next: name a file with events."),
        ("customer,null,when\nc1,1,soon\nc1,2,later\nc2,1,soon\n", "which column is the time"),
    ],
)
def test_file_that_holds_no_events_is_refused_in_one_line(work, text, message):
    (work / "raw/log.csv").write_text(text)
    line = refused(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    assert message in line
    assert not (work / "domains/shop").exists()


def test_names_and_amounts_of_other_languages_are_read(work):
    lines = ["Kunde;Zeit;Art;Betrag (€)"]
    for number, (_, who, when, what, seconds) in enumerate(visits()):
        kind = "Rückgabe" if what == "refund" else "Bestellung"
        amount = f"{seconds * 50:,.2f}".translate(str.maketrans(",.", ".,"))
        lines.append(f"{who.upper() if number % 9 else who};{when:%d.%m.%Y %H:%M};{kind};{amount}")
    (work / "raw/log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = ("--events", str(work / "raw/log.csv"), "--user", "KUNDE", "--time", "zeit", "--yes")
    said = churnhouse(work / "home", "init", "shop", *told).stdout
    assert "Betrag (€)" in said
    written = yaml.safe_load((work / "domains/shop/domain.yml").read_text(encoding="utf-8"))
    source = written["files"]["events"]
    assert (source["decimal"], source["thousands"]) == (",", ".")
    measures = {one["name"]: one for one in written["vars"]["measures"]}
    assert measures["rueckgabe_count"]["label"] == "Rückgabe" and "betrag_sum" in measures
    raw = ("--domain", "shop", "--raw", str(work / "raw"))
    report = " ".join(churnhouse(work / "home", "doctor", *raw).stdout.split())
    assert "events rejected" not in report
    assert "ids differ from another only in case, blanks" in report
    assert "such as 'C000' and 'c000'" in report
