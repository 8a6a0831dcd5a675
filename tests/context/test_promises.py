"""The promises of the context builder over random requests, both languages and hostile text.

Nothing over budget as the model counts, no question, constraint or reserve lost, no quote that differs from its source.
"""

from __future__ import annotations

from context.builder import ContextBuilder
from domain.asking import AskOptions, Constraint, Message
from tests.context.context_examples import WordCounter, document, query, ranked
from tests.context.promise_cases import draw, violations


def test_no_promise_is_broken_in_a_thousand_random_prompts() -> None:
    assert [(seed, broken) for seed in range(1_000) for broken in violations(draw(seed))] == []


def test_the_cases_are_not_all_easy() -> None:
    cases = [draw(seed) for seed in range(200)]
    contexts = []
    for case in cases:
        try:
            contexts.append(case.builder(case.limit).build(query(case.question), case.scored, case.options))
        except Exception as error:
            assert type(error).__name__ == "ContextBudgetError"
    assert 20 < 200 - len(contexts) < 120  # refused
    assert sum(bool(context.evidence) for context in contexts) > 40
    assert sum(bool(context.bill.history) for context in contexts) > 10
    assert {item.reason for context in contexts for item in context.dropped} >= {"below_threshold", "budget", "rank"}
    assert {case.model.name for case in cases} == {"words", "seams", "pairs"}


def test_the_static_part_is_the_same_bytes_in_a_thousand_prompts() -> None:
    """Other questions, evidence, conversations and ceilings under the same settings, role and constraints."""
    build = ContextBuilder(WordCounter(), limit=8_192, reserve=512).build
    constraints = (Constraint("Answer in one sentence."), Constraint("Use metric units."))
    documents = [document([(f"Rent number {n} is {n} euros.", 0.9)] * (1 + n % 7), name=f"d{n}") for n in range(50)]
    static = set()
    for turn in range(1_000):
        said = tuple(Message("user" if n % 2 else "assistant", f"Point {turn} {n}.") for n in range(turn % 5))
        options = AskOptions(constraints=constraints, history=said, max_tokens=20 + turn)
        context = build(query(f"What is rent {turn}?"), ranked(documents[turn % 50], documents[turn % 7]), options)
        static.add(context.messages[0].content.encode())
    assert len(static) == 1
