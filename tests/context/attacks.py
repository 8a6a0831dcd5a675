"""Forged answers: each attack turns a sentence that is true of its evidence into an answer that is not.

An attack gets a case and a source of chance and returns a whole answer with its marks, or None where the sentence
gives it nothing to work on. What it returns must differ from the sentence in what a reader would understand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from tests.context.attack_words import (
    BAD_CLAUSES,
    CHINESE_DIGITS,
    FALSE_FRAMES,
    FOREIGN_NAMES,
    HOMOGLYPHS,
    MONTHS,
    QUANTIFIERS,
    SMALL_WORDS,
    TURNED,
    UNITS,
)
from tests.context.true_sentences import Case, cases

Attack = Callable[[Case, Random], str | None]
ATTACKS: dict[str, Attack] = {}

NUMBER = re.compile(r"(?<![\w.,/–-])\d[\d,.]*\d|(?<![\w.,/–-])\d(?![\w.,])")
WORD = re.compile(r"[A-Za-z][A-Za-z'’-]+")
HAN_RUN = re.compile(r"[\u4e00-\u9fff]{4,}")
INVISIBLE = "\u200b\u200c\u2060\ufeff"
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__] = function
    return function


def end(sentence: str, mark: str = "[1]") -> str:
    """The sentence with a mark before its final punctuation, as models write it."""
    return f"{sentence[:-1]} {mark}{sentence[-1]}"


def changed(sentence: str, match: re.Match[str], new: str) -> str:
    return sentence[: match.start()] + new + sentence[match.end() :]


def pick(draw: Random, pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = list(pattern.finditer(text))
    return draw.choice(found) if found else None


def new_number(draw: Random, old: str, text: str) -> str | None:
    """The number with one digit changed, another value than any in the text."""
    places = [place for place, char in enumerate(old) if char.isdigit()]
    for _ in range(20):
        place = draw.choice(places)
        new = old[:place] + draw.choice("123456789") + old[place + 1 :]
        if new != old and new not in text:
            return new
    return None


@attack
def fake_marks(case: Case, draw: Random) -> str | None:
    return end(case.sentence, f"[{draw.randint(3, 99)}]")


@attack
def marks_of_other_evidence(case: Case, draw: Random) -> str | None:
    return end(case.sentence, "[2]")


@attack
def altered_digits(case: Case, draw: Random) -> str | None:
    match = pick(draw, NUMBER, case.sentence)
    new = match and new_number(draw, match[0], case.own.text)
    return end(changed(case.sentence, match, new)) if match and new else None


@attack
def swapped_digits(case: Case, draw: Random) -> str | None:
    match = pick(draw, re.compile(r"(?<![\w.,])\d{2,}(?![\w,.])"), case.sentence)
    if not match:
        return None
    at = draw.randrange(len(match[0]) - 1)
    old = match[0]
    new = old[:at] + old[at + 1] + old[at] + old[at + 2 :]
    return end(changed(case.sentence, match, new)) if int(new) != int(old) and new not in case.own.text else None


@attack
def altered_magnitude(case: Case, draw: Random) -> str | None:
    match = pick(draw, NUMBER, case.sentence)
    if not match:
        return None
    if "." in match[0] or ":" in case.sentence:
        return None
    tails = ("万", "亿", "000", "千") if case.is_chinese else (" million", ",000", "k", " hundred", " thousand", "00")
    return end(changed(case.sentence, match, match[0] + draw.choice(tails)))


@attack
def altered_sign(case: Case, draw: Random) -> str | None:
    match = pick(draw, NUMBER, case.sentence)
    if (
        not match
        or case.sentence[: match.start()].rstrip().endswith(("-", "–", "—", "~", "～", "－", "约"))
        or ":" in case.sentence
    ):
        return None
    signs = ("-", "负", "−", ">", "<", "±", "≠") if case.is_chinese else ("-", "minus ", "−", ">", "<", "≥", "±", "≠")
    return end(changed(case.sentence, match, draw.choice(signs) + match[0]))


@attack
def altered_units(case: Case, draw: Random) -> str | None:
    pairs = [(old, new) for old, new in UNITS if re.search(old, case.sentence)]
    if not pairs:
        return None
    old, new = draw.choice(pairs)
    altered = re.sub(old, new, case.sentence, count=1)
    return end(altered) if altered != case.sentence else None


@attack
def percent_for_number(case: Case, draw: Random) -> str | None:
    match = pick(
        draw, re.compile(r"(?<![\w.,:/–－-])\d+(?:\.\d+)?(?:\s?(?:%|per ?cent))?(?! ?[\w,.:%]| per)"), case.sentence
    )
    if not match:
        return None
    digits = re.match(r"[\d.]+", match[0])
    assert digits
    points = " 个百分点" if case.is_chinese else " percentage points"
    new = digits[0] + (points if match[0] != digits[0] else draw.choice(("%", "‰", points)))
    return end(changed(case.sentence, match, new))


@attack
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


@attack
def altered_dates(case: Case, draw: Random) -> str | None:
    match = pick(draw, re.compile("|".join(MONTHS)), case.sentence)
    if match:
        others = [month for month in MONTHS if month not in case.own.text and month[:3] != match[0][:3]]
        return end(changed(case.sentence, match, draw.choice(others)))
    match = pick(draw, re.compile(r"(?<!\d)\d{1,2}(?=[月日])|(?<!\d)(?:1[0-9]|20)\d\d(?!\d)"), case.sentence)
    new = match and new_number(draw, match[0], case.own.text)
    return end(changed(case.sentence, match, new)) if match and new else None


@attack
def altered_names(case: Case, draw: Random) -> str | None:
    if case.is_chinese:
        return _other_han(case, draw)
    found = [match for match in WORD.finditer(case.sentence) if match[0][0].isupper() and match.start()]
    others = [name for name in FOREIGN_NAMES if name not in case.own.text]
    return end(changed(case.sentence, draw.choice(found), draw.choice(others))) if found else None


@attack
def altered_words(case: Case, draw: Random) -> str | None:
    """An ordinary word replaced by one of another document."""
    if case.is_chinese:
        return _other_han(case, draw)
    found = [match for match in WORD.finditer(case.sentence) if match[0].islower() and len(match[0]) > 4]
    others = [word for word in WORD.findall(case.other.text) if word.islower() and len(word) > 5]
    others = [word for word in others if word[:5] not in case.own.text.casefold() and word != "according"]
    return end(changed(case.sentence, draw.choice(found), draw.choice(others))) if found and others else None


def _other_han(case: Case, draw: Random) -> str | None:
    """Two characters replaced by two that the evidence does not hold."""
    run, away = pick(draw, HAN_RUN, case.sentence), pick(draw, HAN_RUN, case.other.text)
    if not run or not away:
        return None
    at, start = draw.randrange(len(run[0]) - 1), draw.randrange(len(away[0]) - 1)
    new = away[0][start : start + 2]
    if set(new) & set(case.own.text) or new[0] == new[1]:
        return None
    place = run.start() + at
    return end(case.sentence[:place] + new + case.sentence[place + 2 :])


@attack
def altered_negation(case: Case, draw: Random) -> str | None:
    if re.search(r"\b(not|no|never|cannot|without)\b|不|没有|沒有|未|无|無", case.sentence):
        altered = re.sub(r"\b(?:not|never) |(?<=\bcan)not\b|不|没有|沒有|未", "", case.sentence, count=1)
        return end(altered) if altered != case.sentence else None
    if case.is_chinese:
        match = pick(draw, re.compile(r"是|可以|能|有|会|會|在|为|為|由|位于|成为"), case.sentence)
        return end(changed(case.sentence, match, "没有" if match[0] == "有" else f"不{match[0]}")) if match else None
    match = pick(draw, re.compile(r"\b(?:is|are|was|were|has|had|have|can|may|must|will|would|could)\b"), case.sentence)
    return end(changed(case.sentence, match, f"{match[0]} {draw.choice(('not', 'never'))}")) if match else None


@attack
def turned_words(case: Case, draw: Random) -> str | None:
    """Comparatives, quantifiers and opposites for each other."""
    pairs = [(old, new) for old, new in TURNED if re.search(old, case.sentence)]
    if not pairs:
        return None
    old, new = draw.choice(pairs)
    return end(re.sub(old, new, case.sentence, count=1))


@attack
def added_quantifiers(case: Case, draw: Random) -> str | None:
    if case.is_chinese:
        match = pick(draw, re.compile(r"(?<=[\u4e00-\u9fff])(?:是|有|为|由|在)"), case.sentence)
        word = draw.choice(("只", "从不", "几乎不", "全部", "据说"))
        return end(changed(case.sentence, match, word + match[0])) if match and word not in case.sentence else None
    match = pick(draw, re.compile(r"\b(?:is|in|to|by|at|was|are|has|of) (?=[a-z0-9])"), case.sentence)
    word = draw.choice(QUANTIFIERS)
    return end(changed(case.sentence, match, f"{match[0]}{word} ")) if match and word not in case.own.text else None


@attack
def swapped_names(case: Case, draw: Random) -> str | None:
    """Subject and object in each other's place."""
    names = [match for match in WORD.finditer(case.sentence) if match[0][0].isupper()]
    names = [match for match in names if case.sentence.count(match[0]) == 1 and match[0].casefold() not in SMALL_WORDS]
    return _swapped(case, draw, names)


