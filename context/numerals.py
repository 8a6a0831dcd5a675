"""Numbers as they are written: digits, words and Chinese numerals, with their scale, their sign and their kind.

"3,500,000", "3.5 million", "3.5M", "350万" and "三百五十万" are one number; "5 %", "5 percent" and "百分之五" are one
percentage, another fact than the number 5, and another again than 5 percentage points or 5 per mille. A sign belongs to
its number: -5 is not 5. A time of day is one number of its own kind, hours * 100 + minutes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from context.language import visible


class Fact(NamedTuple):
    """A value with its kind: "number", "percent", "points", "permille", "about", "time", "month", or "date".

    A date is yyyymmdd, with 00 where no day is given.
    """

    kind: str
    value: Decimal


class Number(NamedTuple):
    """A number at its place in a text."""

    fact: Fact
    start: int
    end: int


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

SMALL_NUMBERS = {word: value for word, value in _WORDS.items() if len(word) > 1}

_THIN_BLANK = re.compile(r"(?<=\d)[\u00a0\u2009\u202f'\u2019](?=\d{3}(?!\d))")  # thousands, the continental way
_FRACTION_SIGN = re.compile(r"(?<=\d)(?=[\u00bc-\u00be\u2150-\u215e])")  # "3½" must not become "31/2"
_EXPONENT = re.compile(r"(?<=\d)(?=[\u2070\u00b9\u00b2\u00b3\u2074-\u2079])")  # nor "10³" 103
_NUMBER = re.compile(
    # A number needs no blank behind a Han character: "共3个".
    r"(?<![^\W\u3400-\u9fff])(?<!\.)"
    r"(?P<digits>\d{1,3}(?:,\d{3}){1,9}(?:\.\d{1,20})?|\d{1,30}(?:\.\d{1,20})?)(?:\u2044(?P<divisor>\d{1,9}))?"
    r"(?:[ -]?(?P<scale>hundred|thousand|million|billion|trillion|bn|mn|[kmb](?![a-z])"
    r"|百[万萬]|[万萬][亿億]|[百千万萬亿億]))?"
    r"(?:(?P<points> ?(?:%|percentage|per ?cent) ?points?\b| ?[个個]百分[点點])|(?P<permille> ?‰)"
    r"|(?P<percent> ?%| ?per ?cent\b))?",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"(?<![\d:.,])(?P<hour>[01]?\d|2[0-4])"
    r"(?:(?::(?P<minute>[0-5]\d)(?![\d:]))(?: ?(?P<half>[ap])\.?m\b\.?)?| ?(?P<half_alone>[ap])\.?m\b\.?)",
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
_ABOUT = re.compile("一[二两兩]|[二两兩]三|三四|四五|五六|六七|七八|八九|三五")  # two or three, and no 23
_SIGN = re.compile(
    r"(?:(?:^|(?<=[\s():=|,;\u3001'\"\u2019\u201d]))[-\u2212\u2013]"
    r"|(?<=[\u3400-\u9fff])(?<![年月日号號])[-\u2212]|\b(?:minus|negative) |[负負] ?)"
    r"[€£$¥]?\Z|(?<=[€£$¥])[-\u2212]\Z",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\d\s[-\u2212\u2013]\Z")
NEAR = 40  # characters beside a number that can say its sign, unit and period


def compatible(text: str) -> str:
    """The text as a reader sees it, in one spelling: NFKC, nothing invisible, thousands parted by commas."""
    spaced = _EXPONENT.sub("^", _FRACTION_SIGN.sub(" ", _THIN_BLANK.sub(",", visible(text))))
    return unicodedata.normalize("NFKC", spaced)


def numbers_in(plain: str) -> Iterator[Number]:
    """Each number of a text that `compatible` gave, those in digits first; digits of dates count as well.

    >>> [str(number.fact.value) for number in numbers_in("1,250 units in -3 boxes")]
    ['1250', '-3']
    """
    times = list(_TIME.finditer(plain))
    timed = {place for time in times for place in range(*time.span())}
    read = [(_time(match), match) for match in times]
    read += [(_number(match), match) for match in _NUMBER.finditer(plain) if match.start() not in timed]
    read += [(_word_number(match), match) for match in _WORD_NUMBER.finditer(plain)]
    read += [(_han_fact(match), match) for match in _HAN_NUMBER.finditer(plain)]
    for fact, match in read:
        before = plain[max(0, match.start() - NEAR) : match.start()]
        negative = _SIGN.search(before) and not _RANGE.search(before)
        yield Number(fact._replace(value=-fact.value) if negative else fact, match.start(), match.end())


def _time(match: re.Match[str]) -> Fact:
    """Hours * 100 + minutes; with a.m. or p.m. of the whole day: 8:30 p.m. is 2030, and 12 a.m. is 0."""
    hour, half = int(match["hour"]), (match["half"] or match["half_alone"] or "").casefold()
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return Fact("time", Decimal(hour * 100 + int(match["minute"] or 0)))


def _number(match: re.Match[str]) -> Fact:
    value = Decimal(match["digits"].replace(",", ""))
    value *= _SCALES[match["scale"].casefold()] if match["scale"] else 1
    if match["divisor"] and int(match["divisor"]):
        value /= int(match["divisor"])
    return Fact(next((kind for kind in ("points", "permille", "percent") if match[kind]), "number"), value)


def _word_number(match: re.Match[str]) -> Fact:
    tens, unit, small, scale, percent = (part.casefold() if part else "" for part in match.groups())
    value = _WORDS.get(tens, 0) + (1 if unit == "one" else _WORDS.get(unit, 0)) + _WORDS.get(small, 0)
    return Fact("percent" if percent else "number", Decimal(value * _SCALES.get(scale, 1)))


def _han_fact(match: re.Match[str]) -> Fact:
    if _ABOUT.fullmatch(match["numeral"]):
        return Fact("about", Decimal(_han_value(match["numeral"])))
    return Fact("percent" if match["percent"] else "number", Decimal(_han_value(match["numeral"])))


def _han_value(numeral: str) -> int:
    """The value of a Chinese numeral: 二〇一八 is 2018, 三百五十万 is 3500000."""
    plain = numeral.replace("〇", "零").replace("两", "二").replace("兩", "二")
    if all(char in _HAN_DIGITS for char in plain):
        return int("".join(str(_HAN_DIGITS.index(char)) for char in plain))
    spoken = _HAN_UNITS.get(plain[-2:-1], 0)
    if spoken >= 100 and plain[-1] in _HAN_DIGITS:  # 一百五 is 150; 105 is 一百零五
        return _han_value(plain[:-1]) + _HAN_DIGITS.index(plain[-1]) * spoken // 10
    total = section = digit = 0
    least = 10**4
    for char in plain:
        if char in _HAN_DIGITS:
            digit = _HAN_DIGITS.index(char)
            continue
        unit = _HAN_UNITS[char]
        if unit >= 10**4:
            total, section, least = (total + section + digit) * unit, 0, 10**4
        elif unit > least:  # 二十三百 is no 320: what stands before is counted in hundreds
            section = (section + digit) * unit
        else:
            section, least = section + (digit or 1) * unit, unit
        digit = 0
    return total + section + digit
