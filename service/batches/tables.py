"""Tables of questions, read and written as CSV, JSONL or XLSX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from domain.errors import UsageError
from service.batches.columns import Row
from service.batches.formulas import disarmed

FORMATS = (".csv", ".jsonl", ".xlsx")
MAX_ROWS = 50_000
_QUESTION_NAMES = ("question", "query", "问题", "問題")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; see `parse_rows`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    return parse_rows(data, path.suffix.lower(), repr(str(path)))


def parse_rows(data: bytes, suffix: str, name: str) -> list[Row]:
    """The rows of a table in one of FORMATS; text in any encoding that documents may have. `name` stands in errors.

    Raises UsageError that names the line.
    """
    from ingestion.encoding import decode

    if suffix == ".xlsx":
        from service.batches.xlsx import rows_of

        rows = rows_of(data, name)
    elif suffix == ".csv":
        rows = _csv_rows(decode(data).text, name)
    else:
        rows = [_json_row(line, number, name) for number, line in lines_of(decode(data).text)]
    if len(rows) > MAX_ROWS:
        raise UsageError(f"{name} has {len(rows):,} rows; a batch has at most {MAX_ROWS:,}. Split it.")
    return rows


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """The lines that hold something, with their numbers from 1. Only line feeds end one: JSON may hold U+2028."""
    return ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def find_question_column(rows: Sequence[Row], wanted: str | None) -> str:
    """The column that holds the questions: the one named, else one called question, else the only one."""
    if not rows:
        raise UsageError("The table has no rows: there is nothing to ask.")
    columns = list(rows[0])
    if wanted is not None:
        if wanted not in columns:
            raise UsageError(f"There is no column {wanted!r}. Columns: {', '.join(columns)}.")
        return wanted
    for name in columns:
        if name.strip().lower() in _QUESTION_NAMES:
            return name
    if len(columns) == 1:
        return columns[0]
    raise UsageError(f"Which column holds the questions? Name it with --question-column: {', '.join(columns)}.")


def question_of(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


# -- writing -----------------------------------------------------------------------------------------------------------


def table_bytes(rows: Sequence[Row], suffix: str) -> bytes:
    """The whole table in one of FORMATS."""
    if suffix == ".xlsx":
        from service.batches.xlsx import workbook

        columns = columns_of(rows)
        return workbook([[disarmed(name) for name in columns], *(_cells(row, columns) for row in rows)])
    if suffix == ".csv":
        return b"".join(csv_lines(rows, columns_of(rows)))
    return b"".join(map(json_line, rows))


def csv_lines(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[bytes]:
    """A CSV file, a row at a time: in UTF-8 with a mark, so that spreadsheets read Chinese."""
    buffer = io.StringIO(newline="")
    # All cells quoted: a delimiter of another locale inside one cannot start a cell, and with it a formula.
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow([disarmed(name) for name in columns])
    yield buffer.getvalue().encode("utf-8-sig", "replace")
    for row in rows:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(_cells(row, columns))
        yield buffer.getvalue().encode("utf-8", "replace")


def json_line(row: Row) -> bytes:
    try:
        return orjson.dumps(row) + b"\n"
    except (TypeError, ValueError):  # numbers beyond 64 bits, which Python's own module writes
        return json.dumps(row, ensure_ascii=True, default=str).encode() + b"\n"


def columns_of(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cells(row: Row, columns: Sequence[str]) -> list[Any]:
    return [_cell(row.get(name)) for name in columns]


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return orjson.dumps(value).decode()
    return disarmed(value)


# -- reading -----------------------------------------------------------------------------------------------------------


def _csv_rows(text: str, name: str) -> list[Row]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[Row] = []
    try:
        for row in reader:
            if None in row:
                raise UsageError(f"{name} line {reader.line_num}: more cells than the header has columns.")
            rows.append(dict(row))
    except csv.Error as error:
        raise UsageError(f"{name} line {reader.line_num}: {error}.") from error
    return rows


def _json_row(line: str, number: int, name: str) -> Row:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{name} line {number}: not JSON ({error}).") from error
    if isinstance(row, str):
        return {"question": row}
    if not isinstance(row, dict):
        raise UsageError(f"{name} line {number}: an object or a string is wanted.")
    return row
