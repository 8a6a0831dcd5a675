"""Other names and words than the evidence has, its own in another order, or small ones that turn it round."""

from __future__ import annotations

import re
from itertools import pairwise
from random import Random

from context.language import HAN_STOP, STOP_WORDS
from tests.context.attack_tools import WORD, changed, end, pick, swapped
from tests.context.attack_words import FOREIGN_NAMES, HOMOGLYPHS, QUANTIFIERS, SMALL_WORDS, TURNED
from tests.context.true_sentences import Case

HAN_SMALL = HAN_STOP | frozenset("以于於在自其")
HAN_RUN = re.compile(r"[\u4e00-\u9fff]{4,}")


def altered_names(case: Case, draw: Random) -> str | None:
    if case.is_chinese:
        return _other_han(case, draw)
    found = [match for match in WORD.finditer(case.sentence) if match[0][0].isupper() and match.start()]
    others = [name for name in FOREIGN_NAMES if name not in case.own.text]
    return end(changed(case.sentence, draw.choice(found), draw.choice(others))) if found else None


def altered_words(case: Case, draw: Random) -> str | None:
    """An ordinary word replaced by one of another document."""
    if case.is_chinese:
        return _other_han(case, draw)
    found = [match for match in WORD.finditer(case.sentence) if match[0].islower() and len(match[0]) > 4]
    others = [word for word in WORD.findall(case.other.text) if word.islower() and len(word) > 5]
    others = [word for word in others if word[:5] not in case.own.text.casefold() and word not in STOP_WORDS]
    return end(changed(case.sentence, draw.choice(found), draw.choice(others))) if found and others else None


def _other_han(case: Case, draw: Random) -> str | None:
    """Two characters replaced by two that the evidence does not hold."""
    run, away = pick(draw, HAN_RUN, case.sentence), pick(draw, HAN_RUN, case.other.text)
    if not run or not away:
        return None
    at, start = draw.randrange(len(run[0]) - 1), draw.randrange(len(away[0]) - 1)
    new = away[0][start : start + 2]
    place = run.start() + at
    if set(new) & set(case.own.text) or new[0] == new[1] or HAN_SMALL.issuperset(new):
        return None
    return end(case.sentence[:place] + new + case.sentence[place + 2 :])


def altered_negation(case: Case, draw: Random) -> str | None:
    if re.search(r"\b(not|no|never|cannot|without)\b|不|没有|沒有|未|无|無", case.sentence):
        altered = re.sub(r"\b(?:not|never) |(?<=\bcan)not\b|不|没有|沒有|未", "", case.sentence, count=1)
        return end(altered) if altered != case.sentence else None
    if case.is_chinese:
        match = pick(draw, re.compile(r"是|可以|能|有|会|會|在|为|為|由|位于|成为"), case.sentence)
        return end(changed(case.sentence, match, "没有" if match[0] == "有" else f"不{match[0]}")) if match else None
    match = pick(draw, re.compile(r"\b(?:is|are|was|were|has|had|have|can|may|must|will|would|could)\b"), case.sentence)
    return end(changed(case.sentence, match, f"{match[0]} {draw.choice(('not', 'never'))}")) if match else None


def turned_words(case: Case, draw: Random) -> str | None:
    """Comparatives, quantifiers and opposites for each other."""
    pairs = [(old, new) for old, new in TURNED if re.search(old, case.sentence)]
    if not pairs:
        return None
    old, new = draw.choice(pairs)
    return end(re.sub(old, new, case.sentence, count=1))


def added_quantifiers(case: Case, draw: Random) -> str | None:
    if case.is_chinese:
        match = pick(draw, re.compile(r"(?<=[\u4e00-\u9fff])(?:是|有|为|由|在)"), case.sentence)
        word = draw.choice(("只", "从不", "几乎不", "全部", "据说"))
        return end(changed(case.sentence, match, word + match[0])) if match and word not in case.sentence else None
    match = pick(draw, re.compile(r"\b(?:is|in|to|by|at|was|are|has|of) (?=[a-z0-9])"), case.sentence)
    word = draw.choice(QUANTIFIERS)
    return end(changed(case.sentence, match, f"{match[0]}{word} ")) if match and word not in case.own.text else None


def swapped_names(case: Case, draw: Random) -> str | None:
    """Subject and object in each other's place."""
    names = [match for match in WORD.finditer(case.sentence) if match[0][0].isupper()]
    names = [match for match in names if case.sentence.count(match[0]) == 1]
    names = [match for match in names if match[0].casefold() not in (*SMALL_WORDS, *STOP_WORDS)]
    # "Scrolls (Megillot)" is "Megillot (Scrolls)".
    names = [match for match in names if case.sentence[match.end() : match.end() + 2] != " ("]
    return swapped(case, draw, names)


def swapped_words(case: Case, draw: Random) -> str | None:
    if case.is_chinese:
        found = list(re.finditer(r"[\u4e00-\u9fff]{2}", case.sentence))
        # 本身是为了方便 is no other statement with its small words in another order.
        found = [match for match in found if HAN_SMALL.isdisjoint(match[0])]
    else:
        found = [match for match in WORD.finditer(case.sentence) if match[0].islower() and len(match[0]) > 4]
        found = [match for match in found if match[0] not in (*SMALL_WORDS, *STOP_WORDS)]
    found = [match for match in found if case.sentence.count(match[0]) == 1]
    # "The mean annual rate" and "the annual mean rate" are one statement: neighbours do not count.
    apart = [right for left, right in pairwise(found) if case.is_chinese or right.start() > left.end() + 1]
    return swapped(case, draw, [*found[:1], *apart])


_WORD_OR_DATE = re.compile(r"\d{1,2} [A-Z][a-z]+ \d{4}|\S+")


def shuffled_words(case: Case, draw: Random) -> str | None:
    """All the words of the evidence, in another order; one in which only small words have moved says nothing else.

    A date moves as one word: "1943, on 7 January," is the same day.
    """
    body = case.sentence[:-1]
    words = list(re.findall(r"[\u4e00-\u9fff]{2,3}", body)) if case.is_chinese else _WORD_OR_DATE.findall(body)
    if len(words) < 6:
        return None
    large = [word for word in words if word.casefold() not in STOP_WORDS]
    draw.shuffle(words)
    if large == [word for word in words if word.casefold() not in STOP_WORDS]:
        return None
    return ("" if case.is_chinese else " ").join(words) + " [1]."


def homoglyphs(case: Case, draw: Random) -> str | None:
    """A name, or a word, that only looks like the one in the evidence."""
    found = [match for match in WORD.finditer(case.sentence) if set(match[0]) & set(HOMOGLYPHS) and len(match[0]) > 3]
    if not found:
        return None
    match = draw.choice(found)
    letter = draw.choice(sorted(set(match[0]) & set(HOMOGLYPHS)))
    return end(changed(case.sentence, match, match[0].replace(letter, HOMOGLYPHS[letter], 1)))
