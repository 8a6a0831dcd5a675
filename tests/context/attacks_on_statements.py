"""True words with false marks, in false quotation marks, or with something false around them."""

from __future__ import annotations

from random import Random

from tests.context.attack_tools import WORD, changed, end
from tests.context.attack_words import BAD_CLAUSES, FALSE_FRAMES, FALSE_LEADS, FOREIGN_NAMES
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
        if set(away[len(away) // 2 - 1 : len(away) // 2 + 1]) & set("；，、"):  # a clause of its own is no invention
            return None
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


def false_leads(case: Case, draw: Random) -> str | None:
    """The true sentence as an item of a list of what is not so."""
    return f"{draw.choice(FALSE_LEADS[case.language])}\n- {end(case.sentence)}"


def altered_quotes(case: Case, draw: Random) -> str | None:
    """The sentence in quotation marks, with one of its words changed."""
    if set(case.sentence) & set("“”\"'‘’「」"):
        return None
    if case.is_chinese:
        at = draw.randrange(2, len(case.sentence) - 2)
        said = case.sentence[:at] + draw.choice("鳄橘舰贰") + case.sentence[at + 1 :]
        return f"文件中写道：“{said}” [1]" if case.sentence[at] > "\u2fff" else None
    words = list(WORD.finditer(case.sentence))
    new = draw.choice(("not", "always", "never", *FOREIGN_NAMES))
    said = changed(case.sentence, draw.choice(words), new)
    return f"The document says: “{said}” [1]" if new not in case.sentence else None


def struck_words(case: Case, draw: Random) -> str | None:
    """Words that a reader of Markdown or HTML sees struck through, or does not see."""
    words = [match for match in WORD.finditer(case.sentence) if len(match[0]) > 2]
    form = draw.choice(("~~{}~~", "<del>{}</del>", "<s>{}</s>", "<!-- {} -->"))
    if case.is_chinese or draw.random() < 0.3:
        return end(form.format(case.sentence[:-1]) + case.sentence[-1])
    match = draw.choice(words)
    return end(changed(case.sentence, match, form.format(match[0])))


def questions(case: Case, draw: Random) -> str | None:
    """The sentence as a question: it says nothing."""
    return f"{case.sentence[:-1]}{'？' if case.is_chinese else '?'} [1]" if case.sentence[-1] in ".。" else None
