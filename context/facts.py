"""The hard facts of a sentence, in a form that can be compared: numbers, percentages, dates.

"3,500,000", "3.5 million", "3.5M", "350万" and "三百五十万" are one number; "5 %", "5 percent" and "百分之五" are one
percentage, and another fact than the number 5. "5 March 2020", "2020-03-05" and "2020年3月5日" are one date; a date is
also its year, its month and its day, which a text may name apart. A sign belongs to its number: -5 is not 5.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import NamedTuple


class Fact(NamedTuple):
    """A value with its kind: "number", "percent", "month" or "date" (yyyymmdd, with 00 where no day is given)."""

    kind: str
    value: Decimal


_SCALES = {
    "hundred": 100,
    "thousand": 10**3,
    "k": 10**3,
    "million": 10**6,
    "mn": 10**6,
    "m": 10**6,
    "billion": 10**9,
    "bn": 10**9,
    "b": 10**9,
    "trillion": 10**12,
    "百": 100,
    "千": 10**3,
    "万": 10**4,
    "萬": 10**4,
    "百万": 10**6,
    "百萬": 10**6,
    "亿": 10**8,
    "億": 10**8,
    "万亿": 10**12,
    "萬億": 10**12,
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SMALL = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_WORDS = (
    {"a": 1, "one": 1, "zero": 0, "nil": 0}
    | {word: value for value, word in enumerate(_SMALL, start=2)}
    | {word: value for value, word in zip(range(20, 100, 10), _TENS, strict=True)}
)

_THIN_BLANK = re.compile(r"(?<=\d)[\u00a0\u2009\u202f'\u2019](?=\d{3}(?!\d))")  # thousands, the continental way
_NUMBER = re.compile(
    r"(?<![\w.])(?P<digits>\d{1,3}(?:,\d{3}){1,9}(?:\.\d{1,20})?|\d{1,30}(?:\.\d{1,20})?)"
    r"(?:[ -]?(?P<scale>hundred|thousand|million|billion|trillion|bn|mn|[kmb](?![a-z])"
    r"|百[万萬]|[万萬][亿億]|[百千万萬亿億]))?"
    r"(?P<percent> ?%| ?per ?cent\b)?",
    re.IGNORECASE,
)
# After Han characters a number starts without a blank: "共3个"; the look-behind above would refuse it.
_HAN_SEAM = re.compile(r"(?<=[\u3400-\u9fff])(?=\d)|(?<=\d)(?=年|月|日|号|號)")
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
_HAN_MONTH = re.compile(r"(?<!\d)(1[0-2]|0?[1-9]) ?月(?!亮|球|饼|餅)")
_MONTH = re.compile(
    r"\b(jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)(?:\.|[a-z]*)?\b(?:(?<=\.)|(?<=\w))(?=[ .,]*\d)"
    r"|\b(january|february|march|april|june|july|august|september|october|november|december)\b"
    r"|\bmay\b(?=,? \d)|(?<=\d )may\b",
    re.IGNORECASE,
)
_WORD_NUMBER = re.compile(
    rf"\b(?:({'|'.join(_TENS)})(?:[- ](one|{'|'.join(_SMALL[:8])}))?|({'|'.join(_SMALL)}|zero|nil"
    # "No one", "the one" and "one of them" are pronouns.
    r"|(?<!\bno )(?<!\bany )(?<!\bevery )(?<!\beach )(?<!\bthe )(?<!\bthis )(?<!\bthat )(?<!\bwhich )"
    r"one(?! of\b| another\b)"
    r"|a(?= (?:hundred|thousand|million|billion|trillion)\b)))\b"
    r"(?: (hundred|thousand|million|billion|trillion))?( percent| per cent)?",
    re.IGNORECASE,
)
_HAN_DIGITS = "零一二三四五六七八九"
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_HAN_NUMBER = re.compile(
    r"(?P<percent>百分之)?(?P<numeral>"
    r"[〇零一二两兩三四五六七八九十][〇零一二两兩三四五六七八九十百千万萬亿億]{1,16}"
    r"|[二两兩三四五六七八九十](?=[个個年月日天人次名条條章款倍项項位家种種岁歲元米]|[小分][时時钟鐘])"
    r"|(?<![第统統唯万萬同])一(?=[天元年](?![级級])|[个個]月)|(?<![\d百千万萬])[零〇](?=[元天年%])"
    r"|(?<=百分之)[一二三四五六七八九十])"
)
_SIGN = re.compile(
    r"(?:(?:^|(?<=[\s(:=|]))[-\u2212\u2013]|\b(?:minus|negative) |[负負] ?)[€£$¥]?\Z|(?<=[€£$¥])[-\u2212]\Z", re.I
)
_RANGE = re.compile(r"\d\s[-\u2212\u2013]\Z")
_NEAR = 40  # characters beside a number that can say its sign, unit and period


def facts_of(text: str) -> frozenset[Fact]:
    """Every number, percentage and month of a text.

    >>> sorted(fact.value for fact in facts_of("1,250 units on March 5")) == [3, 5, 1250]
    True
    """
    plain = unicodedata.normalize("NFKC", _THIN_BLANK.sub(",", text))
    dates = {_date(match) for pattern in _DATES for match in pattern.finditer(plain)}
    # "5 March 2020" also reads as "March 2020": the full date says it all.
    found = dates - {fact for day in dates if day.value % 100 for fact in whole_months(frozenset({day})) - {day}}
    plain = _ISO_DATE.sub(lambda match: _note_date(match, found), plain)
    plain = _HAN_MONTH.sub(lambda match: _note_month(int(match[1]), found), plain)
    for match in _MONTH.finditer(plain):
        found.add(Fact("month", Decimal(_MONTHS.index(match[0][:3].casefold()) + 1)))
    found.update(fact for fact, _, _ in _numbers(plain))
    return frozenset(found)


def numbers_of_text(text: str) -> Iterator[tuple[Fact, str, str]]:
    """Each number and percentage with the characters right before and right behind it; dates count as numbers."""
    return _numbers(unicodedata.normalize("NFKC", _THIN_BLANK.sub(",", text)))


def _numbers(plain: str) -> Iterator[tuple[Fact, str, str]]:
    spaced = _HAN_SEAM.sub(" ", plain)
    read = [(_number(match), match) for match in _NUMBER.finditer(spaced)]
    read += [(_word_number(match), match) for match in _WORD_NUMBER.finditer(plain)]
    read += [(_han_fact(match), match) for match in _HAN_NUMBER.finditer(plain)]
    for fact, match in read:
        before = match.string[max(0, match.start() - _NEAR) : match.start()]
        after = match.string[match.end() : match.end() + _NEAR]
        negative = _SIGN.search(before) and not _RANGE.search(before)
        yield (fact._replace(value=-fact.value) if negative else fact), before, after


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


def _number(match: re.Match[str]) -> Fact:
    try:
        value = Decimal(match["digits"].replace(",", ""))
    except InvalidOperation:  # digits of a script that Decimal does not read
        value = Decimal(-1)
    value *= _SCALES[match["scale"].casefold()] if match["scale"] else 1
    return Fact("percent" if match["percent"] else "number", value)


def _word_number(match: re.Match[str]) -> Fact:
    tens, unit, small, scale, percent = (part.casefold() if part else "" for part in match.groups())
    value = _WORDS.get(tens, 0) + (1 if unit == "one" else _WORDS.get(unit, 0)) + _WORDS.get(small, 0)
    return Fact("percent" if percent else "number", Decimal(value * _SCALES.get(scale, 1)))


def _han_fact(match: re.Match[str]) -> Fact:
    return Fact("percent" if match["percent"] else "number", Decimal(_han_value(match["numeral"])))


def _han_value(numeral: str) -> int:
    """The value of a Chinese numeral: 二〇一八 is 2018, 三百五十万 is 3500000."""
    plain = numeral.replace("〇", "零").replace("两", "二").replace("兩", "二")
    if all(char in _HAN_DIGITS for char in plain):
        return int("".join(str(_HAN_DIGITS.index(char)) for char in plain))
    total = section = digit = 0
    for char in plain:
        if char in _HAN_DIGITS:
            digit = _HAN_DIGITS.index(char)
        elif _HAN_UNITS[char] >= 10**4:
            total = (total + section + digit) * _HAN_UNITS[char]
            section = digit = 0
        else:
            section += (digit or 1) * _HAN_UNITS[char]
            digit = 0
    return total + section + digit
