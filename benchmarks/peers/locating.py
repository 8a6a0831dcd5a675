"""Where in its document the text of a passage stands.

Libraries give back altered text: white space collapsed, sentences taken out, joined in another order, some of them
twice. What was sent is found again by matching from left to right, white space aside: the longest beginning of what is
left of the passage that occurs in the document is one piece, then what follows it. A piece is then lengthened to the
left as far as both agree: a sentence that begins as the one behind its predecessor does would lose these letters else.
Letters that are nowhere in the document (a title set in front, a dotted join) are passed over.
"""

from __future__ import annotations

from bisect import bisect_left

from domain.documents import Span, merge_spans

_LEAST = 6  # characters without blanks: shorter pieces occur anywhere by chance


class DocumentText:
    """The text of one document, ready to be searched for passages."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._origins = [place for place, character in enumerate(text) if not character.isspace()]
        self._letters = "".join(text.split())

    def spans_of(self, passage: str, start: int | None = None) -> tuple[Span, ...]:
        """The characters of the document that the passage holds, disjoint and ascending; () where it holds none.

        `start`: where the passage is said to begin; it decides between repeats.
        """
        if start is not None and passage and self._text.startswith(passage, start):
            return (Span(start, start + len(passage)),)
        wanted, near = "".join(passage.split()), bisect_left(self._origins, start or 0)
        least, at, found = min(_LEAST, max(1, len(wanted))), 0, []
        while at <= len(wanted) - least:
            place, length = self._longest(wanted, at, near)
            if length < least:
                at += 1
                continue
            back = self._agreeing(wanted, at, place)
            found.append(self._span(place - back, length + back))
            at += length
        return merge_spans(found)

    def _longest(self, wanted: str, at: int, near: int) -> tuple[int, int]:
        """Place and length of the longest beginning of `wanted[at:]` in the document: a longer one contains it."""
        low, high, place = 0, len(wanted) - at, 0
        while low < high:
            length = high if low == 0 and high == len(wanted) - at else (low + high + 1) // 2
            spot = self._find(wanted[at : at + length], near)
            if spot < 0:
                high = length - 1
            else:
                low, place = length, spot
        return place, low

    def _find(self, piece: str, near: int) -> int:
        spot = self._letters.find(piece, near)
        return spot if spot >= 0 else self._letters.find(piece)

    def _agreeing(self, wanted: str, at: int, place: int) -> int:
        back = 0
        while min(at, place) > back and wanted[at - back - 1] == self._letters[place - back - 1]:
            back += 1
        return back

    def _span(self, place: int, length: int) -> Span:
        return Span(self._origins[place], self._origins[place + length - 1] + 1)
