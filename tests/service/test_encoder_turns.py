"""Who is next at the encoder, by the numbers: the clock is the test's."""

from __future__ import annotations

import pytest

from service.encoder_turns import Turns


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def after_a_pass(clock, share, questions):
    """Turns after a question, and then a pass of two seconds over passages that were handed over at once."""
    turns = Turns(share, clock)
    assert turns.next(questions=True, passages=True) == "question"
    turns.ended("question", 100.0, 100.0, questions)
    assert turns.next(questions, passages=True) == ("passage" if questions else None)
    clock.now = 102.0
    turns.ended("passage", 100.0, 100.0, questions)
    return turns


def test_nobody_is_next_where_nobody_waits(clock):
    assert Turns(0.5, clock).next(questions=False, passages=False) is None


def test_questions_go_first_and_passages_that_have_rested_are_next(clock):
    turns = Turns(0.5, clock)
    assert [turns.next(questions=True, passages=True) for _ in range(4)] == [
        "question", "passage", "question", "passage",
    ]  # fmt: skip


@pytest.mark.parametrize(("share", "rest"), [(0.5, 2.0), (0.25, 6.0), (1.0, 0.0)])
def test_beside_questions_passages_rest_until_they_had_their_share_of_the_time(clock, share, rest):
    turns = after_a_pass(clock, share, questions=True)
    assert turns.rest(questions=True) == pytest.approx(rest)
    if rest:
        assert turns.next(questions=True, passages=True) == "question"
    clock.now += rest
    assert turns.next(questions=True, passages=True) == ("passage" if rest else "question")


def test_the_work_of_a_run_between_two_passes_counts_as_its_own_up_to_half_a_second(clock):
    turns = after_a_pass(clock, 0.5, questions=True)
    clock.now = 102.3  # parsed and stored for 0.3 s, then encoded for a second
    start = clock.now
    clock.now += 1.0
    turns.ended("passage", start, start, questions=True)
    assert turns.rest(questions=True) == pytest.approx(1.3)
    clock.now = start = 200.0
    clock.now += 1.0
    turns.ended("passage", start, start, questions=True)
    assert turns.rest(questions=True) == pytest.approx(1.5)


def test_where_nobody_asks_any_more_passages_go_on_at_once(clock):
    turns = after_a_pass(clock, 0.1, questions=True)  # it would rest for 18 seconds
    assert turns.rest(questions=False) <= 0
    assert turns.next(questions=False, passages=True) == "passage"


def test_a_question_that_was_just_encoded_keeps_the_processor_for_a_quarter_of_a_second(clock):
    turns = Turns(0.5, clock)
    turns.ended("passage", 99.0, 99.0, questions=True)
    turns.ended("question", 100.0, 100.0, questions=False)
    assert turns.next(questions=False, passages=True) is None
    assert turns.rest(questions=False) == pytest.approx(0.25)
    clock.now = 100.25
    assert turns.next(questions=False, passages=True) == "passage"
