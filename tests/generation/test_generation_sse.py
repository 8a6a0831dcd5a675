"""Server-sent events: any cut of the same bytes gives the same events."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.sse import EventStream, EventTooLarge


def events_of(chunks: list[bytes]) -> list[str]:
    stream = EventStream()
    return [event for chunk in chunks for event in stream.feed(chunk)] + stream.finish()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data:a\r\n\r\ndata:b\r\rdata: c", ["a", "b", "c"]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b": comment\n\nevent: x\nid: 1\nretry: 5\ndata: a\ndata: b\n\n", ["a\nb"]),
        (b"data:  two blanks\n\n", [" two blanks"]),
        (b"data\n\n", [""]),
        (b"\n\n\n", []),
        (b"nonsense\n\n", []),
        (b"", []),
    ],
)
def test_events_follow_the_standard(data: bytes, events: list[str]) -> None:
    assert events_of([data]) == events


TEXT = st.text(alphabet="a汉\U0001f600 :", max_size=6)
LINES = st.lists(st.one_of(TEXT.map(lambda text: f"data: {text}"), TEXT.map(lambda text: f":{text}"), st.just("")))


@settings(max_examples=500, deadline=None)
@given(LINES, st.sampled_from(("\n", "\r\n", "\r")), st.booleans(), st.lists(st.integers(0, 400), max_size=8))
def test_u8_any_cut_of_the_bytes_gives_the_same_events(
    lines: list[str], end: str, marked: bool, places: list[int]
) -> None:
    data = (b"\xef\xbb\xbf" if marked else b"") + end.join(lines).encode()
    expected, held = [], list[str]()
    for line in [*lines, ""]:  # the reference: line by line
        if line.startswith("data: "):
            held.append(line[6:])
        elif not line and held:
            expected.append("\n".join(held))
            held = []
    assert events_of(cut(data, places)) == expected


def test_broken_utf8_is_an_error() -> None:
    with pytest.raises(UnicodeDecodeError):
        events_of([b"data: \xe4\xb8", b"x\n\n"])
    with pytest.raises(UnicodeDecodeError):
        events_of([b"data: \xe4\xb8"])


def test_one_event_is_bounded_but_a_stream_is_not() -> None:
    stream = EventStream(max_characters=100)
    for _ in range(1_000):
        assert stream.feed(b": a comment of some length\ndata: " + b"a" * 50 + b"\n\n") == ["a" * 50]
    with pytest.raises(EventTooLarge):
        for _ in range(10):
            stream.feed(b"data: " + b"a" * 20 + b"\n")


def test_events_before_broken_utf8_are_given_out_however_the_bytes_are_cut() -> None:
    data = b"data: a\n\ndata: b\n\ndata: \xff\n\n"
    for place in range(len(data)):
        stream, events = EventStream(), list[str]()
        with pytest.raises(UnicodeDecodeError):
            for chunk in (data[:place], data[place:]):
                events += stream.feed(chunk)
            stream.finish()
        assert events == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "foreign"),
    [
        (b"<html>\n", True),
        (b"<html>", True),
        (b'{"id": 1}', True),
        (b"dat", False),
        (b"e", False),
        (b"data: x", False),
        (b": comment\nevent: x\nid\nretry: 1\n", False),
    ],
)
def test_lines_of_a_page_are_told_from_cut_ones(data: bytes, foreign: bool) -> None:
    stream = EventStream()
    stream.feed(data)
    stream.finish()
    assert stream.foreign is foreign
