"""Word, PowerPoint, spreadsheets, e-books and e-mail."""

from typing import Any

import pytest

from domain.documents import BlockKind, LoadedDocument, page_of
from domain.errors import LoadError
from ingestion.loaders import archive
from ingestion.loaders.archive import guard_archive
from ingestion.loaders.epub import EpubLoader
from ingestion.loaders.mail import MailLoader
from ingestion.loaders.slides import SlidesLoader
from ingestion.loaders.tabular import SpreadsheetLoader
from ingestion.loaders.word import WordLoader
from tests.ingestion import samples


def blocks_of(document: LoadedDocument) -> list[tuple[str, str]]:
    return [(block.kind.value, block.span.of(document.text)) for block in document.blocks]


# --- Word ---


def build_report(document: Any) -> None:
    document.add_heading("Report", 1)
    paragraph = document.add_paragraph("Visible ")
    hidden = paragraph.add_run("secret ")
    hidden.font.hidden = True
    paragraph.add_run("text.")
    document.add_heading("Details", 2)
    document.add_paragraph("first", style="List Bullet")
    document.add_paragraph("second", style="List Number")
    table = document.add_table(rows=2, cols=2)
    for row, cells in enumerate((("Year", "Capex"), ("2018", "1,577"))):
        for column, value in enumerate(cells):
            table.cell(row, column).text = value
    document.add_paragraph("After the table.")


def test_word_keeps_the_order_of_headings_lists_and_tables() -> None:
    document = WordLoader().load(samples.docx(build_report), "report.docx")
    assert blocks_of(document) == [
        ("heading", "Report"),
        ("paragraph", "Visible text."),
        ("heading", "Details"),
        ("list_item", "- first"),
        ("list_item", "- second"),
        ("table", "Year | Capex\n2018 | 1,577"),
        ("paragraph", "After the table."),
    ]
    assert [block.level for block in document.blocks if block.level] == [1, 2]
    table = document.blocks[5]
    assert table.header is not None and table.header.of(document.text) == "Year | Capex"


def test_merged_cells_of_a_word_table_appear_once() -> None:
    def build(document: Any) -> None:
        table = document.add_table(rows=2, cols=2)
        table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
        table.cell(1, 0).text, table.cell(1, 1).text = "a", "b"

    assert WordLoader().load(samples.docx(build), "x.docx").text == "wide\na | b"


def test_a_truncated_word_file_says_that_it_is_damaged() -> None:
    data = samples.docx(build_report)
    with pytest.raises(LoadError, match="damaged or cut off") as caught:
        WordLoader().load(data[: len(data) // 2], "x.docx")
    assert caught.value.code == "corrupt_document"


# --- PowerPoint ---


@pytest.mark.parametrize(
    ("paragraphs", "properties", "title"),
    [
        ([("Title", "Lease"), ("Heading 1", "Rent")], "Lease of the cottage", "Lease of the cottage"),
        ([("Normal", "Draft"), ("Title", " 租赁\n合同 "), ("Title", "Other")], "", "租赁 合同"),
        ([("Heading 1", "Rent"), ("Title", "Lease")], "Word Document", "Lease"),
        ([("Title", ""), ("Heading 1", "Rent"), ("Heading 1", "Term")], " ", "Rent"),
        ([("Normal", ""), ("Heading 1", "Rent")], "", "Rent"),
        ([("Normal", "For the tenant."), ("Heading 1", "Rent")], "", "lease-v2"),
        ([("Heading 2", "Rent"), ("Heading 1", "Term")], "", "lease-v2"),
        ([("Subtitle", "Draft"), ("Heading 1", "Rent")], "", "lease-v2"),
    ],
)
def test_a_word_document_is_called_what_it_calls_itself(
    paragraphs: list[tuple[str, str]], properties: str, title: str
) -> None:
    def build(document: Any) -> None:
        document.core_properties.title = properties
        for style, text in paragraphs:
            document.add_paragraph(text, style)

    assert WordLoader().load(samples.docx(build), "lease-v2.docx").title == title


def test_a_heading_below_a_table_and_a_hidden_title_name_no_document() -> None:
    def build(document: Any) -> None:
        document.add_paragraph(style="Title").add_run("Obey me").font.hidden = True
        document.add_table(1, 1).cell(0, 0).text = "Rent"
        document.add_paragraph("Term", "Heading 1")

    assert WordLoader().load(samples.docx(build), "lease.docx").title == "lease"


def test_each_slide_is_a_page_with_title_points_and_notes() -> None:
    data = samples.pptx([("Revenue", ["up", "down"], "say it slowly"), ("Outlook", ["only one"], "")])
    document = SlidesLoader().load(data, "deck.pptx")
    assert blocks_of(document) == [
        ("heading", "Revenue"),
        ("list_item", "- up"),
        ("list_item", "- down"),
        ("paragraph", "Notes: say it slowly"),
        ("heading", "Outlook"),
        ("paragraph", "only one"),
    ]
    assert [page.number for page in document.pages] == [1, 2]
    assert page_of(document.pages, document.text.index("only one")) == 2
    assert page_of(document.pages, document.text.index("slowly")) == 1


# --- spreadsheets ---


def test_each_visible_sheet_is_a_heading_and_a_table() -> None:
    data = samples.xlsx(
        {
            "Capex": [["Item", 2018, 2017], [], ["PP&E", 1577, 1373.5]],
            "Scratch": [["not", "shown"]],
            "Empty": [],
            "中文": [["项目", "值"], ["资本支出", 15]],
        },
        hidden=["Scratch"],
    )
    document = SpreadsheetLoader().load(data, "book.xlsx")
    assert blocks_of(document) == [
        ("heading", "Capex"),
        ("table", "Item | 2018 | 2017\nPP&E | 1577 | 1373.5"),
        ("heading", "中文"),
        ("table", "项目 | 值\n资本支出 | 15"),
    ]
    assert "Scratch" in document.warnings[0]


def test_i5_an_empty_workbook_is_refused() -> None:
    with pytest.raises(LoadError) as caught:
        SpreadsheetLoader().load(samples.xlsx({"A": []}), "x.xlsx")
    assert caught.value.code == "empty_document"


# --- the archive guard ---


def test_i3_a_decompression_bomb_is_stopped_by_its_ratio() -> None:
    bomb = samples.zipped({"xl/workbook.xml": "", "xl/worksheets/sheet1.xml": b"0" * 30_000_000})
    assert len(bomb) < 100_000
    with pytest.raises(LoadError, match="100 times") as caught:
        SpreadsheetLoader().load(bomb, "bomb.xlsx")
    assert caught.value.code == "decompression_limit"


def test_i3_a_lying_size_in_the_directory_does_not_help_a_bomb() -> None:
    bomb = bytearray(samples.zipped({"xl/workbook.xml": b"0" * 30_000_000}))
    # The uncompressed size stands 24 bytes into the central directory record.
    record = bomb.index(b"PK\x01\x02")
    bomb[record + 24 : record + 28] = (1000).to_bytes(4, "little")
    with pytest.raises(LoadError) as caught:
        guard_archive(bytes(bomb))
    assert caught.value.code in ("decompression_limit", "corrupt_document")


def test_i3_total_size_and_number_of_parts_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 10_000)
    with pytest.raises(LoadError, match="unpacks to more than") as caught:
        guard_archive(samples.zipped({"a.bin": bytes(range(256)) * 60}))
    assert caught.value.code == "decompression_limit"
    with pytest.raises(LoadError, match="2001 parts") as caught:
        guard_archive(samples.zipped((f"{i}.xml", "x") for i in range(2001)))
    assert caught.value.code == "decompression_limit"


@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        "<!doctype worksheet>",
        '<!ENTITY a "b">',
        " " * 70_000 + "<!DOCTYPE x>",  # across the pieces in which a part is read
        " " * (65_536 - len('<?xml version="1.0"?>') - 4) + "<!DOCTYPE x>",
    ],
)
def test_i4_document_types_and_entities_in_office_parts_are_refused(prolog: str) -> None:
    with pytest.raises(LoadError, match="document type or an entity") as caught:
        SpreadsheetLoader().load(samples.xlsx({"A": [["x"]]}, extra=prolog), "x.xlsx")
    assert caught.value.code == "corrupt_document"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_i4_a_document_type_in_utf16_is_found(encoding: str) -> None:
    with pytest.raises(LoadError, match="document type"):
        guard_archive(samples.zipped({"word/document.xml": '<?xml version="1.0"?><!DOCTYPE a><a/>'.encode(encoding)}))


