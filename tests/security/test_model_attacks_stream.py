"""What streams is what the whole answer is, however it is cut: no mark, no hidden character slips by (case L11)."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from context.answer_marks import read_marks
from context.mark_stream import MarkStream
from ingestion.text_gate import clean
from service.clean_stream import CleanStream
from tests.security.hostile_markup import payloads

SEED = int(os.environ.get("FOVEA_TEST_SEED", "20"))
KNOWN = (1, 2)
# All that the gate and the marks judge by what stands beside it.
PIECES = st.sampled_from(
    ["[1]", "[7]", "【2】", "[^4]", "[", "]", "`", "```", " ", "\n", "\r", "\r\n", "\t", "a", "e", "\u0301", "\u0308",
     "\u200b", "\u200c", "\u200d", "\u202e", "\ufeff", "\U000e0041", "\x07", "汉", "，", "。", "ｶ", "\u3099", "か", "ক",
     "\u09cd", "ا", "👩", "\ufe0f", "가", "\u1100", "\u1161", "\u11a8", "ﬁ", "\u2126", "é", "٧", "<b>", "![x](//e)"]
)  # fmt: skip


def gated(text: str) -> str:
    return clean(text).text


def streamed(parts: list[str]) -> str:
    """What a reader has seen once all parts have come, as `service/answering.py` passes them on."""
    gate, marks = CleanStream(gated), MarkStream(KNOWN)
    shown = [marks.feed(gate.feed(part)) for part in parts]
    return "".join((*shown, marks.feed(gate.finish()), marks.finish()))


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted(place % (len(text) + 1) for place in places)
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def check(pieces: list[str], places: list[int]) -> None:
    text = "".join(pieces)
    parts = cut(text, places)
    gate = CleanStream(gated)
    assert "".join((*map(gate.feed, parts), gate.finish())) == gated(text)
    assert streamed(parts) == read_marks(gated(text), KNOWN).shown


CUTS = st.lists(st.integers(0, 10_000), max_size=10)


@seed(SEED)
@settings(max_examples=1_000, deadline=None, database=None)
@given(st.lists(PIECES, max_size=24), CUTS)
def test_l11_any_split_gives_the_checked_answer(pieces: list[str], places: list[int]) -> None:
    check(pieces, places)


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
@seed(SEED)
@settings(max_examples=10_000, deadline=None, database=None)
@given(st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=40), CUTS)
def test_l11_any_split_of_ten_thousand_texts_gives_the_checked_answer(pieces: list[str], places: list[int]) -> None:
    check(pieces, places)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_l11_every_payload_streams_as_its_checked_text(size: int) -> None:
    for text in payloads():
        assert (
            streamed([text[at : at + size] for at in range(0, len(text), size)]) == read_marks(gated(text), KNOWN).shown
        )


def test_l11_ordinary_words_are_not_held_back() -> None:
    gate = CleanStream(gated)
    assert [gate.feed(part) for part in ("Rent is", " 900 euros", " a month.")] == ["Rent i", "s 900 euro", "s a month"]
    assert gate.finish() == "."


def test_l11_a_script_without_a_place_to_cut_takes_linear_time() -> None:
    """Thai words have no blank: what is held back is looked at once, not at every part again."""
    looked = 0

    def counted(text: str) -> str:
        nonlocal looked
        looked += len(text)
        return text

    gate = CleanStream(counted)
    assert "".join(gate.feed("ก") for _ in range(20_000)) == ""
    assert gate.finish() == "ก" * 20_000 and looked == 20_000
