"""PDF: pages, tables, paragraphs, and files that cannot be read."""

import pytest

from domain.documents import BlockKind, LoadedDocument, page_of
from domain.errors import LoadError
from ingestion.loaders.pdf import PdfLoader
from ingestion.loaders.pdf_layout import join_lines, without_running_lines
from ingestion.loaders.pdf_tables import Line, TableLines, cells_of, is_column_labels, is_row, parts_of
from tests.ingestion import samples

CASH_FLOW = [
    "# Cash flows",
    "Years ended December 31",
    "(Millions) 2018 2017 2016",
    "Cash Flows from Investing Activities",
    "Purchases of property, plant and equipment (PP&E) (1,577) (1,373) (1,420)",
    "Proceeds from sale of businesses, net of cash sold",
    "846 1,065 142",
    "Other — net 9 (6) (4)",
    "",
    "The accompanying notes are an integral part of this statement and of",
    "the whole report.",
]


def blocks_of(document: LoadedDocument) -> list[tuple[str, str]]:
    return [(block.kind.value, block.span.of(document.text)) for block in document.blocks]


def load(pages: list[list[str]]) -> LoadedDocument:
    return PdfLoader().load(samples.pdf(pages), "report.pdf")


def test_rows_of_a_financial_table_stay_on_their_lines_under_their_years() -> None:
    document = load([CASH_FLOW])
    table = next(block for block in document.blocks if block.kind is BlockKind.TABLE)
    assert table.header is not None
    assert table.header.of(document.text) == "Years ended December 31\n(Millions) 2018 2017 2016"
    rows = table.span.of(document.text).split("\n")
    assert "Purchases of property, plant and equipment (PP&E) (1,577) (1,373) (1,420)" in rows
    assert "Proceeds from sale of businesses, net of cash sold 846 1,065 142" in rows


def test_headings_and_paragraphs_surround_the_table() -> None:
    document = load([CASH_FLOW])
    assert blocks_of(document)[0] == ("heading", "Cash flows")
    assert blocks_of(document)[-1] == (
        "paragraph",
        "The accompanying notes are an integral part of this statement and of the whole report.",
    )


def test_pages_are_numbered_from_one_and_cover_their_text() -> None:
    document = load([["Alpha page one."], [], ["Gamma page three."]])
    assert [page.number for page in document.pages] == [1, 3]
    assert page_of(document.pages, document.text.index("Alpha")) == 1
    assert page_of(document.pages, document.text.index("Gamma")) == 3
    assert "Page 2" in document.warnings[0]


def test_running_headers_and_page_numbers_are_dropped() -> None:
    texts = ["apples", "pears", "plums", "figs", "dates", "limes"]
    pages = [["ACME Annual Report 2018", f"Here we talk about {text}.", f"{i} of 6"] for i, text in enumerate(texts, 1)]
    document = load(pages)
    assert "ACME" not in document.text and "of 6" not in document.text
    assert document.text.count("Here we talk") == 6


def test_a_repeated_row_of_figures_is_never_a_running_line() -> None:
    page = [Line("(Millions) 2018 2017"), Line("Sales 5 6"), Line("x")]
    assert without_running_lines([page] * 6)[0][0].text == "(Millions) 2018 2017"


def test_an_encrypted_pdf_asks_for_a_copy_without_password() -> None:
    with pytest.raises(LoadError, match="password") as caught:
        PdfLoader().load(samples.pdf([["secret"]], password="hunter2"), "x.pdf")
    assert caught.value.code == "encrypted_document"


def test_an_image_only_pdf_suggests_ocr() -> None:
    with pytest.raises(LoadError, match="ocrmypdf") as caught:
        PdfLoader().load(samples.image_only_pdf(), "scan.pdf")
    assert caught.value.code == "no_text"


def test_a_damaged_pdf_says_so() -> None:
    with pytest.raises(LoadError, match="damaged") as caught:
        PdfLoader().load(b"%PDF-1.7\n" + b"garbage" * 100, "x.pdf")
    assert caught.value.code == "corrupt_document"


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("Net income $ 5,363 $ 4,869 $ 5,058", ["$5,363", "$4,869", "$5,058"]),
        ("Deferred income taxes (57) 107 7", ["(57)", "107", "7"]),
        ("Comparable sales 15.6% 21.4% (4.8%)", ["15.6%", "21.4%", "(4.8%)"]),
        ("Goodwill — 12", ["—", "12"]),
        ("营业收入 1,234.5 -88.1", ["1,234.5", "-88.1"]),
        ("Nothing here — —", []),
        ("On December 31, 2018, we had 93,516 employees.", []),
        ("as described in Note 14", ["14"]),
    ],
)
def test_numeric_cells_are_read_from_the_end_of_a_line(line: str, cells: list[str]) -> None:
    assert cells_of(line) == cells


def test_a_row_needs_two_figures() -> None:
    assert is_row("Inventories (509) (387)")
    assert not is_row("The company employed 93,516 people in 2018.")


def test_years_and_quarters_are_column_labels() -> None:
    assert is_column_labels("(Millions) 2018 2017 2016")
    assert is_column_labels("FY22 FY21")
    assert not is_column_labels("Capital expenditure 2018 1,577")


def test_a_second_row_of_years_starts_a_second_table() -> None:
    lines = [Line(text) for text in ("2018 2017", "Sales 5 6", "Costs 3 4", "2016 2015", "Sales 7 8", "Costs 1 2")]
    tables = [part for part in parts_of(lines) if isinstance(part, TableLines)]
    assert [(table.lines[0], table.header_lines, len(table.lines)) for table in tables] == [
        ("2018 2017", 1, 3),
        ("2016 2015", 1, 3),
    ]


def test_prose_with_figures_stays_prose() -> None:
    lines = [
        Line("Sales grew in all regions in the course of the year, from 12 to 14 percent, and we expect"),
        Line("the same for the next year."),
    ]
    assert list(parts_of(lines)) == [lines]


def test_lines_are_joined_as_their_script_wants() -> None:
    assert join_lines(["plant and", "equipment"]) == "plant and equipment"
    assert join_lines(["资本", "支出"]) == "资本支出"
    assert join_lines(["long-", "term"]) == "long-term"
    assert join_lines(["pages 3-", "5"]) == "pages 3- 5"
    assert join_lines([]) == ""


def test_a_row_of_dates_is_a_header_and_no_row_of_figures() -> None:
    dates = "January 28, 2023 January 29, 2022"
    assert not is_row(dates)
    lines = [Line(text) for text in ("$ in millions", dates, "Goodwill 1,383 1,384", "Other assets 520 677")]
    (table,) = parts_of(lines)
    assert isinstance(table, TableLines)
    assert (table.header_lines, table.lines[:2]) == (2, ["$ in millions", dates])


def test_section_labels_between_header_and_first_row_belong_to_the_table() -> None:
    texts = (
        "Balance sheet:",
        "$ in millions",
        "January 28, 2023 January 29, 2022",
        "Assets",
        "Cash 1,874 2,936",
        "Land 1 2",
    )
    prose, table = parts_of([Line(text) for text in texts])
    assert prose == [Line("Balance sheet:")]
    assert isinstance(table, TableLines)
    assert table.lines == list(texts[1:])
    assert table.header_lines == 2
