"""What of a conversation is carried on: into the prompt as a bounded digest, into retrieval as a standalone question.

The newest turns go on verbatim while they fit; of older ones only the key points stay (the question, and the first
sentence of the answer), newest first until the bound is reached. Citation marks are taken out: they numbered another
prompt's evidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from context.followup import standalone_question
from context.marks import without_marks
from context.rendering import neutralise
from context.templates import Wording
from domain.asking import Message

__all__ = ["carried_history", "standalone_question"]

_VERBATIM_SHARE = 0.7  # of the bound; the rest is kept for the key points of what was said before
_LONGEST_POINT = 160  # characters of a key point
_MOST_CHARACTERS_A_TOKEN = 16  # a turn longer than this times the bound cannot fit: it is not even counted
_FIRST_SENTENCE = re.compile(r".+?(?:[.!?](?=\s)|[。！？])|.+", re.DOTALL)


def carried_history(history: Sequence[Message], limit: int, wording: Wording, count: Callable[[str], int]) -> str:
    """The conversation as a Markdown section of at most `limit` tokens; empty when nothing fits or nothing was said."""
    turns = [turn for turn in history if turn.role != "system" and turn.content.strip()]
    if not turns or limit <= 0:
        return ""
    lines = [_line(turn, wording) for turn in turns]
    fits_all = _newest(lines, wording, lambda text: _fits(text, limit, count))
    if len(fits_all) == len(lines):
        return _section(wording, fits_all)
    recent = _newest(lines, wording, lambda text: _fits(text, int(limit * _VERBATIM_SHARE), count))
    older = turns[: len(turns) - len(recent)]
    return _with_points(older, recent, wording, lambda text: _fits(text, limit, count))


def _newest(lines: Sequence[str], wording: Wording, fits: Callable[[str], bool]) -> list[str]:
    """The longest tail of `lines` that fits as a section."""
    kept: list[str] = []
    for line in reversed(lines):
        if not fits(_section(wording, [line, *kept])):
            break
        kept.insert(0, line)
    return kept


def _with_points(older: Sequence[Message], recent: list[str], wording: Wording, fits: Callable[[str], bool]) -> str:
    points: list[str] = []
    for turn in reversed(older):
        point = wording.digest_label + _line(turn, wording, key_point=True)
        if not fits(_section(wording, [point, *points, *recent])):
            break
        points.insert(0, point)
    return _section(wording, [*points, *recent])


def _line(turn: Message, wording: Wording, key_point: bool = False) -> str:
    label = wording.assistant_label if turn.role == "assistant" else wording.user_label
    said = without_marks(turn.content).strip() if turn.role == "assistant" else turn.content.strip()
    return label + neutralise(_key_point(said) if key_point else said, wording)


def _key_point(text: str) -> str:
    """The first sentence, on one line, clipped."""
    first = _FIRST_SENTENCE.match(text)
    line = " ".join((first[0] if first else text).split())
    return line if len(line) <= _LONGEST_POINT else line[: _LONGEST_POINT - 1].rstrip() + "…"


def _section(wording: Wording, lines: Sequence[str]) -> str:
    return "\n".join([wording.history_title, *lines]) if lines else ""


def _fits(text: str, limit: int, count: Callable[[str], int]) -> bool:
    return len(text) <= limit * _MOST_CHARACTERS_A_TOKEN and count(text) <= limit
