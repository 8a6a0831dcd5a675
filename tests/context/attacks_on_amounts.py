"""Amounts that are wrong by their scale, point, end of a range, place in an order, or half of the day."""

from __future__ import annotations

import re
from random import Random

from tests.context.attack_tools import changed, end, pick, turned
from tests.context.attack_words import FRACTIONS, HALF_DAYS, ORDINALS, SCALES
from tests.context.true_sentences import Case

MONTHS_IN_ORDER = "January February March April May June July August September October November December".split()
SHORTEST = 30  # characters; "Mediterranean (1940)" is a heading of what its text says
RANGE = re.compile(r"(?<![\w.,–-])(\d+(?:\.\d+)?)(?:\s?[–-]\s?| to |至|到)(\d+(?:\.\d+)?)(?![\w,–-])")
DECIMAL = re.compile(r"(?<![\w.,])(\d+)\.(\d+)(?![\w.,])")
NAMED_DAY = re.compile(rf"\b({'|'.join(MONTHS_IN_ORDER)}) (\d{{1,2}})\b|\b(\d{{1,2}}) ({'|'.join(MONTHS_IN_ORDER)})\b")
HAN_DAY = re.compile(r"(?<!\d)(\d{1,2})月(\d{1,2})日")


def swapped_scales(case: Case, draw: Random) -> str | None:
    """A million for a billion, 万 for 亿."""
    return turned(case, draw, SCALES)


def shifted_points(case: Case, draw: Random) -> str | None:
    """The decimal point, or the comma of thousands, in another place."""
    if match := pick(draw, DECIMAL, case.sentence):
        whole, part = match[1], match[2]
        new = draw.choice((f"{whole}{part}", f"{whole}.0{part}", f"{whole}{part[0]}.{part[1:] or '5'}"))
    elif match := pick(draw, re.compile(r"(?<![\w.,])\d{1,3},\d{3}(?![\w.,])"), case.sentence):
        new = draw.choice((match[0].replace(",", "."), f"{match[0]},000", match[0].replace(",", "")[:-1]))
    else:
        return None
    return None if new in case.own.text else end(changed(case.sentence, match, new))


def turned_dates(case: Case, draw: Random) -> str | None:
    """Day and month in each other's place."""
    if match := pick(draw, HAN_DAY, case.sentence):
        month, day = int(match[1]), int(match[2])
        new = f"{day}月{month}日"
    elif match := pick(draw, NAMED_DAY, case.sentence):
        month = MONTHS_IN_ORDER.index(match[1] or match[4]) + 1
        day = int(match[2] or match[3])
        name = MONTHS_IN_ORDER[(day - 1) % 12]
        new = f"{name} {month}" if match[1] else f"{month} {name}"
    else:
        return None
    return end(changed(case.sentence, match, new)) if day <= 12 and day != month and new not in case.own.text else None


def cut_ranges(case: Case, draw: Random) -> str | None:
    """One end of a range for all of it."""
    match = pick(draw, RANGE, case.sentence)
    if not match or match[1] == match[2] or len(case.sentence) < SHORTEST:
        return None
    return end(changed(case.sentence, match, draw.choice((match[1], match[2]))))


def altered_ordinals(case: Case, draw: Random) -> str | None:
    found = [match for ordinal in ORDINALS for match in re.finditer(ordinal, case.sentence)]
    others = [ordinal for ordinal in ORDINALS if not re.search(ordinal, case.own.text)]
    others = [ordinal for ordinal in others if (ordinal[0] == "第") == case.is_chinese]
    if not found or not others:
        return None
    return end(changed(case.sentence, draw.choice(found), draw.choice(others).replace(r"\b", "")))


def altered_fractions(case: Case, draw: Random) -> str | None:
    return turned(case, draw, FRACTIONS)


def altered_half_days(case: Case, draw: Random) -> str | None:
    return turned(case, draw, HALF_DAYS)


def numbers_of_neighbours(case: Case, draw: Random) -> str | None:
    """A number that the evidence has, of something else."""
    number = re.compile(r"(?<![\w.,:/–-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w,.:/–-]*\d)")
    match = pick(draw, number, case.sentence)
    away = [found[0] for line in (*case.neighbours, case.other.text) for found in number.finditer(line)]
    away = [text for text in away if text not in case.sentence]
    return end(changed(case.sentence, match, draw.choice(away))) if match and away else None