@attack
def swapped_words(case: Case, draw: Random) -> str | None:
    if case.is_chinese:
        found = list(re.finditer(r"[\u4e00-\u9fff]{2}", case.sentence))
    else:
        found = [match for match in WORD.finditer(case.sentence) if match[0].islower() and len(match[0]) > 4]
        found = [match for match in found if match[0] not in SMALL_WORDS]
    return _swapped(case, draw, [match for match in found if case.sentence.count(match[0]) == 1])


@attack
def swapped_numbers(case: Case, draw: Random) -> str | None:
    found = [match for match in NUMBER.finditer(case.sentence) if case.sentence.count(match[0]) == 1]
    if any(month in case.sentence for month in MONTHS):  # "1943 January 7" is odd, not false
        return None
    return _swapped(case, draw, found)


def _swapped(case: Case, draw: Random, found: list[re.Match[str]]) -> str | None:
    if len(found) < 2:
        return None
    one, two = sorted(draw.sample(found, 2), key=lambda match: match.start())
    if one[0].casefold()[:4] == two[0].casefold()[:4]:
        return None
    return end(changed(changed(case.sentence, two, one[0]), one, two[0]))


@attack
def shuffled_words(case: Case, draw: Random) -> str | None:
    """All the words of the evidence, in another order."""
    body = case.sentence[:-1]
    words = list(re.findall(r"[\u4e00-\u9fff]{2,3}", body)) if case.is_chinese else body.split()
    if len(words) < 6:
        return None
    draw.shuffle(words)
    return ("" if case.is_chinese else " ").join(words) + " [1]."


