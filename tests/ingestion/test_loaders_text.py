"""Plain text, Markdown, code and delimited tables."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.documents import BlockKind, LoadedDocument
from ingestion.loaders.code import SourceCodeLoader
from ingestion.loaders.markdown import MarkdownLoader
from ingestion.loaders.plain import PlainTextLoader, line_spans, paragraph_blocks
from ingestion.loaders.tabular import DelimitedLoader, delimiter_of
from ingestion.text_gate import clean


def blocks_of(document: LoadedDocument) -> list[tuple[str, str]]:
    return [(block.kind.value, block.span.of(document.text)) for block in document.blocks]


def assert_sound(document: LoadedDocument) -> None:
    """Blocks are disjoint, ascending and inside the text; headers lie inside their tables."""
    end = 0
    for block in document.blocks:
        assert end <= block.span.start < block.span.end <= len(document.text)
        assert block.header is None or block.span.contains(block.header)
        assert (block.level > 0) == (block.kind is BlockKind.HEADING)
        end = block.span.end


# --- plain text ---


def test_plain_text_is_the_file_itself_in_paragraphs() -> None:
    document = PlainTextLoader().load(b"One.\r\nStill one.\r\n\r\n  Two.  \r\n", "notes/a.txt")
    assert document.text == "One.\nStill one.\n\n  Two.  \n"
    assert document.title == "a"
    assert blocks_of(document) == [("paragraph", "One.\nStill one."), ("paragraph", "Two.")]


def test_chapter_lines_standing_alone_are_headings() -> None:
    document = PlainTextLoader().load("Chapter 1\n\nText.\n\n第二章 开端\n\n正文。\n".encode(), "b.txt")
    assert [kind for kind, _ in blocks_of(document)] == ["heading", "paragraph", "heading", "paragraph"]


def test_gb18030_and_utf16_files_are_read() -> None:
    text = "第一段文字是用旧编码保存的。\n\n第二段也是。\n"
    for encoding in ("gb18030", "utf-16", "utf-16-le", "utf-8-sig"):
        document = PlainTextLoader().load(text.encode(encoding), "a.txt")
        assert document.text == text
        assert len(document.blocks) == 2


def test_removed_characters_shift_nothing_after_them() -> None:
    document = PlainTextLoader().load("a\u200b\u202eb\n\nsecond".encode(), "a.txt")
    assert blocks_of(document) == [("paragraph", "ab"), ("paragraph", "second")]
    assert document.warnings


@given(st.text())
def test_every_text_gives_sound_paragraphs_that_hold_all_of_it(raw: str) -> None:
    text = clean(raw).text
    document = LoadedDocument("t", text, "text/plain", paragraph_blocks(text))
    assert_sound(document)
    kept = "".join(content for _, content in blocks_of(document))
    assert "".join(kept.split()) == "".join(text.split())


def test_lines_end_at_newlines_only() -> None:
    text = "a\u2028b\n\nc"
    assert [span.of(text) for span in line_spans(text)] == ["a\u2028b", "", "c"]


# --- Markdown ---

MARKDOWN = """---
title: "From the front matter"
---
# Install *now* #

Run it.
Twice.

- first
- second
  - nested
1. numbered

<!-- a hidden note -->

| year | capex |
|------|------:|
| 2018 | 1,577 |

```python
# not a heading
x = 1
```