def test_i4_an_encoding_that_could_hide_a_document_type_is_refused() -> None:
    with pytest.raises(LoadError, match="encoding UTF-7"):
        guard_archive(samples.zipped({"word/document.xml": '<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE a>'}))


# --- e-books ---


def test_chapters_come_in_spine_order_under_their_headings() -> None:
    data = samples.epub(
        {
            "one.xhtml": "<h1>One</h1><p>First <b>words</b>.</p><p hidden>gone</p>",
            "two.xhtml": "<h2>Two</h2><ul><li>a</li><li>b</li></ul>",
        },
        title="The Book",
    )
    document = EpubLoader().load(data, "b.epub")
    assert document.title == "The Book"
    assert document.metadata["author"] == "Ann Author"
    assert blocks_of(document) == [
        ("heading", "One"),
        ("paragraph", "First words."),
        ("heading", "Two"),
        ("list_item", "- a"),
        ("list_item", "- b"),
    ]


def test_i4_an_e_book_with_entities_is_refused() -> None:
    with pytest.raises(LoadError, match="entity"):
        EpubLoader().load(samples.epub({"a.xhtml": "<p>x</p>"}, doctype='<!DOCTYPE html [<!ENTITY a "b">]>'), "b.epub")


def test_an_e_book_without_a_package_says_so() -> None:
    with pytest.raises(LoadError, match="table of contents"):
        EpubLoader().load(samples.zipped({"META-INF/container.xml": "<container/>"}), "b.epub")


# --- e-mail ---


def test_mail_shows_headers_body_and_attachment_names() -> None:
    data = samples.mail("Über Umsätze 收入", "Dear Bob,\n\nsee below.\n", attachments=["plan.pdf"])
    document = MailLoader().load(data, "m.eml")
    assert document.title == "Über Umsätze 收入"
    assert document.metadata["attachments"] == ["plan.pdf"]
    kinds = [block.kind for block in document.blocks]
    assert kinds == [
        BlockKind.HEADING,
        BlockKind.PARAGRAPH,
        BlockKind.PARAGRAPH,
        BlockKind.PARAGRAPH,
        BlockKind.LIST_ITEM,
    ]
    assert "From: Ann Author <ann@example.com>" in document.text
    assert "see below." in document.text


def test_an_html_mail_is_read_without_its_hidden_part() -> None:
    html = "<p>Hello</p><div style='display: none'>buy now</div><table><tr><td>a</td><td>1</td></tr></table>"
    document = MailLoader().load(samples.mail("s", "", html=html), "m.eml")
    assert "Hello" in document.text and "a | 1" in document.text
    assert "buy now" not in document.text
