"""Server-sent events, incrementally: bytes in any cut, events out.

Follows the event-stream format of the HTML standard: UTF-8 with an optional byte order mark, lines ended by LF, CR or
CRLF, `data` fields of one event joined by LF, comment lines ignored. One deliberate difference: an event that the end
of the stream cuts off before its blank line is still given out, because several model servers end on
`data: [DONE]` without one; whether the stream is complete is judged by what the events say.
"""

from __future__ import annotations

import codecs
import re

MAX_EVENT_CHARACTERS = 512 * 1024  # twice the longest answer that is kept; a single larger event is no token
_FIELDS = ("", "event", "id", "retry")  # the empty name is a comment's
_LINE_END = re.compile(r"\r\n|\n|\r")


class EventTooLarge(ValueError):
    """One event exceeds the cap."""


class EventStream:
    """Feed it bytes; it returns the `data` of each complete event. Raises UnicodeDecodeError, EventTooLarge."""

    def __init__(self, max_characters: int = MAX_EVENT_CHARACTERS) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._max_characters = max_characters
        self._line: list[str] = []
        self._data: list[str] = []
        self._size = 0
        self._started = False
        self._skip_newline = False
        self._broken: UnicodeDecodeError | None = None
        self.foreign = False  # a line came that no event stream has: of a page, or of bare JSON

    def feed(self, chunk: bytes) -> list[str]:
        """The events that this chunk completes. What is no UTF-8 is raised after the events before it were given out,
        with the next call where there are such: how the bytes were cut must not decide which events arrive.
        """
        self._check()
        try:
            return self._take(self._decoder.decode(chunk))
        except UnicodeDecodeError as error:
            events = self._take(error.object[: error.start].decode())
            if not events:
                raise
            self._broken = error
            return events

    def finish(self) -> list[str]:
        """The event that the end of the stream leaves open, if any; half a character raises UnicodeDecodeError."""
        self._check()
        events = self._take(self._decoder.decode(b"", final=True))
        if self._line:
            self._end_line(cut=True)
        return events + self._dispatch()

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _take(self, text: str) -> list[str]:
        text = self._without_seams(text)
        events: list[str] = []
        position = 0
        for end in _LINE_END.finditer(text):
            self._grow(text[position : end.start()])
            position = end.end()
            events.extend(self._end_line())
        self._grow(text[position:])
        return events

    def _without_seams(self, text: str) -> str:
        """Undo what only the cut of the bytes made: a mark at the very start, the LF of a CRLF cut in two."""
        if text and not self._started:
            self._started = True
            text = text.removeprefix("\ufeff")
        if text and self._skip_newline:
            text = text.removeprefix("\n")
            self._skip_newline = False
        if text.endswith("\r"):
            self._skip_newline = True
        return text

    def _grow(self, piece: str) -> None:
        self._size += len(piece)
        if self._size > self._max_characters:
            raise EventTooLarge(f"one event exceeds {self._max_characters} characters")
        if piece:
            self._line.append(piece)

    def _end_line(self, cut: bool = False) -> list[str]:
        line = "".join(self._line)
        self._line.clear()
        if not line:
            return self._dispatch()
        name, colon, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        else:
            self._size -= len(line)  # comments and other fields are not kept
            unfinished = cut and not colon and any(field.startswith(name) for field in (*_FIELDS, "data"))
            self.foreign = self.foreign or not (name in _FIELDS or unfinished)
        return []

    def _dispatch(self) -> list[str]:
        event = ["\n".join(self._data)] if self._data else []
        self._data.clear()
        self._size = 0
        return event
