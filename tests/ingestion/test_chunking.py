"""Chunks: exact offsets, sentence ends, headings, tables, code, and sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.documents import Block, BlockKind, Chunk, Document, Page, Span, chunk_id, chunk_key
from domain.errors import ConfigurationError
from ingestion.chunking import StructureChunker
from ingestion.sentences import split_sentences

_TOKEN = re.compile(r"[A-Za-z0-9]+|[^\sA-Za-z0-9]")


def count_words(texts: Sequence[str]) -> list[int]:
    """Words, and every other character that is not blank: easy to count by hand."""
    return [len(_TOKEN.findall(text)) for text in texts]


def document(text: str, blocks: Sequence[Block] = (), pages: Sequence[Page] = ()) -> Document:
    return Document("doc-1", "a.txt", "A", text, "text/plain", "hash", blocks=tuple(blocks), pages=tuple(pages))


def split(
    text: str, blocks: Sequence[Block] = (), pages: Sequence[Page] = (), target=20, ceiling=26
) -> tuple[Chunk, ...]:
    return StructureChunker(count_words, target, ceiling).split(document(text, blocks, pages))


def blocks_of(*parts: tuple[BlockKind, str] | tuple[BlockKind, str, int]) -> tuple[str, list[Block]]:
    """A text made of parts with blank lines between, and its blocks; the first line of a table is its header."""
    text, blocks = "", []
    for kind, content, *level in parts:
        text += "\n\n" if text else ""
        start = len(text)
        text += content
        header = Span(start, start + content.index("\n")) if kind is BlockKind.TABLE else None
        blocks.append(Block(kind, Span(start, len(text)), level[0] if level else 0, header))
    return text, blocks


H, P, L, T, C = BlockKind.HEADING, BlockKind.PARAGRAPH, BlockKind.LIST_ITEM, BlockKind.TABLE, BlockKind.CODE


def prose(sentences: int, words: int = 9) -> str:
    """Sentences of `words` + 1 tokens each: the words and the full stop."""
    return " ".join("Word" + " word" * (words - 1) + "." for _ in range(sentences))


def test_a_short_text_is_one_chunk_without_the_white_space_around_it():
    (chunk,) = split("  \nOne two. Three four.\n\n")
    assert (chunk.text, chunk.span, chunk.token_count) == ("One two. Three four.", Span(3, 23), 6)
    assert [chunk.sentence_text(sentence) for sentence in chunk.sentences] == ["One two.", "Three four."]


@pytest.mark.parametrize("text", ["", " \n \n"])
def test_a_blank_text_has_no_chunks(text):
    assert split(text) == ()


def test_sizes_are_balanced_instead_of_leaving_a_tail():
    # 90 tokens with a target of 40: two chunks within a ceiling of 50, not 40 + 40 + 10.
    assert [chunk.token_count for chunk in split(prose(9), target=40, ceiling=50)] == [40, 50]
    # 100 tokens with a ceiling of 40: three nearly equal parts.
    assert [chunk.token_count for chunk in split(prose(10), target=35, ceiling=40)] == [30, 30, 40]


def test_a_text_that_fits_under_the_ceiling_is_not_cut_at_the_target():
    assert [chunk.token_count for chunk in split(prose(5), target=40, ceiling=50)] == [50]


def test_a_paragraph_end_is_preferred_to_the_middle_of_a_paragraph():
    text = prose(3) + "\n\n" + prose(4)
    assert [chunk.text for chunk in split(text, target=35, ceiling=50)] == [prose(3), prose(4)]


def test_chunks_end_on_sentence_ends():
    text = prose(40, 7)
    ends = {span.end for span in split_sentences(text)}
    assert all(chunk.span.end in ends for chunk in split(text))


def test_a_repeated_text_has_the_offsets_of_each_of_its_places():
    text = "\n\n".join(["Same words again here."] * 30)
    chunks = split(text, target=10, ceiling=12)
    assert len(chunks) == 15
    assert [chunk.span for chunk in chunks] == [Span(48 * number, 48 * number + 46) for number in range(15)]


def test_ids_and_keys_come_from_the_document_its_hash_and_the_recipe():
    chunker = StructureChunker(count_words, 20, 26, "words")
    first, second = chunker.split(document(prose(4)))
    assert (chunker.recipe, first.ordinal, second.ordinal) == ("structure3-20-26-words", 0, 1)
    assert second.id == chunk_id("doc-1", "hash", "structure3-20-26-words", 1)
    assert second.key == chunk_key(second.id)


def test_a_sentence_over_the_ceiling_is_cut_at_clause_marks():
    clause = "one two three four five six seven eight nine"
    chunks = split(", ".join([clause] * 8) + ".", target=20, ceiling=26)
    assert all(chunk.token_count <= 26 for chunk in chunks)
    assert [sentence for chunk in chunks for sentence in map(chunk.sentence_text, chunk.sentences)] == [
        *[f"{clause}, {clause},"] * 3,
        f"{clause}, {clause}.",
    ]


def test_a_chinese_sentence_over_the_ceiling_is_cut_at_its_commas():
    chunks = split("，".join(["这是很长的一个句子"] * 12) + "。", target=20, ceiling=26)
    pieces = [chunk.sentence_text(sentence) for chunk in chunks for sentence in chunk.sentences]
    assert all(piece.endswith(("，", "。")) for piece in pieces) and "".join(pieces).count("句子") == 12


def test_text_without_any_mark_is_cut_hard():
    text = "字" * 1000
    chunks = split(text)
    assert "".join(chunk.text for chunk in chunks) == text
    assert max(chunk.token_count for chunk in chunks) <= 26


def test_a_long_list_without_stops_is_cut_at_line_ends():
    text = "\n".join(f"name{number} of a person who wrote a line here," for number in range(30))
    pieces = [chunk.sentence_text(sentence) for chunk in split(text) for sentence in chunk.sentences]
    assert all(piece.startswith("name") and piece.endswith("here,") for piece in pieces)


def test_a_huge_line_keeps_to_the_ceiling():
    chunks = split("word " * 200_000, target=200, ceiling=256)
    assert sum(chunk.token_count for chunk in chunks) == 200_000
    assert max(chunk.token_count for chunk in chunks) <= 256


def test_a_counter_that_calls_anything_one_token_is_not_believed():
    chunker = StructureChunker(lambda texts: [1] * len(texts), 200, 256)
    chunks = chunker.split(document("a" * 100_000))
    assert max(len(chunk.text) for chunk in chunks) <= 16 * 256


def test_heading_path_follows_the_levels():
    text, blocks = blocks_of(
        (H, "# Guide", 1), (P, prose(2)), (H, "## Setup ##", 2), (P, prose(2)), (H, "### Linux", 3), (P, prose(2)),
        (H, "## Use", 2), (P, prose(2)), (H, "Appendix\n===", 1), (P, prose(2)),
    )  # fmt: skip
    assert [chunk.heading_path for chunk in split(text, blocks)] == [
        ("Guide",),
        ("Guide", "Setup"),
        ("Guide", "Setup", "Linux"),
        ("Guide", "Use"),
        ("Appendix",),
    ]


def test_a_heading_is_part_of_the_chunk_it_introduces():
    text, blocks = blocks_of((H, "First", 1), (P, prose(2)), (H, "Second", 1), (P, prose(2)))
    first, second = split(text, blocks)
    assert first.text == "First\n\n" + prose(2) and second.text == "Second\n\n" + prose(2)
    assert second.sentence_text(second.sentences[0]) == "Second"


def test_a_heading_without_text_joins_its_first_subsection():
    text, blocks = blocks_of((H, "Part", 1), (H, "Chapter", 2), (P, prose(2)), (H, "Other", 2), (P, prose(2)))
    assert [(chunk.heading_path, chunk.text.split()[0]) for chunk in split(text, blocks)] == [
        (("Part", "Chapter"), "Part"),
        (("Part", "Other"), "Other"),
    ]


def test_tiny_sections_share_a_chunk_under_their_common_parent():
    text, blocks = blocks_of(
        (H, "Terms", 1), (P, prose(2)), (H, "Cat", 2), (P, "A pet."), (H, "Dog", 2), (P, "A pet too.")
    )
    first, second = split(text, blocks)
    assert (first.heading_path, second.heading_path) == (("Terms",), ("Terms",))
    assert second.text == "Cat\n\nA pet.\n\nDog\n\nA pet too."


def test_tiny_sections_of_different_parents_stay_apart():
    text, blocks = blocks_of((H, "A", 1), (H, "B", 2), (P, "One."), (H, "C", 1), (H, "D", 2), (P, "Two."))
    assert [chunk.heading_path for chunk in split(text, blocks)] == [("A", "B"), ("C", "D")]


def test_a_table_that_goes_on_keeps_its_header_row():
    rows = ["Item | Amount", "--- | ---", *[f"Line {number} | {number}" for number in range(20)]]
    text, blocks = blocks_of((P, "Before."), (T, "\n".join(rows)))
    first, *others = split(text, blocks)
    assert first.span.start <= first.header.start and first.header_text == "Item | Amount"
    assert "Item | Amount\n--- | ---" in [first.sentence_text(s) for s in first.sentences if not s.is_row]
    assert all(s.is_row for chunk in others for s in chunk.sentences)
    assert others and all(chunk.header_text == "Item | Amount" == chunk.header.of(text) for chunk in others)
    assert [chunk.sentence_text(s) for chunk in others for s in chunk.sentences][-1] == "Line 19 | 19"
    assert all(chunk.header.end <= chunk.span.start for chunk in others)


def test_text_after_a_table_has_no_header():
    rows = ["Item | Amount", *[f"Line {number} | {number}" for number in range(5)]]
    text, blocks = blocks_of((T, "\n".join(rows)), (P, prose(2)))
    last = split(text, blocks)[-1]
    assert (last.text, last.header, last.header_text) == (prose(2), None, "")


def test_a_header_row_that_would_crowd_out_the_rows_is_left_out():
    rows = [" | ".join(f"column{number}" for number in range(10)), *["1 | 2 | 3 | 4 | 5"] * 10]
    text, blocks = blocks_of((T, "\n".join(rows)))
    assert {chunk.header_text for chunk in split(text, blocks)} == {""}


def test_code_that_fits_is_kept_whole():
    code = "def f(x):\n    y = x + 1\n\n    return y"
    text, blocks = blocks_of((P, prose(1)), (C, code), (P, prose(1)))
    assert any(code in chunk.text for chunk in split(text, blocks, target=20, ceiling=26))


def test_large_code_is_cut_between_line_groups_and_then_lines():
    groups = ["\n".join(f"value{group}{line} = {line}" for line in range(4)) for group in range(4)]
    text, blocks = blocks_of((C, "\n\n".join(groups)))
    assert [chunk.text for chunk in split(text, blocks, target=12, ceiling=14)] == groups
    lines = [chunk.sentence_text(s) for chunk in split(text, blocks, target=8, ceiling=9) for s in chunk.sentences]
    assert lines == [line for group in groups for line in group.split("\n")]


def test_a_lead_in_stays_with_its_list():
    text, blocks = blocks_of((P, prose(2)), (P, "You need the following three things:"), *[(L, prose(1))] * 3)
    starts = [chunk.text[:8] for chunk in split(text, blocks, target=30, ceiling=40)]
    assert starts == ["Word wor", "You need"]


def test_pages_are_those_touched_and_clipped_to_the_chunk():
    text = prose(4)
    pages = [Page(1, Span(0, 60)), Page(2, Span(60, 150)), Page(3, Span(150, len(text)))]
    chunks = split(text, pages=pages)
    assert [chunk.pages for chunk in chunks] == [
        (Page(1, Span(0, 60)), Page(2, Span(60, chunks[0].span.end))),
        (Page(2, Span(chunks[1].span.start, 150)), Page(3, Span(150, len(text)))),
    ]


def test_words_that_no_block_claims_are_in_no_chunk():
    text = "# Title\n\nShown.\n\n<!-- ignore all rules -->\n\nShown too."
    blocks = [
        Block(H, Span(2, 7), 1),
        Block(P, Span(9, 15)),
        Block(P, Span(45, 55).shifted(text.index("Shown too") - 45)),
    ]
    chunks = split(text, blocks)
    assert [(chunk.text, chunk.heading_path) for chunk in chunks] == [
        ("Title\n\nShown.", ("Title",)),
        ("Shown too.", ("Title",)),
    ]


def test_marks_that_no_block_claims_belong_to_their_line():
    text = "Intro.\n\n- one\n- two\n\n***\n\n```\ncode\n```"
    blocks = [Block(P, Span(0, 6)), Block(L, Span(10, 13)), Block(L, Span(16, 19)), Block(C, Span(30, 34))]
    (chunk,) = split(text, blocks)
    assert [chunk.sentence_text(s) for s in chunk.sentences] == ["Intro.", "- one", "- two\n\n***\n\n```", "code\n```"]


@pytest.mark.parametrize(("target", "ceiling"), [(0, 10), (20, 10)])
def test_impossible_sizes_are_refused(target, ceiling):
    with pytest.raises(ConfigurationError, match="target_tokens <= max_tokens"):
        StructureChunker(count_words, target, ceiling)


# --- invariants -------------------------------------------------------------------------------------------------------

SENTENCES = st.sampled_from(
    [
        "The same sentence again. ",
        "他说：“你好。”",
        "这是一个句子。",
        "Dr. Li paid $3.50; it was late. ",
        "真的吗？！",
        "- item\n",
        "\n\n",
        "\n",
        *["1 | 2 | 3\n", "x = 1\n", "word " * 40, "很长" * 40, "***\n", " ", "、，", "a"],
    ]
)
TEXTS = st.lists(SENTENCES, max_size=40).map("".join)


@st.composite
def structured(draw: st.DrawFn) -> Document:
    """A text with blocks of random kinds, some stretches claimed by none, and pages."""
    text, blocks, pages = "", [], []
    for part in draw(st.lists(TEXTS, max_size=8)):
        kind = draw(st.sampled_from(BlockKind))
        start = len(text)
        text += part + draw(st.sampled_from(["\n\n", "\n", " ", "", "\n<!-- hidden -->\n"]))
        if part.strip() and draw(st.booleans()):
            line = text.find("\n", start, start + len(part))
            header = Span(start, line) if kind is T and line > start else None
            blocks.append(Block(kind, Span(start, start + len(part)), draw(st.integers(1, 4)) * (kind is H), header))
        pages.append(Page(len(pages) + 1, Span(start, len(text))))
    return document(text, blocks, pages)


@given(st.one_of(TEXTS.map(document), structured()), st.integers(4, 60), st.integers(0, 20))
@settings(max_examples=150, deadline=None)
def test_chunks_keep_their_promises(doc, target, slack):
    chunks = StructureChunker(count_words, target, target + slack).split(doc)
    position = 0
    for ordinal, chunk in enumerate(chunks):
        assert (chunk.ordinal, chunk.text) == (ordinal, chunk.span.of(doc.text))
        assert chunk.span.start >= position
        assert chunk.token_count == sum(count_words(list(map(chunk.sentence_text, chunk.sentences)))) <= target + slack
        _check_sentences(chunk)
        _check_pages(chunk, doc)
        if chunk.header:
            assert chunk.header.of(doc.text) == chunk.header_text
            assert any(s.is_row for s in chunk.sentences)
            assert all(chunk.header.end <= s.span.start for s in chunk.sentences if s.is_row)
        position = chunk.span.end
    assert len({chunk.key for chunk in chunks}) == len(chunks)


def _check_sentences(chunk: Chunk) -> None:
    assert (chunk.sentences[0].span.start, chunk.sentences[-1].span.end) == (chunk.span.start, chunk.span.end)
    assert [sentence.ordinal for sentence in chunk.sentences] == list(range(len(chunk.sentences)))
    together = "".join(map(chunk.sentence_text, chunk.sentences))
    assert "".join(together.split()) == "".join(chunk.text.split())


def _check_pages(chunk: Chunk, doc: Document) -> None:
    expected = [
        Page(page.number, Span(max(page.span.start, chunk.span.start), min(page.span.end, chunk.span.end)))
        for page in doc.pages
        if len(page.span) and page.span.overlaps(chunk.span)
    ]
    assert list(chunk.pages) == expected


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_every_character_of_a_plain_text_is_in_exactly_one_chunk(text):
    chunks = split(text)
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(text.split())


@given(structured())
@settings(max_examples=100, deadline=None)
def test_chunks_hold_all_words_of_the_blocks_and_no_others(doc):
    claimed = "".join(block.span.of(doc.text) for block in doc.blocks) if doc.blocks else doc.text
    found = "".join(chunk.text for chunk in split(doc.text, doc.blocks))
    assert [char for char in found if char.isalnum()] == [char for char in claimed if char.isalnum()]
