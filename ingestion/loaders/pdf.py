"""PDF through pdfium: pages with numbers, rows of tables kept as rows, the lines of a paragraph joined again.

A PDF stores glyphs at places and no structure. pdfium gives lines; for each this module reads the box of its first
and last character and whether it is bold, and `pdf_layout` decides what the line is part of. pdfium is not
thread-safe, not even across documents: load PDFs in a process of their own (`ingestion.sandbox`) or one at a time.
"""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING, Any

from domain.documents import LoadedDocument
from domain.errors import LoadError
from ingestion.loaders.assembly import TextAssembler, title_from_name
from ingestion.loaders.pdf_layout import add_pages
from ingestion.loaders.pdf_streams import guard_streams
from ingestion.loaders.pdf_tables import Line
from ingestion.loaders.pdf_visible import VisibleText

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage

_MAX_PAGES = 20_000
_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_SECURITY_ERROR = 5  # FPDF_ERR_SECURITY
_BOLD_NAME = re.compile(rb"bold|black|heavy|semibold|demi", re.IGNORECASE)
_BOLD_FLAG = 1 << 18  # PDF 32000-1, table 123: ForceBold
_WORD = re.compile(r"[^\W\d_]{2,}|[\u4e00-\u9fff]{2,}")
_LINE_END = re.compile(r"\r\n|\r|\n")
_INVISIBLE_HEIGHT = 1.0  # points; nobody reads that


class PdfLoader:
    """PDF files with a text layer."""

    extensions: tuple[str, ...] = (".pdf",)
    media_types: tuple[str, ...] = ("application/pdf", "application/x-pdf")

    def load(self, data: bytes, name: str) -> LoadedDocument:
        guard_streams(data)
        document = _open(data)
        try:
            return _load(document, name)
        finally:
            document.close()


def _open(data: bytes) -> PdfDocument:
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) in (_PASSWORD_ERROR, _SECURITY_ERROR):
            raise LoadError(
                "The PDF is protected by a password; save a copy without one and ingest that.",
                code="encrypted_document",
            ) from error
        raise LoadError(
            f"The PDF is damaged or cut off and cannot be opened ({error}); get a complete copy and ingest that."
        ) from error


def _load(document: PdfDocument, name: str) -> LoadedDocument:
    if len(document) > _MAX_PAGES:
        raise LoadError(
            f"The PDF has {len(document):,} pages, more than the {_MAX_PAGES:,} allowed; split it.",
            code="too_many_pages",
        )
    pages: list[list[Line]] = []
    unreadable: list[int] = []
    visible = VisibleText()
    for number in range(1, len(document) + 1):
        lines = _page_lines(document, number, visible)
        if lines is None:
            unreadable.append(number)
        pages.append(lines or [])
    if len(unreadable) == len(document):
        raise LoadError(
            f"None of the PDF's {len(document)} pages can be read: its page tree is damaged; get a complete copy."
        )
    assembler = TextAssembler()
    add_pages(assembler, pages)
    if assembler.is_empty:
        raise LoadError(
            "The PDF has pages but no text, so it is probably a scan; make it searchable with OCR, for example "
            "`ocrmypdf in.pdf out.pdf`, and ingest the result.",
            code="no_text",
        )
    properties = document.get_metadata_dict(skip_empty=True)
    metadata = {"author": properties.get("Author", ""), "pages": len(document)}
    return assembler.document(
        _title(properties.get("Title", ""), name),
        "application/pdf",
        metadata,
        [*_page_warnings(pages, unreadable), *visible.warnings()],
    )


def _title(stated: str, name: str) -> str:
    """The title the PDF states where it is one: many hold a program's name or a filing number instead."""
    is_title = len(_WORD.findall(stated)) >= 3 and not stated.lower().startswith(("microsoft ", "untitled"))
    return stated if is_title else title_from_name(name)


def _page_warnings(pages: list[list[Line]], unreadable: list[int]) -> list[str]:
    warnings = []
    empty = [number for number, lines in enumerate(pages, start=1) if not lines and number not in unreadable]
    if unreadable:
        warnings.append(f"{_numbers(unreadable)} could not be read: the file is damaged there.")
    if empty:
        warnings.append(f"{_numbers(empty)} without text: blank, or scanned and in need of OCR.")
    return warnings


def _numbers(pages: list[int]) -> str:
    shown = ", ".join(map(str, pages[:10])) + (", ..." if len(pages) > 10 else "")
    return f"{'Page' if len(pages) == 1 else 'Pages'} {shown}"


def _page_lines(document: PdfDocument, number: int, visible: VisibleText) -> list[Line] | None:
    """The lines of a page from top to bottom as pdfium orders them; None when the page is damaged."""
    import pypdfium2

    try:
        page = document[number - 1]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        return None
    try:
        return _read_lines(page, number, text_page, visible)
    finally:
        text_page.close()
        page.close()


def _read_lines(page: PdfPage, number: int, text_page: PdfTextPage, visible: VisibleText) -> list[Line]:
    text = text_page.get_text_range()
    # Characters outside the Basic Multilingual Plane or without a code would shift the indices: then there is no
    # geometry.
    located = text_page.count_chars() == len(text)
    lines: list[Line] = []
    position = 0
    for raw in _LINE_END.split(text):
        start = text.find(raw, position)
        position = start + len(raw)
        content = raw.strip()
        if content:
            first = start + raw.index(content[0])
            line = _located(text_page, content, first, first + len(content) - 1) if located else Line(content)
            if line is not None and (not line.size or visible.shows(page, number, text_page, line, first)):
                lines.append(line)
    return lines


def _located(text_page: PdfTextPage, content: str, first: int, last: int) -> Line | None:
    """A line with its box in points from the bottom left; None when it is too small to be seen."""
    try:
        left, bottom, _, top = text_page.get_charbox(first, loose=True)
        _, last_bottom, right, last_top = text_page.get_charbox(last, loose=True)
    except Exception as error:  # pypdfium2 raises its own class, and the box of a generated character may be missing
        if type(error).__name__ != "PdfiumError":
            raise
        return Line(content)
    size = max(top - bottom, last_top - last_bottom)
    if size < _INVISIBLE_HEIGHT:
        return None if top > bottom else Line(content)
    bold = _is_bold(text_page, first) and _is_bold(text_page, last)
    return Line(content, size=round(size, 1), left=left, right=right, bottom=bottom, top=top, bold=bold)


def _is_bold(text_page: Any, index: int) -> bool:
    import pypdfium2.raw as pdfium

    name = ctypes.create_string_buffer(96)
    flags = ctypes.c_int()
    pdfium.FPDFText_GetFontInfo(text_page, index, name, len(name), ctypes.byref(flags))
    return bool(_BOLD_NAME.search(name.value) or flags.value & _BOLD_FLAG)
