"""Answers against answers, as SQuAD scores them (Rajpurkar et al. 2016): the F1 of their words.

Case, width, punctuation and English articles do not count. A Chinese answer is compared by characters, as CMRC does:
its words have no blanks between them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from context.language import HAN
from service.answer_strings import find_answer

_ARTICLES = frozenset(("a", "an", "the"))
_UNIT = re.compile(rf"[{HAN}]|[^\s{HAN}]+")
_MARK = re.compile(r"\s*\[\d{1,3}\]")


def without_marks(text: str) -> str:
    """An answer without its citations.

    >>> without_marks(" In 1874 [1][2]. ")
    'In 1874.'
    """
    return _MARK.sub("", text).strip()


def answer_units(text: str) -> list[str]:
    """The words of an answer, and each of its Han characters, folded.

    >>> answer_units("The U.S. Army, 约翰 in Paris")
    ['us', 'army', '约', '翰', 'in', 'paris']
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    bare = "".join(char for char in plain if unicodedata.category(char)[0] not in "PS")
    return [unit for unit in _UNIT.findall(bare) if unit not in _ARTICLES]


def unit_f1(said: str, other: str) -> float:
    """Twice the shared units over those of both, in 0..1; two empty answers agree.

    One of two words right, and one of one found, is 2 * 1 / (2 + 1):

    >>> round(unit_f1("in 1874", "1874"), 3)
    0.667
    """
    left, right = Counter(answer_units(said)), Counter(answer_units(other))
    if not left or not right:
        return float(left == right)
    return 2 * (left & right).total() / (left.total() + right.total())


def answer_f1(said: str, answers: Sequence[str]) -> float:
    """The best F1 with any of the gold answers."""
    return max(unit_f1(said, answer) for answer in answers)


def holds_answer(said: str, answers: Sequence[str]) -> bool:
    """Whether a gold answer stands in what was said, as whole words."""
    return any(find_answer(said, answer) for answer in answers)
