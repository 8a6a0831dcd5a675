"""What attacks on sentences are made with: where numbers and words stand, and how one takes another's place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from tests.context.true_sentences import Case

NUMBER = re.compile(r"(?<![\w.,/–-])\d[\d,.]*\d|(?<![\w.,/–-])\d(?![\w.,])")
WORD = re.compile(r"[A-Za-z][A-Za-z'’-]+")
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


def end(sentence: str, mark: str = "[1]") -> str:
    """The sentence with a mark before its final punctuation, as models write it."""
    return f"{sentence[:-1]} {mark}{sentence[-1]}"


def changed(sentence: str, match: re.Match[str], new: str) -> str:
    return sentence[: match.start()] + new + sentence[match.end() :]


def pick(draw: Random, pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = list(pattern.finditer(text))
    return draw.choice(found) if found else None


def new_number(draw: Random, old: str, text: str) -> str | None:
    """The number with one digit changed, another value than any in the text."""
    places = [place for place, char in enumerate(old) if char.isdigit()]
    for _ in range(20):
        place = draw.choice(places)
        new = old[:place] + draw.choice("123456789") + old[place + 1 :]
        if new != old and new not in text:
            return new
    return None


def swapped(case: Case, draw: Random, found: list[re.Match[str]]) -> str | None:
    if len(found) < 2:
        return None
    one, two = sorted(draw.sample(found, 2), key=lambda match: match.start())
    if one[0].casefold()[:4] == two[0].casefold()[:4]:
        return None
    return end(changed(changed(case.sentence, two, one[0]), one, two[0]))


def turned(case: Case, draw: Random, pairs: Sequence[tuple[str, str]]) -> str | None:
    """The sentence with one of the patterns that it holds replaced, at one of its places."""
    found = [(match, new) for old, new in pairs for match in re.finditer(old, case.sentence)]
    if not found:
        return None
    match, new = draw.choice(found)
    altered = changed(case.sentence, match, new)
    return end(altered) if altered != case.sentence else None
