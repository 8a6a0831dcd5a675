"""Another number, unit or date than the evidence has, or the same ones in each other's place."""

from __future__ import annotations

import re
from random import Random

from tests.context.attack_tools import FULL_WIDTH, NUMBER, changed, end, new_number, pick, swapped
from tests.context.attack_words import CHINESE_DIGITS, MONTHS, UNITS
from tests.context.true_sentences import Case

# "More than > 5", "at least ≥ 5" and "about ±5" say nothing else.
SAME_SIGN = re.compile(
    r"(?:more than|over|above|at least|exceed\w*|less than|under|below|at most|about|around) [€£$¥]?$"
    r"|[过過于於少多约約]$"
)
INVISIBLE = "\u200b\u200c\u2060\ufeff"


def altered_digits(case: Case, draw: Random) -> str | None:
    match = pick(draw, NUMBER, case.sentence)
    new = match and new_number(draw, match[0], case.own.text)
    return end(changed(case.sentence, match, new)) if match and new else None


def swapped_digits(case: Case, draw: Random) -> str | None:
    match = pick(draw, re.compile(r"(?<![\w.,])\d{2,}(?![\w,.])"), case.sentence)
    if not match:
        return None
    at = draw.randrange(len(match[0]) - 1)
    old = match[0]
    new = old[:at] + old[at + 1] + old[at] + old[at + 2 :]
    return end(changed(case.sentence, match, new)) if int(new) != int(old) and new not in case.own.text else None


def altered_magnitude(case: Case, draw: Random) -> str | None:
    match = pick(draw, NUMBER, case.sentence)
    if not match:
        return None
    if "." in match[0] or ":" in case.sentence:
        return None
    tails = ("万", "亿", "000", "千") if case.is_chinese else (" million", ",000", "k", " hundred", " thousand", "00")
    return end(changed(case.sentence, match, match[0] + draw.choice(tails)))


def altered_sign(case: Case, draw: Random) -> str | None:
    match = pick(draw, NUMBER, case.sentence)
    if (
        not match
        or case.sentence[: match.start()].rstrip()[-1:].isdigit()  # "162 -584" may be a range
        or case.sentence[: match.start()].rstrip().endswith(("-", "–", "—", "~", "～", "－", "约", "超过", "超過"))
        or ":" in case.sentence
    ):
        return None
    said = SAME_SIGN.search(case.sentence[: match.start()])
    signs = ("-", "负", "−", ">", "<", "±", "≠") if case.is_chinese else ("-", "minus ", "−", ">", "<", "≥", "±", "≠")
    sign = draw.choice(signs)
    return None if said and sign in ">≥<±" else end(changed(case.sentence, match, sign + match[0]))


def altered_units(case: Case, draw: Random) -> str | None:
    pairs = [(old, new) for old, new in UNITS if re.search(old, case.sentence)]
    if not pairs:
        return None
    old, new = draw.choice(pairs)
    altered = re.sub(old, new, case.sentence, count=1)
    return end(altered) if altered != case.sentence else None


def percent_for_number(case: Case, draw: Random) -> str | None:
    match = pick(
        draw, re.compile(r"(?<![\w.,:/–－-])\d+(?:\.\d+)?(?:\s?(?:%|per ?cent))?(?!\s?[\w,.:%]|\sper)"), case.sentence
    )
    if not match:
        return None
    digits = re.match(r"[\d.]+", match[0])
    assert digits
    points = " 个百分点" if case.is_chinese else " percentage points"
    new = digits[0] + (points if match[0] != digits[0] else draw.choice(("%", "‰", points)))
    return end(changed(case.sentence, match, new))


def altered_numerals(case: Case, draw: Random) -> str | None:
    """A Chinese numeral of another value, or digits as a wrong numeral."""
    match = pick(
        draw,
        re.compile(r"(?<=[第共有约为前后近])[二三四五六七八九]|[二三四五六七八九](?=[年月日十百千万人个岁])"),
        case.sentence,
    )
    if match:
        wrong = [digit for digit in CHINESE_DIGITS if digit not in case.own.text]
        return end(changed(case.sentence, match, draw.choice(wrong))) if wrong else None
    match = pick(draw, re.compile(r"(?<![\w.,])\d(?![\d,.])"), case.sentence) if case.is_chinese else None
    if not match:
        return None
    wrong = [digit for value, digit in enumerate(CHINESE_DIGITS, 2) if str(value) not in case.own.text]
    return end(changed(case.sentence, match, draw.choice(wrong))) if wrong else None


def altered_dates(case: Case, draw: Random) -> str | None:
    match = pick(draw, re.compile("|".join(MONTHS)), case.sentence)
    if match:
        others = [month for month in MONTHS if month not in case.own.text and month[:3] != match[0][:3]]
        return end(changed(case.sentence, match, draw.choice(others)))
    match = pick(draw, re.compile(r"(?<!\d)\d{1,2}(?=[月日])|(?<!\d)(?:1[0-9]|20)\d\d(?!\d)"), case.sentence)
    new = match and new_number(draw, match[0], case.own.text)
    return end(changed(case.sentence, match, new)) if match and new else None


def swapped_numbers(case: Case, draw: Random) -> str | None:
    found = [match for match in NUMBER.finditer(case.sentence) if case.sentence.count(match[0]) == 1]
    if any(month in case.sentence for month in (*MONTHS, "May")):  # "1943 January 7" is odd, not false
        return None
    return swapped(case, draw, found)


def disguised_numbers(case: Case, draw: Random) -> str | None:
    """A wrong number in full-width digits, or pieced together with characters that cannot be seen."""
    match = pick(draw, NUMBER, case.sentence)
    new = match and new_number(draw, match[0], case.own.text)
    if not match or not new:
        return None
    forms = (
        new.translate(FULL_WIDTH),
        f"{match[0]}{draw.choice(INVISIBLE)}{draw.randint(1, 9)}",
        f"{match[0]}⁰",
        f"{match[0]}О",
        f"\u202e{match[0]}\u202c" if match[0] != match[0][::-1] else f"{match[0]}⁵",
    )
    return end(changed(case.sentence, match, draw.choice(forms)))
