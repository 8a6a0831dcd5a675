"""Bounds on the count of a model whose tokenizer is not at hand, and what is learned from the counts it reports."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.budget import MESSAGE_OVERHEAD, REPLY_OVERHEAD, TokenBudget
from context.builder import ContextBuilder
from context.selection_policy import SelectionPolicy
from context.token_bounds import LearnedBound, SafeBound
from domain.asking import AskOptions, Message
from tests.context.context_examples import WordCounter, document, query, ranked
from tests.context.promise_cases import PairTokens


class WordsOnly:
    """An encoder that sees words and nothing else, as one does that has never met the rest."""

    name = "encoder"

    def count(self, text: str) -> int:
        return len(text.split())


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("", 0),
        ("the rent is due", 1 + 6),  # four words, times 1.5
        ("2018", 1 + 4),  # many models read digits one by one
        ("租金", 1 + 6),  # three bytes a character
        ("😀", 1 + 4),
        ("\n\n\n", 1 + 3),  # what an encoder collapses
        ("RENT", 1 + 2 + 3),  # a word, and three capitals that an uncased encoder does not see
        ("a b", 1 + 3),  # the blank before a word costs nothing
        ("a  b", 1 + 3 + 1),
        ("x" * 32, 1 + 3),  # two pieces: an encoder could take the whole for one unknown token
    ],
)
def test_letters_count_as_the_encoder_says_and_all_else_as_bytes(text: str, most: int) -> None:
    assert SafeBound(WordsOnly(), 1.5).count(text) == most


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_no_byte_level_tokenizer_counts_more(text: str) -> None:
    """Factor 4 is that of the words counter: pairs of letters are within it, and bytes are bytes."""
    usable = text.encode("utf-8", "ignore").decode()
    pieces = SafeBound(_SixLetters(), 4.0)
    assert PairTokens().count(usable) <= pieces.count(usable)


class _SixLetters:
    name = "words"

    def count(self, text: str) -> int:
        return sum(1 + (len(word) - 1) // 6 for word in text.split())


def test_the_bill_can_name_the_bound() -> None:
    assert SafeBound(WordsOnly()).name == "encoder, upper bound"


def prompt(text: str = "one two three four five six seven eight nine ten") -> list[Message]:
    return [Message("user", text)]


FRAME = MESSAGE_OVERHEAD + REPLY_OVERHEAD


def test_a_report_within_the_bound_changes_nothing() -> None:
    bound = LearnedBound(WordCounter())
    bound.observe(prompt(), reported=10 + FRAME)
    bound.observe(prompt(), reported=3)
    assert bound.factor == 1.0
    assert bound.count("one two") == 2


def test_a_report_beyond_the_bound_raises_later_counts() -> None:
    bound = LearnedBound(WordCounter())
    bound.observe(prompt(), reported=13 + FRAME)  # 10 were counted: 1.3 times as many
    assert bound.factor == pytest.approx(1.3)
    assert bound.count("one two three four") == 6  # 5.2, rounded up


def test_the_factor_is_bounded_and_an_odd_text_is_forgotten() -> None:
    bound = LearnedBound(WordCounter())
    bound.observe(prompt(), reported=100_000)
    assert bound.factor == 2.0
    for _ in range(200):
        bound.observe(prompt(), reported=11 + FRAME)
    assert bound.factor == pytest.approx(1.1)


@pytest.mark.parametrize(("text", "reported"), [("", 50), ("one", 0), ("one", -3)])
def test_a_report_that_says_nothing_is_passed_over(text: str, reported: int) -> None:
    bound = LearnedBound(WordCounter())
    bound.observe(prompt(text), reported)
    assert bound.factor == 1.0


def long_prompt(bound: LearnedBound | None) -> int:
    source = document([(f"Rent {n} is {n} euros.", 0.9) for n in range(400)], per_chunk=1)
    build = ContextBuilder(WordCounter(), limit=1_000, reserve=100, policy=SelectionPolicy.fill(), bound=bound).build
    return build(query("Rent?"), ranked(source), AskOptions(max_tokens=5_000)).bill.total


def test_what_was_learned_tightens_the_next_budget() -> None:
    bound = LearnedBound(WordCounter())
    before = long_prompt(bound)
    bound.observe(prompt(), reported=15 + FRAME)
    after = long_prompt(bound)
    assert before == long_prompt(None)
    assert 700 < before <= 900
    assert 450 < after <= 600  # two thirds of 900


def test_the_margin_of_the_bill_is_what_the_bound_adds() -> None:
    bound = SafeBound(WordsOnly(), 3.0)
    context = ContextBuilder(WordCounter(), limit=9_000, reserve=100, bound=bound).build(
        query("What is the rent?"), ranked(document([("Rent is 500 euros.", 0.9)])), AskOptions()
    )
    budget = TokenBudget(9_000, 100, WordCounter(), bound)
    counted = sum(bound.count(message.content) + MESSAGE_OVERHEAD for message in context.messages) + REPLY_OVERHEAD
    assert budget.most(context.messages) == counted == context.bill.total + context.bill.margin
    assert context.bill.tokenizer == "words"
