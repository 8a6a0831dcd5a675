"""One sheet of text, numbers and truth values as an Excel workbook. Reading is calamine's.

Texts are written as texts, which no program takes for formulas; they are disarmed all the same, for whoever saves the
sheet as CSV.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_MAX_CELL = 32_767  # characters, the format's limit
_LARGEST_EXACT = 2**53  # numbers are floats in a sheet
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def workbook(rows: Iterable[Sequence[Any]]) -> bytes:
    """A workbook with one sheet of these rows. A text that is longer than a cell may be is cut, and says so."""
    from xlsxwriter import Workbook

    buffer = io.BytesIO()
    with Workbook(buffer, {"in_memory": True}) as book:
        sheet = book.add_worksheet("Answers")
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                _write(sheet, number, column, value)
    return buffer.getvalue()


def _write(sheet: Any, row: int, column: int, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float) and abs(value) <= _LARGEST_EXACT:
        sheet.write_number(row, column, value)
    else:
        sheet.write_string(row, column, _text(str(value)))


def _text(text: str) -> str:
    text = _NOT_XML.sub("\ufffd", text)
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"
