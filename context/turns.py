"""Does one text turn what another says? Compared by its small words and what each of them bears on.

A share of found words cannot see them ("less than 500" and "more than 500" share all but one), so they are compared as
classes (context/word_classes.py): a claim may use none that its quote does not use, nor more often, nor of other words,
and may not drop one whose words it repeats.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from context.inflection import base_form
from context.language import HAN, STOP_WORDS, normalise
from context.numerals import SMALL_NUMBERS
from context.word_classes import (
    ALONE,
    DROPPABLE,
    LENT,
    NEGATIONS,
    NEVER_DROPPED,
    OPPOSITES,
    OWN_CLASS,
    TURNING,
)

Words = tuple[str, ...]

_SCOPE = re.compile(r"(?:[^,;.:!?，；。：！？]|(?<=\d)[.,](?=\d)){0,80}")
_SCOPE_WORDS = {"not": 8, "fail": 4, "except": 4, "or": 1}
_BACKWARD = re.compile(r"以[上下内內前后後]|之[前后後]|左右|为止|倍")  # these bear on what stands before them
_BOTH_SIDES = frozenset({"or"})
_SCOPE_BEFORE = re.compile(r"(?:[^(),;.:!?（），；。：！？]|(?<=\d)[.,](?=\d))*\Z")
_NEAR = 40  # characters
_LEAST_SCOPE = 2
_DENIED = 3  # words behind a negation that must be denied in the source too
_TOKEN = re.compile(rf"[{HAN}]|\d+(?:,\d{{3}})*(?:\.\d+)?千?|[^\W\d{HAN}]+")
_FILLERS = frozenset(
    """a an the of to be been any have has than is are was were that i you he she it we they my your his her its our
    their me him us them this these those percent per cent 的 了 是 于 於 以 有 被 得""".split()
)
_PRONOUNS = frozenset(map(base_form, ("it", "he", "she", "they")))


@dataclass(frozen=True, slots=True)
class Turns:
    """The words of a text that turn its meaning, each with the words it bears on."""

    labels: tuple[str, ...] = ()
    scopes: tuple[tuple[str, Words], ...] = ()
    tokens: frozenset[str] = frozenset()
    sides: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, text: str) -> Turns:
        plain = normalise(text)
        found = [match for match in TURNING.finditer(plain) if match.lastgroup != "ignored"]
        labels = tuple(map(_label, found))
        return cls(
            labels=labels,
            scopes=tuple((label, _scope(plain, match)) for label, match in zip(labels, found, strict=True)),
            tokens=frozenset(_tokens(plain)),
            sides=tuple(
                (pair, side)
                for pair, patterns in enumerate(OPPOSITES)
                for side, pattern in enumerate(patterns)
                for _ in pattern.finditer(plain)
            ),
        )

    def __or__(self, other: Turns) -> Turns:
        return Turns(
            self.labels + other.labels,
            self.scopes + other.scopes,
            self.tokens | other.tokens,
            self.sides + other.sides,
        )

    def added_to(self, source: Turns, lent: frozenset[str] = frozenset()) -> bool:
        """True when these words say "not", "more than", "all"... where the source, or what it is lent, does not."""
        known = source.by_label()
        negations = sum(label in NEGATIONS for label in self.labels)
        if negations > sum(label in NEGATIONS for label in source.labels):
            return True
        return any(
            len(said) > len(known.get(label, ()))
            or any(not _bears_on_one(label, words, known[label]) for words in said)
            for label, said in self.by_label().items()
            if label not in lent & LENT
        )

    def drops(self, source: Turns) -> bool:
        """True when these words repeat what the source negates, limits or makes depend on something, without that."""
        said = self.by_label()
        for label, scopes in source.by_label().items():
            if label == "only" and not said.get(label) and any(self._widens(words, source) for words in scopes):
                return True
            if label not in DROPPABLE and self._drops(label, scopes, said.get(label, ())):
                return True
        return False

    def _drops(self, label: str, scopes: Sequence[Words], said: Sequence[Words]) -> bool:
        if label in NEVER_DROPPED and len(said) < len(scopes):
            return True
        if not said:
            return any(self.tokens.intersection(words) or (label in ALONE and not words) for words in scopes)
        free = list(said)
        for words in scopes:
            if words and self.tokens.issuperset(words[:_LEAST_SCOPE]):
                match = next((own for own in free if not set(own).isdisjoint(words)), None)
                if match is None:
                    return True
                free.remove(match)
        return False

    def _widens(self, words: Words, source: Turns) -> bool:
        """These words leave out what "only" stands before and keep what it narrows: "only [full-time] employees".

        So does a pronoun that is not the source's: of whom it says that may be all employees.
        """
        if len(words) < 2 or words[0] in self.tokens:
            return False
        return words[1] in self.tokens or bool(_PRONOUNS & (self.tokens - source.tokens))

    def by_label(self) -> dict[str, list[Words]]:
        """What each class of words bears on, once for each time that it stands there."""
        found: dict[str, list[Words]] = {}
        for label, words in self.scopes:
            found.setdefault(label, []).append(words)
        return found

    def opposes(self, source: Turns) -> bool:
        """True when these words hold one of two opposites where the source holds the other.

        "Dogs must be kept; cats need consent" opposes "Dogs may be kept; cats need consent", which has a duty too.
        """
        mine, theirs = Counter(self.sides), Counter(source.sides)
        return any(
            theirs[pair, 1 - side] > (mine[pair, 1 - side] if theirs[pair, side] else 0)
            for pair, side in mine
            if mine[pair, side] > theirs[pair, side]
        )


def _label(match: re.Match[str]) -> str:
    """The class of a word, or the word itself where it has none beside it."""
    return match[0] if match.lastgroup == OWN_CLASS else match.lastgroup or ""


def _bears_on_one(label: str, words: Words, scopes: Sequence[Words]) -> bool:
    """Whether a word of a class bears on what one of these bears on; one that bears on nothing does.

    For a negation it is not enough to stand before the same verb: "not liable for direct loss" is another denial than
    "not liable for indirect loss".
    """
    own = words[:1]
    if label == "not":
        own = tuple(word for word in words if word not in STOP_WORDS and not word[0].isdigit())[:_DENIED]
    return not own or any(not scope or set(scope).issuperset(own) for scope in scopes)


def _scope(plain: str, match: re.Match[str]) -> Words:
    """The first content words behind a word of a class, or before it, up to the next punctuation mark."""
    label = match.lastgroup or ""
    most = _SCOPE_WORDS.get(label, _LEAST_SCOPE)
    behind = _content(_SCOPE.match(plain, match.end()))[:most]
    if label not in _BOTH_SIDES and not _BACKWARD.fullmatch(match[0]):
        return behind
    before = _content(_SCOPE_BEFORE.search(plain[max(0, match.start() - _NEAR) : match.start()]))[-most:]
    return before + behind if label in _BOTH_SIDES else before


def _content(match: re.Match[str] | None) -> Words:
    return tuple(token for token in _tokens(match[0] if match else "") if token not in _FILLERS)


def _tokens(plain: str) -> list[str]:
    return [_token(token) for token in _TOKEN.findall(plain)]


def _token(token: str) -> str:
    """A word's base form; a number's digits, however it is written."""
    if token[0].isdigit():
        thousands = token.endswith("千")
        return token.rstrip("千").replace(",", "") + "000" * thousands
    return str(SMALL_NUMBERS[token]) if token in SMALL_NUMBERS else base_form(token)
