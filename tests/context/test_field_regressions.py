"""Failures that context builders have had in the field, each as the request that brought it about."""

from __future__ import annotations

import re

import pytest

from context.budget import MESSAGE_OVERHEAD, REPLY_OVERHEAD
from context.builder import ContextBuilder
from context.layout import LayoutPolicy
from context.selection_policy import SelectionPolicy
from domain.asking import AskOptions, Constraint, Message
from domain.context import Context
from domain.errors import ContextBudgetError
from domain.protocols import TokenCounter
from tests.context.context_examples import SeamCounter, Source, WordCounter, document, query, ranked


def builder(limit: int, counter: TokenCounter | None = None, **options: object) -> ContextBuilder:
    chosen = {"reserve": 200, "policy": SelectionPolicy.fill(), **options}
    return ContextBuilder(counter or WordCounter(), limit=limit, **chosen)  # type: ignore[arg-type]


def prompt_tokens(context: Context, counter: TokenCounter | None = None) -> int:
    count = (counter or WordCounter()).count
    return sum(count(message.content) + MESSAGE_OVERHEAD for message in context.messages) + REPLY_OVERHEAD


def handbook(sentences: int = 3_000, per_chunk: int = 10) -> Source:
    text = [(f"Rule {n} says what staff of office {n} may spend on travel in year {n}.", 0.9) for n in range(sentences)]
    return document(text, per_chunk=per_chunk)


def test_instructions_count_before_the_evidence_is_fitted_not_after() -> None:
    """Evidence was fitted into the window, then 1.7k tokens of instructions were put in front of it."""
    role = "You are the travel desk. " + "Mind the rules of every office. " * 240
    constraints = tuple(Constraint(f"Never break rule {n} of the handbook on travel.") for n in range(20))
    options = AskOptions(role=role, constraints=constraints, max_tokens=100_000)
    context = builder(6_000).build(query("What may staff spend?"), ranked(handbook()), options)
    assert context.bill.system + context.bill.constraints > 1_700
    assert context.bill.evidence > 3_000
    assert prompt_tokens(context) <= 6_000 - 200


def test_what_fills_the_window_is_tokens_not_sections() -> None:
    """Ten sections were allowed, whatever they held: 1.2 million tokens were sent."""
    huge = document([(f"Rent {n} {'word ' * 2_000}.", 0.9) for n in range(60)], per_chunk=6)
    assert sum(WordCounter().count(item.chunk.text) for item in huge.scored) > 120_000
    context = builder(8_192).build(query("What of the rent?"), ranked(huge), AskOptions(max_tokens=10**9))
    assert sum(len(item.sentences) for item in context.evidence) == 3  # of 2,003 tokens: a fourth would not fit
    assert prompt_tokens(context) <= 8_192 - 200


@pytest.mark.parametrize("limit", [450, 700, 1_500, 8_000])
def test_the_question_and_the_rules_survive_every_window(limit: int) -> None:
    """A prompt was cut at its end, where the question stood, or at its start, where the instructions stood."""
    asked = "What may the staff of office 7 spend on travel, and who signs for it?"
    options = AskOptions(constraints=(Constraint("Answer in one sentence."),), max_tokens=limit)
    context = builder(limit, reserve=50).build(query(asked), ranked(handbook(400)), options)
    system, user = (message.content for message in context.messages)
    assert system.startswith("You answer questions from the user's documents.\n\n## Rules\n")
    assert system.endswith("## Constraints\n- Answer in one sentence.")
    assert f"## Question\n{asked}" in user
    assert prompt_tokens(context) <= limit - context.bill.reserve


def test_no_sentence_of_the_system_prompt_is_cut_out_of_its_middle() -> None:
    """A compressor kept both ends of a long system prompt and deleted the middle."""
    role = " ".join(f"Duty {n} must be kept." for n in range(200))
    constraints = tuple(Constraint(f"Constraint {n}.") for n in range(100))
    context = builder(2_500).build(
        query("What?"), ranked(handbook(200)), AskOptions(role=role, constraints=constraints, max_tokens=10_000)
    )
    system = context.messages[0].content
    assert re.findall(r"Duty (\d+) must be kept\.", system) == [str(n) for n in range(200)]
    assert re.findall(r"- Constraint (\d+)\.", system) == [str(n) for n in range(100)]
    assert context.evidence


def test_a_whole_that_counts_more_than_its_parts_still_fits() -> None:
    """The parts were counted one by one and added up; joined, they were longer."""
    counter = SeamCounter()
    sentences = ["Rent is due.", "Heat is on.", "Pets may stay."]
    assert counter.count("\n\n".join(sentences)) > sum(counter.count(one) for one in sentences)
    context = builder(1_000, counter).build(query("Travel?"), ranked(handbook(100, 1)), AskOptions(max_tokens=5_000))
    assert 700 < prompt_tokens(context, counter) <= 800


def test_a_conversation_longer_than_the_window_leaves_room_for_the_evidence() -> None:
    """The history was kept whole and pushed the question out of the window."""
    said = tuple(Message("user" if n % 2 == 0 else "assistant", f"Point {n}. " + "and more " * 50) for n in range(300))
    assert sum(WordCounter().count(turn.content) for turn in said) > 30_000
    options = AskOptions(history=said, max_tokens=1_000)
    context = builder(2_000).build(query("What may staff spend?"), ranked(handbook(100)), options)
    assert 0 < context.bill.history <= 250
    assert context.bill.evidence > 500
    assert "Point 299." in context.messages[1].content
    assert prompt_tokens(context) <= 1_800


def test_one_giant_turn_of_a_conversation_is_not_carried_on() -> None:
    options = AskOptions(history=(Message("user", "log line " * 20_000),), max_tokens=400)
    context = builder(1_000).build(query("What may staff spend?"), ranked(handbook(50)), options)
    assert context.bill.history <= 100
    assert context.evidence


def test_constraints_beyond_the_budget_are_an_error_that_says_what_to_do() -> None:
    """Constraints were dropped without a word when they did not fit."""
    constraints = tuple(Constraint(f"Never mention the supplier called {n} in an answer.") for n in range(400))
    with pytest.raises(ContextBudgetError) as caught:
        builder(2_000).build(query("What?"), ranked(handbook(50)), AskOptions(constraints=constraints))
    assert "Shorten the constraints, or raise the limit to at least" in caught.value.message
    assert caught.value.code == "context_budget"
    enough = int(re.findall(r"at least (\d+)", caught.value.message)[0])
    context = builder(enough).build(query("What?"), ranked(handbook(50)), AskOptions(constraints=constraints))
    assert context.messages[0].content.count("Never mention the supplier") == 400


def test_restating_gives_way_where_it_does_not_fit() -> None:
    """The question fits once; stated at both ends, as the layout asks, it would break the budget."""
    asked = "What may staff spend? " * 20
    layout = LayoutPolicy(restate_from=0)
    needed = builder(10**6).build(query(asked), (), AskOptions())
    limit = needed.bill.total + needed.bill.margin
    context = builder(limit, reserve=0, layout=layout).build(query(asked), (), AskOptions())
    assert context.messages[1].content.count(asked) == 1
    assert prompt_tokens(context) <= limit
