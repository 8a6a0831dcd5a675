"""The hard facts of a sentence, in a form that can be compared: numbers, percentages, dates.

How a number is written does not matter (context/numerals.py). "5 March 2020", "2020-03-05" and "2020年3月5日" are one
date; a date is also its year, its month and its day, which a text may name apart.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from context.inflection import base_form
from context.numerals import Fact, compatible, numbers_in

__all__ = ["Fact", "Located", "calendar_numbers", "facts_of", "located_facts", "scaled", "whole_months", "years_of"]


class Located(NamedTuple):
    """A fact at its place in a text, for telling in which order a sentence says things."""

    fact: Fact
    start: int
    end: int

    @property
    def is_date(self) -> bool:
        return self.fact.kind == "date"

    @property
    def is_amount(self) -> bool:
        """Whether a unit of measurement can follow."""
        return self.fact.kind in ("number", "percent", "points", "permille")

    @property
    def key(self) -> str:
        """The value as text, the same for each way of writing it."""
        value = format(self.fact.value.normalize(), "f")
        return value if self.fact.kind == "number" else f"{self.fact.kind} {value}"

    @property
    def parts(self) -> tuple[str, ...]:
        """What else a date may be called: its year, its month in either language, its day, its year with month."""
        year, month, day = int(self.fact.value) // 10_000, int(self.fact.value) // 100 % 100, int(self.fact.value) % 100
        named = (str(year), str(month), _MONTH_NAMES[(month - 1) % 12], f"date {year * 10_000 + month * 100}")
        return (*named, str(day)) if day else named


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAMES = tuple(
    map(
        base_form,
        "january february march april may june july august september october november december".split(),
    )
)
_ISO_DATE = re.compile(r"(?<!\d)(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)")
_MONTH_WORD = "(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\\.?"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b{_MONTH_WORD} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year>\d{{4}})\b",
        rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?{_MONTH_WORD},? (?P<year>\d{{4}})\b",
        rf"\b{_MONTH_WORD},? (?P<year>\d{{4}})\b",
        r"(?P<year>\d{4}) ?年 ?(?P<month>\d{1,2}) ?月 ?(?:(?P<day>\d{1,2}) ?[日号號])?",
        r"(?<!\d)(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})(?!\d)",
    )
)
_ANY_MONTH = _MONTH_WORD.replace("P<month>", ":")
_DAY = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?{_ANY_MONTH}|\b{_ANY_MONTH} (\d{{1,2}})\b", re.IGNORECASE)
_HAN_MONTH = re.compile(r"(?<!\d)(1[0-2]|0?[1-9]) ?月(?!亮|球|饼|餅)")
_MONTH = re.compile(
    r"\b(jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)(?:\.|[a-z]*)?\b(?:(?<=\.)|(?<=\w))(?=[ .,]*\d)"
    r"|\b(january|february|march|april|june|july|august|september|october|november|december)\b"
    r"|\bmay\b(?=,? \d)|(?<=\d )may\b",
    re.IGNORECASE,
)


def facts_of(text: str) -> frozenset[Fact]:
    """Every number, percentage and month of a text.

    >>> sorted(fact.value for fact in facts_of("1,250 units on March 5")) == [3, 5, 1250]
    True
    """
    plain = compatible(text)
    dates = {_date(match) for pattern in _DATES for match in pattern.finditer(plain)}
    # "5 March 2020" also reads as "March 2020": the full date says it all.
    found = dates - {fact for day in dates if day.value % 100 for fact in whole_months(frozenset({day})) - {day}}
    plain = _ISO_DATE.sub(lambda match: _note_date(match, found), plain)
    plain = _HAN_MONTH.sub(lambda match: _note_month(int(match[1]), found), plain)
    for match in _MONTH.finditer(plain):
        found.add(Fact("month", Decimal(_MONTHS.index(match[0][:3].casefold()) + 1)))
    found.update(number.fact for number in numbers_in(plain))
    return frozenset(found)


def located_facts(plain: str) -> list[Located]:
    """The dates, times and numbers of a text that `compatible` gave, by place; of those that overlap, the longest."""
    read = [
        Located(_date(match), match.start(), match.end()) for pattern in _DATES for match in pattern.finditer(plain)
    ]
    read += [Located(*number) for number in numbers_in(plain)]
    found: list[Located] = []
    taken: set[int] = set()  # characters, so that thousands of numbers are not held against each other
    for fact in sorted(read, key=lambda fact: (fact.start - fact.end, fact.start)):
        own = range(fact.start, fact.end)
        if taken.isdisjoint(own):
            taken.update(own)
            found.append(fact)
    return sorted(found, key=lambda fact: fact.start)


def calendar_numbers(plain: str) -> frozenset[Decimal]:
    """The numbers of a text that `compatible` gave which name a year or a day: no amounts."""
    dates = [located.fact.value for located in located_facts(plain) if located.is_date]
    days = [Decimal(match[1] or match[2]) for match in _DAY.finditer(plain)]
    return frozenset((*(date // 10_000 for date in dates), *(date % 100 for date in dates), *days))


def scaled(facts: frozenset[Fact], around: str) -> frozenset[Fact]:
    """The facts of a table also as the amounts they mean where its surroundings say "in millions" or the like."""
    plain = around.casefold()
    factors = [10**6] * ("million" in plain or "百万" in plain or "百萬" in plain)
    factors += [10**9] * ("billion" in plain) + [10**3] * ("thousand" in plain or "千元" in plain)
    factors += [10**4] * ("万元" in plain or "萬元" in plain) + [10**8] * ("亿元" in plain or "億元" in plain)
    numbers = [fact for fact in facts if fact.kind == "number"]
    return whole_months(facts) | {Fact("number", fact.value * factor) for fact in numbers for factor in factors}


def whole_months(facts: frozenset[Fact]) -> frozenset[Fact]:
    """The facts, and for each full date also its month: a source that names the day knows the month."""
    months = {Fact("date", fact.value - fact.value % 100) for fact in facts if fact.kind == "date"}
    return facts | months


def years_of(facts: frozenset[Fact]) -> frozenset[Fact]:
    """The numbers that are most likely years."""
    return frozenset(
        fact for fact in facts if fact.kind == "number" and 1900 <= fact.value <= 2100 and fact.value % 1 == 0
    )


def _date(match: re.Match[str]) -> Fact:
    parts = match.groupdict()
    month = int(parts["month"]) if parts["month"].isdigit() else _MONTHS.index(parts["month"].casefold()) + 1
    return Fact("date", Decimal(int(parts["year"]) * 10_000 + month * 100 + int(parts.get("day") or 0)))


def _note_date(match: re.Match[str], found: set[Fact]) -> str:
    _note_month(int(match[2]), found)
    return f" {match[1]} , {int(match[3])} "


def _note_month(month: int, found: set[Fact]) -> str:
    found.add(Fact("month", Decimal(month)))
    return " , "
