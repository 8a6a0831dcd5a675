"""Has this been said already? Near-duplicate sentences, judged so that no fact is lost.

Two sentences that differ in one number, name or negation can share nearly all their words, so similarity alone must
not decide. A sentence is a duplicate of an earlier one when most of its word trigrams are in it *and* all its numbers,
names and negations, and nearly all its content words.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from context.language import content_terms, is_han, normalise, words
from domain.documents import Span

_SHINGLE = 3  # words, or Han characters
_SHINGLES_SHARED = 0.8  # Broder's resemblance is usually cut at .8-.9 for near-copies
_TERMS_SHARED = 0.9  # one word in ten may differ: a copy edited for style
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*%?")
_NAME = re.compile(r"\b[^\W\d_a-z]\w+")
# Counted and not understood: one too many only keeps a sentence that could have gone. Citations need more of a negation
# and have lists of their own: its place among the words that turn a sentence (word_classes.py), and the word that it
# denies (contradiction.py).
_NEGATION = re.compile(r"\b(?:not|no|never|none|neither|nor|without|cannot)\b|n't\b|[不没沒无無未非勿]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Sentence:
    normal: str
    shingles: frozenset[tuple[str, ...]]
    units: frozenset[str]
    terms: frozenset[str]
    facts: frozenset[str]
    negations: int

    @classmethod
    def of(cls, text: str) -> _Sentence:
        units = [unit for word in words(text) for unit in (word if is_han(word[0]) else [word])]
        shingles = frozenset(tuple(units[i : i + _SHINGLE]) for i in range(max(1, len(units) - _SHINGLE + 1)))
        plain = unicodedata.normalize("NFKC", text)
        facts = frozenset(_NUMBER.findall(plain)) | {name.casefold() for name in _NAME.findall(plain)}
        negations = len(_NEGATION.findall(plain))
        return cls(normalise(text), shingles, frozenset(units), content_terms(text), facts, negations)

    def repeats(self, other: _Sentence) -> bool:
        if self.normal == other.normal:
            return True
        if self.negations != other.negations or not self.facts <= other.facts | other.units:
            return False
        return (
            len(self.shingles & other.shingles) >= _SHINGLES_SHARED * len(self.shingles)
            and len(self.terms & other.terms) >= _TERMS_SHARED * len(self.terms)
            and bool(self.terms)
        )


@lru_cache(maxsize=2048)  # some 15 MB: a sentence is looked at when it is offered, when it is sent, at every ceiling
def _read(text: str) -> _Sentence:
    return _Sentence.of(text)


class SaidBefore:
    """The sentences that are already sent."""

    def __init__(self) -> None:
        self._sentences: list[_Sentence] = []
        self._spans: dict[str, list[Span]] = {}

    def add(self, document_id: str, span: Span, text: str) -> None:
        """Remember a sentence that is sent."""
        self._sentences.append(_read(text))
        self._spans.setdefault(document_id, []).append(span)

    def unsent(self, document_id: str, span: Span, text: str) -> Span | None:
        """The span without what is sent of it already at its ends, as chunks that overlap send it; None when nothing
        is left, or when a sentence that says the same is sent.
        """
        start, end = span.start, span.end
        for own in sorted(self._spans.get(document_id, [])):
            start = max(start, own.end) if own.start <= start < own.end else start
        for own in sorted(self._spans.get(document_id, []), key=lambda own: -own.end):
            end = min(end, own.start) if own.start < end <= own.end else end
        rest = text[start - span.start : end - span.start] if start < end else ""
        if not any(map(str.isalnum, rest)) and len(rest) < len(text):
            return None
        sentence = _read(rest)
        if any(sentence.repeats(earlier) for earlier in self._sentences):
            return None
        blanks = len(rest) - len(rest.lstrip()), len(rest) - len(rest.rstrip())
        return Span(start + blanks[0], end - blanks[1]) if rest != text else span

    def touches(self, document_id: str, span: Span) -> bool:
        """True when some of this stretch of the document is sent already."""
        return any(own.overlaps(span) for own in self._spans.get(document_id, []))
