"""Lines of tables as they stand in running text: a PDF has no cells, only lines that end in numbers.

Three Months Ended                                    labels
July 29, 2023 July 30, 2022                           labels, wherever they stand: nothing but periods
Cash and cash equivalents $ 1,093 $ 840               a row
"""

from __future__ import annotations

import re

_LONGEST_LABEL = 120  # characters: a longer line is prose
_CURRENCY = "$€£¥￥"
_CELL = re.compile(rf"[-–—+({_CURRENCY}]*\d(?:[\d,.]*\d)?[)%]*|[-–—]|[%){_CURRENCY}(]+|N/?[AM]", re.IGNORECASE)
_YEAR = re.compile(r"(?:19|20)\d\d")
_PROSE_END = re.compile(r"[.!?;:。！？；：][\"'”’」』)）\]]*$")
_PERIOD_WORDS = re.compile(
    r"(?:19|20)\d\d年?度?|\d{1,2}[,日]?|FY|CY|fiscal|years?|quarters?|months?|weeks?|days?|ended|ending|as|of|at|and|"
    r"Q[1-4]|first|second|third|fourth|six|nine|three|twelve|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|"
    r"aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|\(?(?:un)?audited\)?|\d{1,2}月(?:\d{1,2}日)?",
    re.IGNORECASE,
)


def is_numeric_row(text: str) -> bool:
    """Whether a line ends in two or more cells of numbers that are not all years.

    >>> [is_numeric_row(line) for line in ("Basic $ 6.73 $ 5.44", "(Millions) 2018 2017", "May 29, 2023", "Up to 5.")]
    [True, False, False, False]
    """
    tokens = text.split()
    cells: list[str] = []
    while tokens and _CELL.fullmatch(tokens[-1]):
        cells.append(tokens.pop())
    values = [cell for cell in cells if any(character.isdigit() for character in cell)]
    dashes = sum(cell in "-–—" for cell in cells)
    return "\n" not in text and len(values) + dashes >= 2 and not all(_YEAR.fullmatch(value) for value in values)


def may_be_label(text: str) -> bool:
    """Whether a line can be a label of the rows below it: short, no sentence, no figures but those of dates.

    >>> may_be_label("13 Weeks Ended"), may_be_label("The rent is 500"), may_be_label("See below.")
    (True, False, False)
    """
    numbers = re.findall(r"\d[\d,.]*\d|\d", text)
    return (
        "\n" not in text
        and len(text) <= _LONGEST_LABEL
        and not _PROSE_END.search(text)
        and all(len(number) <= 2 or _YEAR.fullmatch(number) for number in numbers)
    )


def names_periods(text: str) -> bool:
    """Whether a line is nothing but two or more periods: the labels of columns.

    >>> names_periods("July 29, 2023 July 30, 2022"), names_periods("July 29, 2023"), names_periods("From 2018 to 2019")
    (True, False, False)
    """
    return len(_YEAR.findall(text)) >= 2 and all(_PERIOD_WORDS.fullmatch(word) for word in text.split())
