"""A streamed answer shows what the whole answer shows, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.answer_marks import LONGEST_INLINE, read_marks
from context.mark_stream import MarkStream

PIECES = st.sampled_from(
    [
        "[1]",
        "[7]",
        "【2】",
        "[1, 9]",
        "[",
        "]",
        " ",
        "  ",
        "`",
        "``",
        "```",
        "\n",
        "a",
        "rents",
        "[1†src]",
        "1",
        "7",
        "，",
        "汉",
    ]
)


def streamed(parts: list[str], known: tuple[int, ...] = (1, 2)) -> list[str]:
    stream = MarkStream(known)
    return [*(stream.feed(part) for part in parts), stream.finish()]


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=30), st.data())
def test_the_parts_joined_are_the_text_as_checked(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join(streamed(parts)) == read_marks(text, (1, 2)).shown


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_an_invented_mark_never_flashes_up(size: int) -> None:
    text = "Rent is 900 euros [7]. It is paid monthly [1] [23]."
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    shown = ""
    for part in streamed(parts):
        shown += part
        assert "[7" not in shown
        assert "[2" not in shown
    assert shown == "Rent is 900 euros. It is paid monthly [1]."


def test_text_without_brackets_goes_on_at_once() -> None:
    assert streamed(["Rent is", " 900", " euros."]) == ["Rent is", " 900", " euros.", ""]


def test_a_long_block_of_code_streams_while_it_is_written() -> None:
    shown = streamed(["```\nx = a[7]\n", "y = b[8]\n", "``", "` done [7]."])
    assert shown[0] == "```\nx = a[7]\n"
    assert "".join(shown) == "```\nx = a[7]\ny = b[8]\n``` done."


def test_a_bracket_that_is_no_mark_is_given_back() -> None:
    assert "".join(streamed(["see [the ", "annex] and [", "unfinished"])) == "see [the annex] and [unfinished"


@pytest.mark.parametrize("held", ["`" + "a" * 200_000, "a" + " " * 200_000, "[" * 200_000, "`a " * 60_000], ids=len)
def test_what_never_ends_is_shown_all_the_same(held: str) -> None:
    """Read anew with each part, it would take hours: an open backtick, blanks, brackets."""
    parts = streamed([held[at : at + 4] for at in range(0, len(held), 4)])
    assert "".join(parts) == held


def test_a_backtick_that_nothing_closes_holds_back_no_more_than_the_longest_code_of_a_line() -> None:
    stream = MarkStream([1])
    shown = "".join(stream.feed("word ") for _ in range(100)) + stream.feed("`")
    shown += "".join(stream.feed("word ") for _ in range(300))
    assert len(shown) > 100 * 5 + 300 * 5 - LONGEST_INLINE
    assert stream.feed("[7] and [1].").endswith("and [1].")  # no code: the marks behind it are marks
