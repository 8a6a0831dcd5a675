"""Sentences of an answer that it shows without standing by them: nothing in them may be shown as verified.

A reader of Markdown or HTML sees struck text struck through, comments not at all, and text behind a right-to-left
override backwards. And a list below "the following is false:" says of each true item that it is not so.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

from context.turns import Turns
from context.word_classes import FORBIDDING, NEGATIONS
from domain.documents import Span

_UNSEEN = re.compile(
    r"~~.*?~~|(?<![~\w])~(?=[^\s~\d])[^~\n]*(?<=\S)~(?![~\w])|<!--.*?(?:-->|\Z)|<(?P<tag>del|s|strike)\b[^>]{0,200}>.*?(?:</(?P=tag)\s*>|\Z)|[\u202d\u202e].*?(?:\u202c|\n|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_ITEM = re.compile(r"\s*(?:[-*•·]|\(?\d{1,3}[.)、）])\s*")
_TAIL = re.compile(r"(?<!\W)\W*+\Z")  # the signs behind the last word
_ENDED = re.compile(r"[.!?。！？][\s\"'”’」』)）*_]{0,20}\Z")
_HEADING = re.compile(r"\s{0,20}(?:#{1,6}\s|\*\*[^*\n]{1,200}\*\*:?\s{0,20}\Z)")
_LONGEST_LEAD = 2_000  # characters


def disowned(text: str, sentences: Sequence[Span]) -> frozenset[int]:
    """The places of those sentences that are struck, hidden, or said to be false by the line that leads to them.

    >>> sorted(disowned("~~Costs rose.~~ Costs fell.", [Span(0, 15), Span(15, 27)]))
    [0]
    """
    starts, ends = [0], [0]
    for match in _UNSEEN.finditer(text):
        starts.append(match.start())
        ends.append(match.end())
    found = {
        place for place, span in enumerate(sentences) if span.start < ends[bisect_left(starts, span.end, lo=1) - 1]
    }
    return frozenset(found | _below_denials(text, sentences))


def _below_denials(text: str, sentences: Sequence[Span]) -> set[int]:
    """The items of each list, or the one sentence, that a line with a negation and a colon leads to."""
    found: set[int] = set()
    led = False
    for place in range(1, len(sentences)):
        before, own = sentences[place - 1].of(text), sentences[place].of(text)
        listed = bool(_ITEM.match(own)) and not _ITEM.match(before) and not _ENDED.search(before)
        leads = (listed or _announces(before)) and _denies(before[-_LONGEST_LEAD:])
        led = leads or (led and bool(_ITEM.match(own) or _ITEM.fullmatch(before)))
        if led:
            found.add(place)
    return found


def _denies(lead: str) -> bool:
    """It says that what follows is not so, or not allowed."""
    turns = Turns.of(lead)
    return not NEGATIONS.isdisjoint(turns.labels) or FORBIDDING in turns.sides


def _announces(line: str) -> bool:
    """Nothing but signs stands behind its last colon, or it is a heading."""
    if _HEADING.match(line):
        return True
    tail = _TAIL.search(line)
    return tail is not None and not {":", "："}.isdisjoint(tail[0])
