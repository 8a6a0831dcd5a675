"""Does one side deny what the other states? Negated words, and words that limit, reverse or weaken."""

from __future__ import annotations

import re
from dataclasses import dataclass

from context.inflection import base_form
from context.language import HAN, normalise
from context.turns import Turns

# Only what stands right before the word that it denies, for that word is what is caught: "none", "neither", "nor" and
# the negations that deny nothing ("no. 5", 非洲) are told apart in word_classes.py.
_NEGATED_EN = re.compile(
    r"\b(?:not|never|no|without|cannot|can't|n't|(?:do|does|did|is|are|was|were|has|have|had|wo|would|should|could|must)n't)"
    r"\s+(?:be |been |a |an |the |any |have |yet )*(\w+)",
)
_NEGATED_ZH = re.compile(
    rf"(?:不得|不能|不会|不會|不可|没有|沒有|并未|並未|从未|從未|不|没|沒|未|无|無|非)([{HAN}]{{2}})"
)


@dataclass(frozen=True, slots=True)
class Stance:
    """What a text asserts and what it denies."""

    plain: str
    words: frozenset[str]
    negated: frozenset[str]
    turns: Turns

    @classmethod
    def of(cls, text: str, words: frozenset[str]) -> Stance:
        """`words` are the keys of the text's units."""
        plain = normalise(text)
        english = (base_form(word) for word in _NEGATED_EN.findall(plain))
        return cls(plain, words, frozenset((*english, *_NEGATED_ZH.findall(plain))), Turns.of(text))

    def states(self, negated: frozenset[str]) -> bool:
        """True when the text states one of these words, which another one negates; Han words are pairs."""
        return any(word in self.words or (word[0] > "\u2fff" and word in self.plain) for word in negated)

    def contradicts(self, source: Stance) -> bool:
        """True when one side negates, limits or reverses what the other states."""
        if self.turns.opposes(source.turns) or self.turns.drops(source.turns):
            return True
        if self.negated and not source.negated:
            return True
        return source.states(self.negated - source.negated) or self.states(source.negated - self.negated)
