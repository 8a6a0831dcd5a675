"""Forged answers: each attack turns a sentence that is true of its evidence into an answer that is not.

An attack gets a case and a source of chance and returns a whole answer with its marks, or None where the sentence
gives it nothing to work on. What it returns must differ from the sentence in what a reader would understand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.context import attacks_on_amounts as amounts
from tests.context import attacks_on_frames as frames
from tests.context import attacks_on_meaning as meaning
from tests.context import attacks_on_numbers as numbers
from tests.context import attacks_on_statements as statements
from tests.context import attacks_on_subjects as subjects
from tests.context import attacks_on_words as words
from tests.context.true_sentences import Case, cases, is_verified

Attack = Callable[[Case, Random], str | None]

# Their order is part of the seed: one draw after the other comes from the same source of chance.
_ATTACKS: tuple[Attack, ...] = (
    statements.fake_marks,
    statements.marks_of_other_evidence,
    numbers.altered_digits,
    numbers.swapped_digits,
    numbers.altered_magnitude,
    numbers.altered_sign,
    numbers.altered_units,
    numbers.percent_for_number,
    numbers.altered_numerals,
    numbers.altered_dates,
    words.altered_names,
    words.altered_words,
    words.altered_negation,
    words.turned_words,
    words.added_quantifiers,
    words.swapped_names,
    words.swapped_words,
    numbers.swapped_numbers,
    words.shuffled_words,
    statements.invented_quotes,
    statements.stitched_quotes,
    numbers.disguised_numbers,
    words.homoglyphs,
    statements.marks_in_code,
    statements.second_clauses,
    statements.false_frames,
    statements.false_leads,
    statements.altered_quotes,
    statements.struck_words,
    statements.questions,
    subjects.swapped_subjects,
    subjects.subjects_of_other_evidence,
    subjects.borrowed_predicates,
    subjects.exchanged_marks,
    subjects.names_of_evidence,
    subjects.words_of_neighbours,
    amounts.numbers_of_neighbours,
    amounts.swapped_scales,
    amounts.shifted_points,
    amounts.turned_dates,
    amounts.cut_ranges,
    amounts.altered_ordinals,
    amounts.altered_fractions,
    amounts.altered_half_days,
    meaning.altered_modals,
    meaning.altered_affixes,
    meaning.dropped_hedges,
    meaning.dropped_conditions,
    meaning.dropped_attributions,
    meaning.moved_turns,
    meaning.swapped_conjunctions,
    meaning.turned_comparisons,
    frames.false_adverbials,
    frames.altered_tenses,
    frames.dropped_frames,
    frames.dropped_limits,
    frames.exchanged_referents,
)
ATTACKS = {attack.__name__: attack for attack in _ATTACKS}


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


def passing(forged: Sequence[tuple[str, Case, str]], attack: str) -> list[tuple[str, str]]:
    """(answer, the true sentence) of each answer of one attack that is shown as verified."""
    return [(answer, case.sentence) for name, case, answer in forged if name == attack and is_verified(case, answer)]
