"""What of a PDF's text a reader can see: the rest may be meant for machines alone, and is left out or reported.

Left out is text that is transparent, beside the page, or white with nothing painted behind it. Text that is not painted
at all stays, because OCR puts its reading behind a scanned page just so; where a page also has painted text, the
document says so in a warning.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypdfium2 import PdfPage, PdfTextPage

    from ingestion.loaders.pdf_tables import Line

_UNPAINTED = 3  # PDF 32000-1, table 106: neither fill nor stroke
_WHITE = 250  # of 255, in each colour: what printers and eyes take for white
_SEE_THROUGH = 8  # of 255
_Box = tuple[float, float, float, float]  # left, bottom, right, top


class VisibleText:
    """Judges the lines of a document's pages; `warnings` tells what was found."""

    def __init__(self) -> None:
        self._left_out: set[int] = set()
        self._painted: set[int] = set()
        self._unpainted: set[int] = set()
        self._grounds: tuple[int, list[_Box]] = (0, [])  # of the latest page with white text

    def shows(self, page: PdfPage, number: int, text_page: PdfTextPage, line: Line, index: int) -> bool:
        """Whether a reader sees the line with a box whose first character has this index; remembers if not."""
        import pypdfium2.raw as pdfium

        if pdfium.FPDFTextObj_GetTextRenderMode(pdfium.FPDFText_GetTextObject(text_page, index)) == _UNPAINTED:
            self._unpainted.add(number)
            return True
        darkest, alpha = _fill(pdfium.FPDFText_GetFillColor, text_page, index)
        white = darkest >= _WHITE
        if _is_beside(page, line) or alpha < _SEE_THROUGH or (white and not self._has_ground(page, number, line)):
            self._left_out.add(number)
            return False
        self._painted.add(number)
        return True

    def warnings(self) -> list[str]:
        """Sentences for the user, none for an honest document."""
        found = []
        if self._left_out:
            pages = _named(self._left_out)
            found.append(f"Text that no reader can see was left out (white, transparent or beside the page): {pages}.")
        if both := self._unpainted & self._painted:
            found.append(f"Text that is not painted was read: of a scan's OCR, or hidden. It stands on {_named(both)}.")
        return found

    def _has_ground(self, page: PdfPage, number: int, line: Line) -> bool:
        """Whether something that is not white lies where the line begins."""
        if self._grounds[0] != number:
            self._grounds = number, list(_grounds(page))
        x, y = line.left + 1, (line.bottom + line.top) / 2
        return any(left <= x <= right and bottom <= y <= top for left, bottom, right, top in self._grounds[1])


def _grounds(page: PdfPage) -> Iterator[_Box]:
    """The boxes of what is painted on a page, other than text and white areas."""
    import pypdfium2.raw as pdfium

    path = pdfium.FPDF_PAGEOBJ_PATH
    kinds = (path, pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_SHADING, pdfium.FPDF_PAGEOBJ_FORM)
    for item in page.get_objects(filter=kinds, max_depth=1):
        darkest, alpha = _fill(pdfium.FPDFPageObj_GetFillColor, item) if item.type == path else (0, 255)
        if darkest < _WHITE and alpha >= _SEE_THROUGH:
            yield item.get_bounds()


def _fill(ask: Any, *of: Any) -> tuple[int, int]:
    """The darkest of the three fill colours and the opacity, 0 to 255; black and opaque where it is unknown."""
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    known = ask(*of, red, green, blue, alpha)
    return (min(red.value, green.value, blue.value), alpha.value) if known else (0, 255)


def _is_beside(page: PdfPage, line: Line) -> bool:
    left, bottom, right, top = page.get_cropbox()
    return bool(line.right < left or line.left > right or line.top < bottom or line.bottom > top)


def _named(pages: set[int]) -> str:
    shown = ", ".join(map(str, sorted(pages)[:10])) + (", ..." if len(pages) > 10 else "")
    return f"{'page' if len(pages) == 1 else 'pages'} {shown}"
