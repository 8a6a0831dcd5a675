"""Whom a pronoun of an answer speaks of: of what the answer said just before, which must be what its source speaks of.

"The firm was sold. It rose by 5 % [1]" has no word that is not the evidence's, and yet it was the rent that rose. A
sentence that opens with a pronoun is held against the answer's sentences before it: they must name something of what
the source's sentence names before its verb or, where the source opens with the pronoun too, of the source's sentence
before. An answer whose first sentence opens with a pronoun speaks of what the question asks about.
"""

from __future__ import annotations

from collections.abc import Sequence

from context.source_reading import SourceReading
from context.units import CONTENT, PERSONS, Unit, content_of, units_of

_SPEAKERS = frozenset(("we", "you"))
_HAN_PERSONS = frozenset("它他她牠")
SAID_BEFORE = 2  # sentences of an answer in which a pronoun's referent is looked for


def names_of(text: str) -> frozenset[str]:
    """What a text names, for the pronouns behind it; empty where it announces what follows ("In short:")."""
    if text.rstrip().endswith((":", "：")):
        return frozenset()
    return frozenset(unit.key for unit in content_of(units_of(text)) if unit.kind not in ("number", "date"))


def opens_with_pronoun(units: Sequence[Unit]) -> bool:
    """True for "it", "he", "their", 他 as a text's first word."""
    first = next((unit for unit in units if unit.kind != "break"), None)
    return first is not None and (
        (first.kind == "filler" and first.key in PERSONS - _SPEAKERS) or first.key in _HAN_PERSONS
    )


def antecedents(claim: Sequence[Unit], source: SourceReading, before: str) -> frozenset[str]:
    """What the pronoun that opens a claim stands for, by its source; empty where nothing tells.

    `before` is the text before the source's first sentence.
    """
    first = next((unit for unit in claim if unit.kind in CONTENT and unit.key not in _HAN_PERSONS), None)
    ordinal = next(iter(source.ordinals(first)), None) if first else None
    if ordinal is None:
        return frozenset()
    front = source.sentence_before(ordinal)
    if not opens_with_pronoun(front):
        named = frozenset(unit.key for unit in content_of(front))
        if named:
            return named
    start = source.places[ordinal] - len(front)
    return frozenset(unit.key for unit in content_of(source.units[:start])) or names_of(before)
