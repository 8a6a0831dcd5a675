"""True answers: the other side of strictness. Each form says what a sentence says, in another way.

What these cost is measured, not demanded one by one: a rule that no forger passes turns some honest answers away.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from random import Random

from tests.context.attack_tools import FULL_WIDTH, end
from tests.context.attack_words import MONTHS
from tests.context.true_sentences import Case, cases

Form = Callable[[Case], str | None]
FORMS: dict[str, Form] = {}
NUMBER = re.compile(r"(?<![\w.,:/–－-])\d[\d,]*(?:\.\d+)?(?![\w,.:/–－-])")
SMALL = "zero one two three four five six seven eight nine ten eleven twelve".split()
SYNONYMS = (
    "began started,begins starts,established founded,needs requires,allowed permitted,largest biggest,"
    "built constructed,keeps retains,using with,shows demonstrates"
)


def form(function: Form) -> Form:
    FORMS[function.__name__] = function
    return function


@form
def verbatim(case: Case) -> str | None:
    return end(case.sentence)


@form
def with_the_mark_behind(case: Case) -> str | None:
    return f"{case.sentence} [1]"


@form
def as_a_list_item(case: Case) -> str | None:
    return f"- {case.sentence[:-1]} [1]"


@form
def in_quotation_marks(case: Case) -> str | None:
    if set(case.sentence) & set("“”\"'‘’"):
        return None
    said = "文件中写道" if case.is_chinese else "The document says"
    return f"{said}：“{case.sentence}” [1]" if case.is_chinese else f"{said}: “{case.sentence}” [1]"


@form
def with_a_reporting_opening(case: Case) -> str | None:
    first, rest = case.sentence[0], case.sentence[1:-1]
    if case.is_chinese:
        return f"根据该文件，{first}{rest} [1]。"
    lowered = first.lower() if re.match(r"(The|A|An|It|In|On|At|This|These|There|Some|Most) ", case.sentence) else first
    return f"According to the document, {lowered}{rest} [1]."


@form
def with_full_width_digits(case: Case) -> str | None:
    return end(case.sentence.translate(FULL_WIDTH)) if re.search(r"\d", case.sentence) else None


@form
def with_numbers_reformatted(case: Case) -> str | None:
    """1,250 for 1250 and back, twelve for 12, 12 percent for 12%, 2千 for 2,000."""
    altered = NUMBER.sub(lambda match: _reformatted(match[0], case.is_chinese), case.sentence)
    altered = re.sub(r"(?<=\d) ?%", "%" if " %" in altered else " percent", altered) if not case.is_chinese else altered
    return end(altered) if altered != case.sentence else None


def _reformatted(number: str, chinese: bool) -> str:
    value = Decimal(number.replace(",", ""))
    if 1900 <= value <= 2100 or value != value.to_integral_value():
        return number
    if value >= 1000:
        return f"{value / 1000:f}千" if chinese and value % 1000 == 0 else str(value) if "," in number else f"{value:,}"
    if chinese:
        return number
    return SMALL[int(value)] if value < len(SMALL) else number


@form
def with_dates_rewritten(case: Case) -> str | None:
    months = "|".join(MONTHS)
    english = re.sub(rf"\b(\d{{1,2}}) ({months}) (\d{{4}})", r"\2 \1, \3", case.sentence)
    if english == case.sentence:
        english = re.sub(rf"\b({months}) (\d{{1,2}}), (\d{{4}})", r"\2 \1 \3", case.sentence)
    han = re.sub(r"(\d{4})年(\d{1,2})月(\d{1,2})日", r"\1-\2-\3", english)
    return end(han) if han != case.sentence else None


@form
def without_a_bracket(case: Case) -> str | None:
    altered = re.sub(r"\s?[(（][^()（）]*[)）]", "", case.sentence, count=1)
    return end(altered) if altered != case.sentence else None


@form
def without_the_last_clause(case: Case) -> str | None:
    """The main clause of a sentence without what follows its last comma."""
    head, comma, tail = case.sentence[:-1].rpartition("，" if case.is_chinese else ", ")
    words = len(head) / 2 if case.is_chinese else len(head.split())
    limits = re.search(r"\b(?:if|unless|except|but|not|or|and)\b|除|但|如果|不|或|和|及", tail)
    return end(f"{head}{case.sentence[-1]}") if comma and words >= 5 and not limits else None


@form
def with_the_opening_phrase_at_the_end(case: Case) -> str | None:
    match = re.fullmatch(r"((?:In|On|At|During|After|Before|Since|From) [^,]{3,40}), ([^,]+)\.", case.sentence)
    return f"{match[2][0].upper()}{match[2][1:]} {match[1][0].lower()}{match[1][1:]} [1]." if match else None


@form
def with_plain_synonyms(case: Case) -> str | None:
    altered = case.sentence
    for pair in SYNONYMS.split(","):
        old, new = pair.split()
        altered = re.sub(rf"\b{old}\b", new, altered)
    return end(altered) if altered != case.sentence else None


def true_answers(seed: int, per_form: int) -> list[tuple[str, Case, str]]:
    """(form, case, answer), at most `per_form` of each."""
    draw = Random(seed)
    found: list[tuple[str, Case, str]] = []
    for name, make in FORMS.items():
        made = [(name, case, answer) for case in draw.sample(cases(), len(cases())) if (answer := make(case))]
        found += made[:per_form]
    return found
