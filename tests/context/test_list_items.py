"""Which sentences are items of a list, and which items make one list."""

from __future__ import annotations

import pytest

from domain.list_items import is_list_item, list_around, list_behind


@pytest.mark.parametrize(
    "line",
    ["- Rent", "* Rent", "• Rent", "1. Rent", "12) Rent", "(3) Rent", "（四）租金", "一、租金", "a) Rent", "③ 租金",
     "  - Rent", "Step 2: wipe", "第三步 擦拭", "步骤2：擦拭", "3、租金"],
)  # fmt: skip
def test_lines_that_open_with_a_label_are_items(line: str) -> None:
    assert is_list_item(line)


@pytest.mark.parametrize(
    "line",
    [
        "1.5 litres are sold.",
        "-5 degrees",
        "A. Smith signs.",
        "2019 was dry.",
        "一个苹果",
        "stepwise",
        "(see there)",
        "",
    ],
)
def test_other_lines_are_none(line: str) -> None:
    assert not is_list_item(line)


TWO = ["Cleaning:", "1. Blow.", "2. Wipe.", "Gently.", "After a crash", "1. Stop.", "2. Call.", "The excess is 500."]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        (0, None),
        (1, range(1, 3)),
        (2, range(1, 3)),
        (3, None),
        (4, None),
        (5, range(5, 7)),
        (6, range(5, 7)),
        (7, None),
    ],
)
def test_a_title_and_a_new_count_part_two_lists(place: int, found: range | None) -> None:
    assert list_around(TWO, place) == found


def test_a_list_is_announced_by_the_title_right_above_it() -> None:
    assert [list_behind(TWO, place) for place in (0, 4)] == [range(1, 3), range(5, 7)]
    assert [list_behind(TWO, place) for place in (1, 3, 7)] == [None, None, None]


def test_a_new_count_without_a_title_begins_another_list() -> None:
    lines = ["1. Blow.", "2. Wipe.", "1. Stop.", "2. Call."]
    assert [list_around(lines, place) for place in range(4)] == [range(2)] * 2 + [range(2, 4)] * 2
