"""Text that no reader can see is left out of what is indexed, or the document says that it is there (case L8)."""

from __future__ import annotations

import pytest

from domain.documents import LoadedDocument
from ingestion.loaders.registry import LoaderRegistry, default_loaders
from tests.security.hidden_text import FIXTURES, HIDDEN, SEEN, coloured, pdf, unpainted, white, word

REGISTRY = LoaderRegistry(default_loaders())


def indexed(document: LoadedDocument) -> str:
    """All of a document that a prompt can come to hold: its title and its blocks."""
    return "\n".join((document.title, *(block.span.of(document.text) for block in document.blocks)))


def test_l8_there_are_thirty_fixtures() -> None:
    assert len(FIXTURES) >= 30


@pytest.mark.parametrize("name", FIXTURES)
def test_l8_hidden_text_is_left_out_or_reported_and_the_rest_is_read(name: str) -> None:
    file, make = FIXTURES[name]
    document = REGISTRY.load(make(), file)
    assert SEEN in indexed(document)
    assert HIDDEN not in indexed(document) or document.warnings


def test_l8_most_hidden_text_is_left_out_not_only_reported() -> None:
    kept = [name for name, (file, make) in FIXTURES.items() if HIDDEN in indexed(REGISTRY.load(make(), file))]
    # White text may have a ground that a style gives, unpainted text may be OCR's: only people can tell.
    assert sorted(kept) == [
        "docx_white",
        "html_by_a_class",
        "html_white_font_tag",
        "html_white_on_white",
        "pdf_unpainted",
    ]


def test_l8_white_text_on_a_dark_ground_is_read_without_a_word() -> None:
    def on_a_bar(canvas):
        canvas.setFillColorRGB(0.1, 0.2, 0.4)
        canvas.rect(50, 750, 500, 24, fill=1, stroke=0)
        white(canvas)

    document = REGISTRY.load(pdf(on_a_bar), "a.pdf")
    assert HIDDEN in indexed(document) and document.warnings == ()


def test_l8_white_text_on_a_white_ground_is_left_out() -> None:
    def on_paper(canvas):
        canvas.setFillColorRGB(1, 1, 1)
        canvas.rect(0, 0, 600, 850, fill=1, stroke=0)
        white(canvas)

    assert HIDDEN not in indexed(REGISTRY.load(pdf(on_paper), "a.pdf"))


def test_l8_a_scan_whose_whole_text_is_ocr_is_read_without_a_word() -> None:
    import io

    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.rect(0, 0, 590, 840, fill=1)
    unpainted(canvas)
    canvas.save()
    document = REGISTRY.load(buffer.getvalue(), "a.pdf")
    assert HIDDEN in indexed(document) and document.warnings == ()


def test_l8_white_words_in_a_coloured_cell_are_ordinary() -> None:
    def build(document, run):
        from docx.oxml import parse_xml
        from docx.oxml.ns import nsdecls

        cell = document.add_table(rows=1, cols=1).rows[0].cells[0]
        cell._tc.get_or_add_tcPr().append(parse_xml(f'<w:shd {nsdecls("w")} w:fill="1F3864"/>'))
        coloured(document, cell.paragraphs[0].add_run("Party"))

    assert REGISTRY.load(word(build), "a.docx").warnings == ()


def test_l8_rules_for_print_and_for_empty_elements_are_no_news() -> None:
    page = "<html><head><style>@media print { p { display: none } } .x { display: none }</style></head><body>"
    document = REGISTRY.load(f"{page}<p>{SEEN}</p><div class=x></div></body></html>".encode(), "a.html")
    assert document.warnings == ()
