"""True words with false marks, in false quotation marks, or with something false around them."""

from __future__ import annotations

from random import Random

from tests.context.attack_tools import end
from tests.context.attack_words import BAD_CLAUSES, FALSE_FRAMES
from tests.context.true_sentences import Case


def fake_marks(case: Case, draw: Random) -> str | None:
    return end(case.sentence, f"[{draw.randint(3, 99)}]")


def marks_of_other_evidence(case: Case, draw: Random) -> str | None:
    return end(case.sentence, "[2]")


def marks_in_code(case: Case, draw: Random) -> str | None:
    code = draw.choice(("`{}`", "```\n{}\n```", "``` \n{}"))
    return code.format(end(case.sentence))


def invented_quotes(case: Case, draw: Random) -> str | None:
    said = draw.choice([line for line in case.other.text.split("\n")])[:60]
    return f"文中写道：“{said}” [1]。" if case.is_chinese else f"The document says “{said}” [1]."


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


def second_clauses(case: Case, draw: Random) -> str | None:
    """A made-up clause behind, or before, a true one: before the mark or behind it."""
    clause = draw.choice(BAD_CLAUSES[case.language])
    body, stop = case.sentence[:-1], case.sentence[-1]
    forms = ["{0}, and {1} [1]{2}", "{0} and {1} [1]{2}", "{0} [1], and {1}{2}", "{0} [1] while {1}{2}"]
    if case.is_chinese:
        forms = ["{0}，{1} [1]{2}", "{0} [1]，{1}{2}", "{1}，{0} [1]{2}"]
    return draw.choice(forms).format(body, clause, stop)


def false_frames(case: Case, draw: Random) -> str | None:
    """The true sentence as something that is denied, doubted or only supposed."""
    return end(draw.choice(FALSE_FRAMES[case.language]).format(case.sentence[:-1]) + case.sentence[-1])
