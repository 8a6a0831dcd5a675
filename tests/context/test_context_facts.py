"""Numbers, percentages and dates in their many spellings."""

from __future__ import annotations

from decimal import Decimal

import pytest

from context.facts import Fact, facts_of, scaled
from context.measures import Measures


def number(value: str) -> Fact:
    return Fact("number", Decimal(value))


def percent(value: str) -> Fact:
    return Fact("percent", Decimal(value))


MARCH_5 = {number("2020"), number("5"), Fact("month", Decimal(3)), Fact("date", Decimal(20200305))}


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("3,500,000", {number("3500000")}),
        ("3.5 million", {number("3500000")}),
        ("$3.5M", {number("3500000")}),
        ("350万", {number("3500000")}),
        ("三百五十万元", {number("3500000")}),
        ("共3个月", {number("3")}),
        ("1\u202f234\u202f567 people and 1'500 dogs", {number("1234567"), number("1500")}),
        ("１２％", {percent("12")}),
        ("5 percent, 5%", {percent("5")}),
        ("百分之五", {percent("5")}),
        ("twenty-one days, three hundred men", {number("21"), number("300")}),
        ("二〇一八年", {number("2018")}),
        ("九十天", {number("90")}),
        ("2020-03-05", MARCH_5),
        ("March 5, 2020", MARCH_5),
        ("5th of March 2020", MARCH_5),
        ("2020年3月5日", MARCH_5),
        ("-840 pounds, minus 5 or negative two, −3", {number("-840"), number("-5"), number("-2"), number("-3")}),
        ("-$7, $-8, 负9", {number("-7"), number("-8"), number("-9")}),
        ("5-10, 3 - 4, GPT-4", {number("5"), number("10"), number("3"), number("4")}),
        ("- 6 apples", {number("6")}),
        ("zero pounds, one hundred, a thousand", {number("0"), number("100"), number("1000")}),
        ("no one, one of them, the one", set()),
        ("一个月零元", {number("1"), number("0")}),
        ("you may go", set()),
        ("in May 2020", {number("2020"), Fact("month", Decimal(5)), Fact("date", Decimal(20200500))}),
        ("一起、统一、万一", set()),
        ("GPT4 and x2", set()),
    ],
)
def test_facts_have_one_form(text: str, facts: set[Fact]) -> None:
    assert facts_of(text) == facts


def test_a_table_in_millions_also_means_millions() -> None:
    assert scaled(facts_of("1,577"), "(in millions)") == {number("1577"), number("1577000000")}
    assert scaled(facts_of("12%"), "(in millions)") == {percent("12")}


def test_a_source_that_knows_the_day_knows_the_month() -> None:
    assert facts_of("in March 2020") <= scaled(facts_of("on March 5, 2020"), "")
    assert not facts_of("on March 5, 2020") <= scaled(facts_of("in March 2020, 5 men"), "")


def test_hostile_numbers_are_read_without_harm() -> None:
    assert facts_of("9" * 50_000 + "," + "三" * 50_000 + ",999" * 10_000)


@pytest.mark.parametrize(
    ("claim", "source", "held"),
    [
        ("£840", "840 pounds a month", True),
        ("840 euros", "840 pounds", False),
        ("840 a month", "840 pounds per month", True),
        ("840 a month", "840 pounds monthly", True),
        ("840 a year", "840 pounds a month", False),
        ("840 yearly", "840 pounds a month", False),
        ("840 pounds", "840", True),  # the source names no currency at all
        ("840 pounds", "840 (in euros)", False),
        ("840 pounds", "all in pounds: 840", True),
        ("3 weeks", "3 days", False),
        ("3 weeks", "3", False),
        ("3 weeks", "a three-week holiday", True),
        ("5 miles, 3 km", "5 km, 3 miles", False),
        ("350万元", "三百五十万元", True),
        ("350万美元", "三百五十万元", False),
        ("每月840元", "840元/月", True),
        ("每年840元", "840元/月", False),
    ],
)
def test_a_number_keeps_its_unit_and_its_period(claim: str, source: str, held: bool) -> None:
    assert Measures.of(claim).held_by(Measures.of(source)) is held