Setext
======
> quoted
"""


def test_markdown_structure_is_found_and_the_text_unchanged() -> None:
    document = MarkdownLoader().load(MARKDOWN.encode(), "readme.md")
    assert document.text == MARKDOWN
    assert_sound(document)
    assert blocks_of(document) == [
        ("heading", "Install *now*"),
        ("paragraph", "Run it.\nTwice."),
        ("list_item", "- first"),
        ("list_item", "- second"),
        ("list_item", "- nested"),
        ("list_item", "1. numbered"),
        ("table", "| year | capex |\n|------|------:|\n| 2018 | 1,577 |"),
        ("code", "```python\n# not a heading\nx = 1\n```"),
        ("heading", "Setext"),
        ("paragraph", "> quoted"),
    ]
    table = next(block for block in document.blocks if block.kind is BlockKind.TABLE)
    assert table.header is not None
    assert table.header.of(document.text) == "| year | capex |"
    assert document.title == "From the front matter"


def test_the_first_top_heading_is_the_title() -> None:
    assert MarkdownLoader().load(b"## sub\n\n# Top\n", "x.md").title == "Top"
    assert MarkdownLoader().load(b"just text\n", "notes.md").title == "notes"


def test_heading_levels_are_kept() -> None:
    document = MarkdownLoader().load(b"# a\n\n### b\n\nc\n-\n", "x.md")
    assert [(block.level, block.span.of(document.text)) for block in document.blocks] == [(1, "a"), (3, "b"), (2, "c")]


_LINES = st.sampled_from(
    [
        "# h",
        "text",
        "",
        "",
        "- item",
        "  - sub",
        "1. n",
        "> q",
        "```",
        "| a | b |",
        "|---|---|",
        "    code",
        "===",
        "---",
    ]
)


@settings(max_examples=300)
@given(st.lists(_LINES, max_size=25))
def test_any_mixture_of_markdown_lines_gives_sound_blocks(lines: list[str]) -> None:
    text = "\n".join(lines)
    document = MarkdownLoader().load(text.encode(), "x.md")
    assert document.text == clean(text).text
    assert_sound(document)


# --- code ---

PYTHON = '''"""Doc."""
import os


def first(a):
    if a:

        return 1


# about second
@cached
def second():
    return (
        2

    )


class Third:
    pass
'''


def test_code_is_cut_at_top_level_definitions() -> None:
    document = SourceCodeLoader().load(PYTHON.encode(), "src/tool.py")
    assert document.text == PYTHON
    assert document.title == "tool.py"
    assert document.metadata["language"] == "python"
    assert_sound(document)
    starts = [text.split("\n")[0] for _, text in blocks_of(document)]
    assert starts == ['"""Doc."""', "def first(a):", "# about second", "class Third:"]
    assert blocks_of(document)[1][1].endswith("return 1")


def test_closing_brackets_stay_with_their_definition() -> None:
    document = SourceCodeLoader().load(b"void f()\n\n{\n  g();\n\n}\n\nint h;\n", "x.c")
    assert [text for _, text in blocks_of(document)] == ["void f()\n\n{\n  g();\n\n}", "int h;"]


# --- delimited tables ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b,c;d\n1;2;3\n4;5;6\n", ";"),
        ("a\tb\n1\t2\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ('"x, y";2\n"z, w";3\n', ";"),
        ("only\none\n", ","),
    ],
)
def test_the_delimiter_is_the_one_that_gives_even_rows(text: str, expected: str) -> None:
    assert delimiter_of(text, "t.csv") == expected


def test_csv_becomes_a_table_with_one_line_a_row() -> None:
    data = b'name,amount\n"Smith, J.","1,577"\n"two\nlines",5\n,\n'
    document = DelimitedLoader().load(data, "t.csv")
    (table,) = document.blocks
    assert document.text == "name | amount\nSmith, J. | 1,577\ntwo lines | 5"
    assert table.kind is BlockKind.TABLE
    assert table.header is not None and table.header.of(document.text) == "name | amount"


def test_a_title_above_the_header_row_is_a_paragraph() -> None:
    document = DelimitedLoader().load("年度报告,,\n\n项目,2018,2017\n资本支出,15,13\n".encode("gb18030"), "t.csv")
    assert [block.kind for block in document.blocks] == [BlockKind.PARAGRAPH, BlockKind.TABLE]
    header = document.blocks[1].header
    assert header is not None and header.of(document.text) == "项目 | 2018 | 2017"


def test_a_cell_larger_than_the_csv_modules_limit_is_read() -> None:
    document = DelimitedLoader().load(b"a,b\n" + b"x" * 500_000 + b",1\n", "t.csv")
    assert len(document.text) > 500_000
