"""What the numbers of a sentence measure: their currency, their unit, and the period they are paid or counted for.

"840 pounds a month" is not "840 euros" and not "840 pounds a year", although the number is the same. A unit is bound to
the number it stands beside; a source that gives it elsewhere ("rent in euros", "monthly", a table's header) names it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from context.facts import calendar_numbers
from context.language import normalise
from context.numerals import NEAR, compatible, numbers_in

_CURRENCIES = {
    "euro": r"€|euros?\b|eur\b|欧元|歐元",
    "pound": r"£|pounds?\b|gbp\b|quid\b|英镑|英鎊",
    "dollar": r"(?:us)?\$|dollars?\b|usd\b|bucks?\b|美元|美金",
    "yen": r"yen\b|jpy\b|日元|日圓",
    "hong kong dollar": r"hk\$|hkd\b|港元|港币|港幣",
    "yuan": r"¥|yuan\b|cny\b|rmb\b|renminbi\b|人民币|人民幣|(?<![单單公纪紀多美欧歐港日])元|块钱",
    "franc": r"chf\b|francs?\b|法郎",
    "rupee": r"₹|rupees?\b|inr\b|卢比",
    "rouble": r"₽|rou?bles?\b|rub\b|卢布",
    "cent": r"cents?\b",
    "penny": r"pence\b|penn(?:y|ies)\b",
}
_UNITS = {
    "second": r"seconds?\b|secs?\b|秒",
    "minute": r"minutes?\b|mins?\b|分钟|分鐘",
    "hour": r"hours?\b|hrs?\b|小时|小時",
    "day": r"days?\b|天",
    "week": r"weeks?\b|周(?!年)|週|星期",
    "month": r"months?\b|个月|個月",
    "quarter": r"quarters?\b|季度",
    "year": r"years?\b|yrs?\b|年",
    "decade": r"decades?\b",
    "century": r"centur(?:y|ies)\b",
    "millimetre": r"mm\b|millimet(?:re|er)s?\b|毫米",
    "centimetre": r"cm\b|centimet(?:re|er)s?\b|厘米|公分",
    "square metre": r"m2\b|m²|sqm\b|square met(?:re|er)s?\b|平方米|平米",
    "square foot": r"sq ?ft\b|square f(?:oo|ee)t\b",
    "kilometre": r"km\b|kilomet(?:re|er)s?\b|公里|千米",
    "metre": r"met(?:re|er)s?\b|米",
    "mile": r"miles?\b|英里",
    "foot": r"f(?:oo|ee)t\b|ft\b",
    "inch": r"inch(?:es)?\b",
    "hectare": r"hectares?\b|公顷",
    "acre": r"acres?\b|英亩",
    "gram": r"grams?\b|克",
    "kilogram": r"kgs?\b|kilo(?:gram)?s?\b|公斤|千克",
    "tonne": r"tonn?es?\b|tons?\b|吨|噸",
    "ounce": r"ounces?\b|oz\b",
    "litre": r"lit(?:re|er)s?\b|升",
    "celsius": r"°c\b|(?:degrees? )?celsius\b|摄氏度",
    "fahrenheit": r"°f\b|(?:degrees? )?fahrenheit\b|华氏度",
    "kilobyte": r"kb\b",
    "megabyte": r"mb\b",
    "gigabyte": r"gb\b",
    "terabyte": r"tb\b",
}
_PERIODS = {
    "second": r"second\b|秒",
    "minute": r"minute\b|分钟|分鐘",
    "hour": r"hour\b|小时|小時",
    "day": r"day\b|diem\b|[日天]",
    "night": r"night\b|晚",
    "week": r"week\b|周(?!年)|週|星期",
    "fortnight": r"fortnight\b",
    "month": r"month\b|个?月|個月",
    "quarter": r"quarter\b|季",
    "year": r"year\b|annum\b|年",
}
_ADVERBS = {
    "hour": r"\bhourly\b",
    "day": r"\bdaily\b",
    "week": r"\bweekly\b|周租",
    "month": r"\bmonthly\b|\bpcm\b|月租|按月|月薪",
    "quarter": r"\bquarterly\b|按季",
    "year": r"\b(?:yearly|annual|annually)\b|\bp\.?a\.|年租|按年|年薪|年度",
}


def _either(patterns: dict[str, str]) -> str:
    """One pattern for all, each a group of its own; group names cannot hold blanks."""
    return "|".join(f"(?P<{name.replace(' ', '_')}>{pattern})" for name, pattern in patterns.items())


_RATE = r"(?:(?:\bper|\beach|\bevery|/|每) ?)"
_BEFORE = re.compile(rf"(?:{_either(_CURRENCIES)})[ ]?[-\u2212]?\Z")
_CURRENCY_AFTER = re.compile(rf"[ -]?(?:{_either(_CURRENCIES)})")
_UNIT_AFTER = re.compile(rf"[ -]?(?:{_either(_UNITS)})")
_PERIOD_AFTER = re.compile(
    rf"(?:[ -]?(?:[^\W\d]+\.?|[€£$¥]))??[ ,]{{0,2}}(?:{_RATE}|(?:an?|the) )(?:{_either(_PERIODS)}|(?P<pa>\bp\.?a\b))"
)
_QUALIFIED = re.compile(
    rf"(?: (?!(?:and|or|to|of|in|for|per|by|at|an?|the)\b)[a-z]+){{1,2}} (?:{_either(_CURRENCIES | _UNITS)})"
    rf"|[个個](?:工作|自然|交易|营业|營業)(?:{_either({'day_zh': '[日天]'})})"
)
_PERIOD_NEXT = re.compile(rf"[ ,]{{0,2}}(?:{_RATE}|(?:an?|the) )(?:{_either(_PERIODS)}|(?P<pa>\bp\.?a\b))")
_CURRENCY = re.compile(rf"(?<![a-z])(?:{_either(_CURRENCIES)})")
_UNIT = re.compile(rf"(?<![a-z])(?:{_either(_UNITS)})")
_PERIOD = re.compile(rf"{_RATE}(?:{_either(_PERIODS)})")
_ADVERB = re.compile(_either(_ADVERBS))
_YEARS = range(1000, 2200)


class Measure(NamedTuple):
    """A number with one thing that it measures, such as (840, "currency", "pound") or (840, "period", "month")."""

    value: Decimal
    dimension: str
    unit: str

    @property
    def is_calendar_year(self) -> bool:
        """2018年 is a date, no duration: "in 2018" says the same, "2018 months" does not."""
        return self.dimension == "unit" and self.unit == "year" and self.value in _YEARS


@dataclass(frozen=True, slots=True)
class Measures:
    """What a text measures: `bound` to a number, and `named` as (dimension, unit) anywhere in it.

    `dated` are its numbers that are years or days, and no amounts; `qualified` are units that a word parts from their
    number: 5 working days are not 5 days.
    """

    bound: frozenset[Measure] = frozenset()
    named: frozenset[tuple[str, str]] = frozenset()
    dated: frozenset[Decimal] = frozenset()
    qualified: frozenset[Measure] = frozenset()

    @classmethod
    def of(cls, text: str) -> Measures:
        spelt, plain = compatible(text), normalise(text)
        amounts = [number for number in numbers_in(spelt) if number.fact.kind == "number"]
        bound = frozenset(
            measure
            for fact, start, end in amounts
            for measure in _bound(
                fact.value, spelt[max(0, start - NEAR) : start].casefold(), spelt[end : end + NEAR].casefold()
            )
        )
        qualified = frozenset(
            measure
            for fact, _, end in amounts
            for measure in _qualified(fact.value, spelt[end : end + NEAR].casefold())
        )
        named = {
            (dimension, match.lastgroup or "")
            for dimension, pattern in (("currency", _CURRENCY), ("unit", _UNIT), ("period", _PERIOD))
            for match in pattern.finditer(plain)
        }
        named |= {("period", match.lastgroup or "") for match in _ADVERB.finditer(plain)}
        named |= {(measure.dimension, measure.unit) for measure in bound}
        return cls(bound, frozenset(named), calendar_numbers(spelt), qualified)

    def __or__(self, other: Measures) -> Measures:
        return Measures(
            self.bound | other.bound,
            self.named | other.named,
            self.dated | other.dated,
            self.qualified | other.qualified,
        )

    def lent(self) -> Measures:
        """What a title or a table's header says of the numbers below it: units without numbers of its own."""
        return Measures(frozenset(), self.named)

    def held_by(self, source: Measures) -> bool:
        """True when the source measures in the same units, wherever these measures name one."""
        periods = {name for name in self.named if name[0] == "period"}
        return periods <= source.named and all(
            source._gives(measure) for measure in self.bound if not measure.is_calendar_year
        )

    def _gives(self, measure: Measure) -> bool:
        if measure in self.bound:
            return True
        if any(own[:2] == measure[:2] for own in self.bound):
            return False
        if measure.value in self.dated or measure in self.qualified:
            return False
        # Tables often leave the currency to the reader; a source that names another one contradicts.
        silent = measure.dimension == "currency" and not any(dimension == "currency" for dimension, _ in self.named)
        return silent or measure[1:] in self.named


def end_of_measure(plain: str, end: int) -> int:
    """Where the unit and the period of the number that ends at `end` end; `end` itself where it has none."""
    after = plain[end : end + NEAR].lower()
    reached = 0
    for pattern in (_CURRENCY_AFTER, _UNIT_AFTER):
        if match := pattern.match(after):
            reached = match.end()
            break
    if match := _PERIOD_NEXT.match(after, reached):
        reached = match.end()
    return end + reached


def _qualified(value: Decimal, after: str) -> list[Measure]:
    match = _QUALIFIED.match(after)
    unit = ((match and match.lastgroup) or "").removesuffix("_zh")
    return [Measure(value, "currency" if unit in _CURRENCIES else "unit", unit)] if unit else []


def _bound(value: Decimal, before: str, after: str) -> list[Measure]:
    found = []
    for dimension, match in (
        ("currency", _BEFORE.search(before) or _CURRENCY_AFTER.match(after)),
        ("unit", _UNIT_AFTER.match(after)),
        ("period", _PERIOD_AFTER.match(after)),
    ):
        unit = (match and match.lastgroup) or ""
        if unit:
            found.append(Measure(value, dimension, "year" if unit == "pa" else unit))
    return found
