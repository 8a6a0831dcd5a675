"""When, where, for whom and in whose words something is so: put in, taken out or exchanged around true words."""

from __future__ import annotations

import re
from random import Random

from tests.context.attack_tools import WORD, end, turned
from tests.context.attacks_on_subjects import parted
from tests.context.true_sentences import Case

ADVERBIALS = {
    "en": (
        "In the novel, {}",
        "According to critics, {}",
        "In theory, {}",
        "On paper, {}",
        "Until 1823, {}",
        "Then {}",
        "Once {}",
        "When asked, {}",
        "For now, {}",
        "{} in theory",
        "{} once again",
        "{} when it rains",
        "{} for himself",
        "{} until then",
    ),
    "zh": (
        "小说中，{}",
        "理论上，{}",
        "据批评者称，{}",
        "1823年以前，{}",
        "纸面上，{}",
        "下雨时，{}",
        "然后{}",
        "原本{}",
        "再次{}",
    ),
}
TENSES = (
    (r"\b(?:is|are)\b", "was"),
    (r"\b(?:is|are)\b", "will be"),
    (r"\b(?:was|were)\b", "is"),
    (r"\b(?:was|were)\b", "will be"),
    (r"\b(?:has|have)\b", "had"),
    (r"\bhad\b", "will have"),
    (r"\bwill\b", "did"),
    (r"\bmust\b", "did"),
    (r"(?<=[\u4e00-\u9fff])将(?!军|领)", "曾"),
    (r"(?<=[\u4e00-\u9fff])曾(?!经)", "将"),
    (r"已经?", "将"),
)
FRAME = re.compile(
    r"(?:When|Where|Once|While|If|Under|According to|In|At|For|During|After|Before|On|With) ([^,\d]{8,60}), ([^,]{12,})"
)
JOINING = re.compile(r"\b(?:addition|particular|fact|general|contrast|example|instance|words|result|hand|time)\b")
HAN_FRAME = re.compile(r"(?:[当在经据根按][^，\d是]{4,20}|[^，\d是]{4,20}[时后前中上下])，([^，]{6,})")
PAST = re.compile(r"\b(?:was|were|had|\w+ed)\b")  # what happened until then has happened
LIMIT = re.compile(r"([^,;]{12,}?) ((?:when|where|once|until|unless) [^,;]{6,})")


def false_adverbials(case: Case, draw: Random) -> str | None:
    """Where, when and in whose words it is so, as the evidence does not say."""
    return end(draw.choice(ADVERBIALS[case.language]).format(case.sentence[:-1]) + case.sentence[-1])


def altered_tenses(case: Case, draw: Random) -> str | None:
    """What is, said of what was or will be."""
    return turned(case, draw, TENSES)


def dropped_frames(case: Case, draw: Random) -> str | None:
    """What holds somewhere, under a condition or in somebody's words, said to hold."""
    match = (HAN_FRAME if case.is_chinese else FRAME).fullmatch(case.sentence[:-1])
    if not match or JOINING.search(match[1]):
        return None
    rest = match[match.lastindex or 1]
    return end(rest[0].upper() + rest[1:] + case.sentence[-1])


def dropped_limits(case: Case, draw: Random) -> str | None:
    """What holds when something is so, or until then, said to hold."""
    match = LIMIT.fullmatch(case.sentence[:-1])
    if not match or case.is_chinese or PAST.search(match[1]):
        return None
    return end(match[1] + case.sentence[-1])


def exchanged_referents(case: Case, draw: Random) -> str | None:
    """What the evidence says of its subject, of what the answer has just spoken of."""
    own, away = parted(case.sentence, case.is_chinese), draw.choice(case.other.text.split("\n"))
    if not own or case.is_chinese:
        return None
    mine, theirs = ({word[:4].casefold() for word in WORD.findall(text)} for text in (own[0], away))
    if mine & theirs or {word[:4].casefold() for word in WORD.findall(case.own.title)} & theirs:
        return None
    pronoun = "They" if own[1].split()[0] in ("are", "were", "have") else "It"
    return f"{away} {pronoun} {own[1]} [1]."
