"""Spreadsheets and delimited text: a table, one line a row, under its header row."""

from __future__ import annotations

import csv
import datetime
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence

from domain.documents import BlockKind, LoadedDocument
from domain.errors import LoadError
from ingestion.encoding import decode
from ingestion.loaders.archive import guard_archive
from ingestion.loaders.assembly import TextAssembler, join_cells, title_from_name

_SNIFF_CHARS = 1 << 14
_FIELD_LIMIT = 1 << 27  # one cell may be the whole file; the csv module's own limit is 128 KiB
_HEADER_SEARCH = 10  # a header row stands among the first rows, below a title at most


class DelimitedLoader:
    """CSV and its kin; the delimiter is found by trying which one gives rows of equal length."""

    extensions: tuple[str, ...] = (".csv", ".tsv", ".tab", ".psv")
    media_types: tuple[str, ...] = ("text/csv", "text/tab-separated-values", "application/csv")

    def load(self, data: bytes, name: str) -> LoadedDocument:
        decoded = decode(data)
        text = decoded.text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
        assembler = TextAssembler()
        add_table(assembler, _rows(text, delimiter_of(text, name)))
        media_type = "text/tab-separated-values" if name.lower().endswith((".tsv", ".tab")) else "text/csv"
        return assembler.document(title_from_name(name), media_type, {"encoding": decoded.encoding}, decoded.warnings)


class SpreadsheetLoader:
    """Excel and OpenDocument workbooks: each visible sheet is a heading and a table."""

    extensions: tuple[str, ...] = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
    media_types: tuple[str, ...] = (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.ms-excel",
        "application/vnd.ms-excel.sheet.binary.macroenabled.12",
        "application/vnd.oasis.opendocument.spreadsheet",
    )

    def load(self, data: bytes, name: str) -> LoadedDocument:
        if data.startswith(b"PK"):
            guard_archive(data)
        from python_calamine import CalamineWorkbook, SheetVisibleEnum

        workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
        assembler = TextAssembler()
        hidden = [sheet.name for sheet in workbook.sheets_metadata if sheet.visible != SheetVisibleEnum.Visible]
        for sheet_name in workbook.sheet_names:
            if sheet_name not in hidden:
                rows = workbook.get_sheet_by_name(sheet_name).iter_rows()
                _add_sheet(assembler, sheet_name, ([_cell_text(cell) for cell in row] for row in rows))
        if assembler.is_empty:
            raise LoadError(
                "The workbook has no filled cell on a visible sheet; nothing to index.", code="empty_document"
            )
        warnings = (f"Hidden sheets were left out: {', '.join(hidden)}.",) if hidden else ()
        return assembler.document(title_from_name(name), self.media_types[0], warnings=warnings)


def add_table(assembler: TextAssembler, rows: Iterable[Sequence[str]]) -> None:
    """Add rows as a table. Rows above the header row, such as a title, become paragraphs."""
    filled = (row for row in rows if any(cell.strip() for cell in row))
    head = list(itertools.islice(filled, _HEADER_SEARCH))
    top = _header_index(head)
    for row in head[:top]:
        assembler.add(BlockKind.PARAGRAPH, join_cells(row))
    assembler.add_table([join_cells(row) for row in itertools.chain(head[top:], filled)])


def delimiter_of(text: str, name: str) -> str:
    r"""The delimiter that splits the first lines into the most columns with the same count on each line; by name on a
    tie.

    >>> delimiter_of("a;b,c;d\\n1;2;3\\n4;5;6\\n", "x.csv")
    ';'
    """
    sample = text[:_SNIFF_CHARS]
    if len(text) > _SNIFF_CHARS and "\n" in sample:
        sample = sample[: sample.rindex("\n")]
    preferred = "\t" if name.lower().endswith((".tsv", ".tab")) else ","
    candidates = [preferred, *(mark for mark in ",;\t|" if mark != preferred)]
    return max(candidates, key=lambda mark: _regularity(sample, mark))


def _regularity(sample: str, delimiter: str) -> float:
    """Columns of the commonest row length, weighted by the share of rows that have it; 0 for a single column."""
    widths = [len(row) for row in itertools.islice(_rows(sample, delimiter), 50) if row]
    if not widths:
        return 0.0
    common = max(set(widths), key=lambda width: (widths.count(width), width))
    return 0.0 if common < 2 else widths.count(common) / len(widths) + common / 1e4


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error as error:
        raise LoadError(f"The table could not be read ({error}); save it again as UTF-8 CSV.") from error


def _header_index(rows: Sequence[Sequence[str]]) -> int:
    """The first row with at least two filled cells; the first row when there is none."""
    return next((i for i, row in enumerate(rows) if sum(1 for cell in row if cell.strip()) >= 2), 0)


def _add_sheet(assembler: TextAssembler, sheet_name: str, rows: Iterator[list[str]]) -> None:
    filled = (row for row in rows if any(row))
    first = next(filled, None)
    if first is None:
        return
    assembler.add(BlockKind.HEADING, sheet_name, level=1)
    add_table(assembler, itertools.chain([first], filled))


def _cell_text(value: object) -> str:
    """A cell as a reader of the sheet would say it: 3.0 is 3, a date at midnight has no time."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ")
    return "" if value is None else str(value)