@attack
def invented_quotes(case: Case, draw: Random) -> str | None:
    said = draw.choice([line for line in case.other.text.split("\n")])[:60]
    return f"文中写道：“{said}” [1]。" if case.is_chinese else f"The document says “{said}” [1]."


@attack
def stitched_quotes(case: Case, draw: Random) -> str | None:
    """One quotation, or one statement, of the beginning of one sentence and the end of another."""
    away = draw.choice(case.neighbours)
    if case.is_chinese:
        joined = case.sentence[: len(case.sentence) // 2] + away[len(away) // 2 : -1]
    else:
        first, second = case.sentence.split(), away[:-1].split()
        joined = " ".join([*first[: len(first) // 2], *second[len(second) // 2 :]])
    opening, closing = draw.choice(("“”", "''", "«»", "‘’", ("", "")))
    return f"{opening}{joined}{closing} [1]."


@attack
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
    )
    return end(changed(case.sentence, match, draw.choice(forms)))


@attack
def homoglyphs(case: Case, draw: Random) -> str | None:
    """A name, or a word, that only looks like the one in the evidence."""
    found = [match for match in WORD.finditer(case.sentence) if set(match[0]) & set(HOMOGLYPHS) and len(match[0]) > 3]
    if not found:
        return None
    match = draw.choice(found)
    letter = draw.choice(sorted(set(match[0]) & set(HOMOGLYPHS)))
    return end(changed(case.sentence, match, match[0].replace(letter, HOMOGLYPHS[letter], 1)))


@attack
def marks_in_code(case: Case, draw: Random) -> str | None:
    code = draw.choice(("`{}`", "```\n{}\n```", "``` \n{}"))
    return code.format(end(case.sentence))


@attack
def second_clauses(case: Case, draw: Random) -> str | None:
    """A made-up clause behind, or before, a true one: before the mark or behind it."""
    clause = draw.choice(BAD_CLAUSES[case.language])
    body, stop = case.sentence[:-1], case.sentence[-1]
    forms = ["{0}, and {1} [1]{2}", "{0} and {1} [1]{2}", "{0} [1], and {1}{2}", "{0} [1] while {1}{2}"]
    if case.is_chinese:
        forms = ["{0}，{1} [1]{2}", "{0} [1]，{1}{2}", "{1}，{0} [1]{2}"]
    return draw.choice(forms).format(body, clause, stop)


@attack
def false_frames(case: Case, draw: Random) -> str | None:
    """The true sentence as something that is denied, doubted or only supposed."""
    return end(draw.choice(FALSE_FRAMES[case.language]).format(case.sentence[:-1]) + case.sentence[-1])


def forged_answers(seed: int, per_attack: int) -> list[tuple[str, Case, str]]:
    """(attack, case, answer), at most `per_attack` of each, all different, in an order that the seed decides."""
    draw = Random(seed)
    found: list[tuple[str, Case, str]] = []
    for name, make in ATTACKS.items():
        own: dict[str, Case] = {}
        for case in draw.sample(cases(), len(cases())) * 2:
            answer = make(case, draw)
            if answer and len(own) < per_attack:
                own.setdefault(answer, case)
        found += [(name, case, answer) for answer, case in own.items()]
    return found
