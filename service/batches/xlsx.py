"""Excel workbooks: the rows of the first sheet, and one sheet of text, numbers and truth values.

Texts are written as texts, which no program takes for formulas; they are disarmed all the same, for whoever saves the
sheet as CSV. The reader holds a sheet as a full rectangle: two cells in opposite corners would be seventeen billion.
So the corners are looked for first, in the parts as they are inflated.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

from domain.errors import UsageError
from service.batches.columns import Row, check_names

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_MAX_CELL = 32_767  # characters, the format's limit
_LARGEST_EXACT = 2**53  # numbers are floats in a sheet
_MOST_CELLS = 5_000_000
_MOST_BYTES = 512 * 1024 * 1024  # of one part, inflated
DEFAULT_SHEET = "Answers"
_LONGEST_SHEET_NAME = 31
_NOT_IN_SHEET_NAMES = re.compile(r"[\[\]:*?/\\]")
_NARROWEST, _WIDEST = 8, 40  # of a column, in digits of the default font
_WRAPPED_WIDTH = 70
_PLACE = re.compile(rb"""\br=["']([A-Z]{1,3})(\d{1,7})["']""")
_PART = 1 << 20
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def workbook(rows: Iterable[Sequence[Any]], sheet_name: str = DEFAULT_SHEET, wrapped: str = "") -> bytes:
    """A workbook with one sheet of these rows, the first of which stays in view; the column named `wrapped` is broken
    into lines. A text that is longer than a cell may be is cut, and says so.
    """
    from xlsxwriter import Workbook

    buffer = io.BytesIO()
    widths: dict[int, int] = {}
    with Workbook(buffer, {"in_memory": True}) as book:
        sheet = book.add_worksheet(_usable(sheet_name))
        top, lines = book.add_format({"valign": "top"}), book.add_format({"valign": "top", "text_wrap": True})
        formats: dict[int, Any] = {}
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                if number == 0:
                    formats[column] = lines if wrapped and value == wrapped else top
                _write(sheet, number, column, value, formats.get(column, top))
                widths[column] = max(widths.get(column, _NARROWEST), _width(value))
        _lay_out(sheet, widths, {column for column, format_ in formats.items() if format_ is lines})
    return buffer.getvalue()


def _lay_out(sheet: Any, widths: Mapping[int, int], wrapped: set[int]) -> None:
    sheet.freeze_panes(1, 0)
    for column, width in widths.items():
        sheet.set_column(column, column, min(width, _WRAPPED_WIDTH if column in wrapped else _WIDEST))


def _width(value: Any) -> int:
    """The digits beside each other that the longest line of a cell takes; a Chinese character takes two."""
    longest = max(("" if value is None else str(value)[:1000]).split("\n"), key=len)[: 2 * _WRAPPED_WIDTH]
    return 2 + sum(2 if east_asian_width(character) in "WF" else 1 for character in longest)


def _usable(name: str) -> str:
    """The name of a sheet as every program takes it: the input may come from one that takes more."""
    name = _NOT_IN_SHEET_NAMES.sub("_", _NOT_XML.sub("", name))[:_LONGEST_SHEET_NAME].strip(" '")
    return DEFAULT_SHEET if name.lower() in ("", "history") else name  # Excel keeps one name for itself


def first_sheet(path: Path) -> str:
    """The name of a workbook's first sheet, from which `rows_of` reads."""
    from python_calamine import CalamineWorkbook

    with CalamineWorkbook.from_path(path) as book:
        return str(book.sheet_names[0])


def _write(sheet: Any, row: int, column: int, value: Any, format_: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value, format_)
    elif isinstance(value, int | float) and abs(value) <= _LARGEST_EXACT:
        sheet.write_number(row, column, value, format_)
    else:
        sheet.write_string(row, column, _text(str(value)), format_)


def _text(text: str) -> str:
    text = _NOT_XML.sub("\ufffd", text)
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


def rows_of(data: bytes, name: str) -> list[Row]:
    """The rows of the first sheet, under the names of its first row. Raises UsageError; `name` stands in it."""
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        _check_extent(data, name)
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
        values = workbook.get_sheet_by_index(0).to_python()
    except (CalamineError, OSError, ValueError, IndexError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UsageError(f"{name} is not a workbook that can be read; save it as .xlsx or .csv.") from error
    if not values:
        return []
    header = [str(cell).strip() for cell in values[0]]
    check_names(header, name)
    named = [index for index, column in enumerate(header) if column]
    return [
        {header[index]: _plain(row[index]) for index in named} for row in values[1:] if any(cell != "" for cell in row)
    ]


def _check_extent(data: bytes, name: str) -> None:
    """Raise UsageError where a sheet is too large a rectangle, or a part inflates without end."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            rows, columns, inflated, tail = 0, 0, 0, b""
            with archive.open(entry) as part:
                while read := part.read(_PART):
                    inflated += len(read)
                    for letters, digits in _PLACE.findall(tail + read):
                        rows, columns = max(rows, int(digits)), max(columns, _number(letters))
                    tail = read[-16:]
                    if inflated > _MOST_BYTES or rows * columns > _MOST_CELLS:
                        raise UsageError(
                            f"{name} is too large: a sheet may reach {_MOST_CELLS:,} cells, empty ones between its "
                            "corners included. Delete what stands far outside of the table, or save it as .csv."
                        )


def _number(letters: bytes) -> int:
    """The number of a column from its letters, A being 1."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def _plain(value: Any) -> Any:
    """A cell as JSON can hold it; an empty one is None, a whole number an integer."""
    if value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.isoformat() if isinstance(value, date | datetime | time) else value
