"""Tables of questions, read and written as CSV, JSONL or XLSX."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from domain.errors import UsageError
from service.batches.columns import Row, check_names
from service.batches.formulas import disarmed

FORMATS = (".csv", ".jsonl", ".xlsx")
MAX_ROWS = 50_000
_MAX_REPEATED = 64 * 1024 * 1024  # characters that a batch keeps with each of its questions, over all of them
_A_CELL = 8  # characters of JSON around a column's name and an empty cell
_MAX_DEPTH = 64  # of the JSON of a line
_MOST_LISTED = 30  # columns in a message
_LINE = re.compile(r"^[^\S\n]*\S[^\n]*", re.MULTILINE)
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
        rows = _at_most(MAX_ROWS, name, (_json_row(*line, name) for line in lines_of(decode(data).text)))
    return _at_most(MAX_ROWS, name, rows)


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """The lines that hold something, with their numbers from 1. Only line feeds end one: JSON may hold U+2028."""
    number, seen = 1, 0
    for found in _LINE.finditer(text):
        number += text.count("\n", seen, found.start())
        seen = found.start()
        yield number, found[0]


def check_repeated(what: str, characters: int, questions: int) -> None:
    """Raise UsageError where what a batch keeps with every question makes much of a small request."""
    most = _MAX_REPEATED // max(1, characters)
    if questions > most:
        raise UsageError(
            f"{what} {characters:,} characters, which are kept with every question: a batch of {most:,} questions is "
            "the largest that can be. Shorten them, or split the batch."
        )


def width_of(columns: Iterable[str]) -> int:
    """The characters that a row takes by its columns alone."""
    return sum(len(name) + _A_CELL for name in columns)


def find_question_column(rows: Sequence[Row], wanted: str | None) -> str:
    """The column that holds the questions: the one named, else one called question, else the only one."""
    if not rows:
        raise UsageError("The table has no rows: there is nothing to ask.")
    columns = list(rows[0])
    if wanted is not None:
        if wanted not in columns:
            raise UsageError(f"There is no column {wanted!r}. Columns: {_listed(columns)}.")
        return wanted
    for name in columns:
        if name.strip().lower() in _QUESTION_NAMES:
            return name
    if len(columns) == 1:
        return columns[0]
    raise UsageError(f"Which column holds the questions? Name it with --question-column: {_listed(columns)}.")


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(name[:100] for name in columns[:_MOST_LISTED])
    return shown if len(columns) <= _MOST_LISTED else f"{shown} and {len(columns) - _MOST_LISTED:,} more"


def question_of(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


# -- writing -----------------------------------------------------------------------------------------------------------


def table_bytes(rows: Sequence[Row], suffix: str, sheet_name: str | None = None) -> bytes:
    """The whole table in one of FORMATS; `sheet_name` names the sheet of a workbook."""
    if suffix == ".xlsx":
        from service.batches.xlsx import DEFAULT_SHEET, workbook

        columns = columns_of(rows)
        cells = [[disarmed(name) for name in columns], *(_cells(row, columns) for row in rows)]
        return workbook(cells, sheet_name or DEFAULT_SHEET, wrapped="answer")
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


def _at_most(most: int, name: str, rows: Iterable[Row]) -> list[Row]:
    taken = list(islice(rows, most + 1))
    if len(taken) > most:
        raise UsageError(f"{name} has more than {most:,} rows, the most that a batch may have. Split it.")
    return taken


def _csv_rows(text: str, name: str) -> list[Row]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return _at_most(MAX_ROWS, name, _full_rows(reader, name))
    except csv.Error as error:
        raise UsageError(f"{name} line {reader.line_num}: {error}.") from error


def _full_rows(reader: csv.DictReader[str], name: str) -> Iterator[Row]:
    """The rows, in which cells that are missing are None: a wide header makes much of a short line."""
    check_names(reader.fieldnames or (), name)
    width = width_of(reader.fieldnames or ())
    check_repeated(f"{name} has a header of", width, 1)
    for count, row in enumerate(reader, 1):
        if None in row:
            raise UsageError(f"{name} line {reader.line_num}: more cells than the header has columns.")
        check_repeated(f"{name} has a header of", width, count)
        yield dict(row)


def _json_row(number: int, line: str, name: str) -> Row:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{name} line {number}: not JSON ({error}).") from error
    if _is_too_deep(row):
        raise UsageError(f"{name} line {number}: nested too deeply; at most {_MAX_DEPTH} levels are read.")
    if isinstance(row, str):
        return {"question": row}
    if not isinstance(row, dict):
        raise UsageError(f"{name} line {number}: an object or a string is wanted.")
    return row


def _is_too_deep(value: Any) -> bool:
    """Whether something stands below the last level that is read: as deep as in the body of a request, and no deeper
    than what writes it down again can follow.
    """
    level, depth = [value], 1
    while nested := [item for item in level if isinstance(item, dict | list)]:
        level = [child for item in nested for child in (item.values() if isinstance(item, dict) else item)]
        depth += 1
        if level and depth > _MAX_DEPTH:
            return True
    return False
