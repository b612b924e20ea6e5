"""Spreadsheets, read with python-calamine: every cell as text."""

from pathlib import Path

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name
from python_jobs.ingest.batch import FILE_COLUMN, Batch, RawFile
from python_jobs.ingest.sources import RawFiles


def sheet_of(source: RawFiles, file: RawFile) -> tuple[list[str], list[list[object]]]:
    """Return the column names and the rows of a sheet."""
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(str(file.path))
        if source.sheet and source.sheet not in book.sheet_names:
            raise JobError(
                f"{file.name} has no sheet {source.sheet!r}, only {', '.join(book.sheet_names)}.",
                next_step="correct `sheet` in domain.yml and run again.",
            )
        sheet = book.get_sheet_by_name(source.sheet) if source.sheet else book.get_sheet_by_index(0)
        rows = sheet.to_python(skip_empty_area=True)
    except (python_calamine.CalamineError, OSError) as error:
        raise JobError(
            f"{file.name} cannot be read as a spreadsheet ({error}).",
            next_step="replace the file and run again; nothing was loaded.",
        ) from None
    if not rows:
        raise JobError(
            f"{file.name} does not begin with a line of column names.",
            next_step="replace the file and run again; nothing was loaded.",
        )
    names = [str(cell).strip() or f"column_{n}" for n, cell in enumerate(rows[0], start=1)]
    return names, [list(row) for row in rows[1:]]


def read(connection: duckdb.DuckDBPyConnection, batch: Batch, path: Path) -> None:
    """Read the only file of a batch into the temporary table raw_rows."""
    import pandas as pd

    names, rows = sheet_of(batch.source, batch.files[0])
    cells = [[_cell(cell) for cell in row] for row in rows if any(c != "" for c in row)]
    frame = pd.DataFrame(cells, columns=names, dtype=object)
    frame[FILE_COLUMN] = str(path)
    connection.register("excel_rows", frame)
    kinds = ", ".join(f"cast({sql_name(n)} as varchar) as {sql_name(n)}" for n in frame.columns)
    connection.execute(f"create or replace temp table raw_rows as select {kinds} from excel_rows")
    connection.unregister("excel_rows")


def _cell(value: object) -> str | None:
    """Return a cell as text: numbers without a needless `.0`, times as ISO 8601."""
    if value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)
