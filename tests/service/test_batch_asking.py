"""How a batch asks: side by side, in order, and no further when asking has become pointless."""

from __future__ import annotations

import threading

import pytest

from domain.errors import (
    ConfigurationError,
    GeneratorUnreachable,
    IndexModelMismatch,
    NotFound,
    StorageError,
    UsageError,
)
from service.question_pool import ask_all


def test_answers_come_in_the_order_of_the_questions_whoever_is_first():
    later_done = threading.Event()

    def ask(question):
        if question == "first":
            assert later_done.wait(30)
        else:
            later_done.set()
        return question.upper()

    assert list(ask_all(ask, ["first", "second", "third"])) == ["FIRST", "SECOND", "THIRD"]


@pytest.mark.parametrize("error", [UsageError("Too long."), GeneratorUnreachable("Away.")])
def test_an_error_of_one_question_stands_in_its_place(error):
    def ask(question):
        if question == "bad":
            raise error
        return question

    assert list(ask_all(ask, ["a", "bad", "b"])) == ["a", error, "b"]


@pytest.mark.parametrize(
    "error",
    [NotFound("x"), ConfigurationError("x"), IndexModelMismatch("x"), StorageError("x"), RuntimeError("a bug")],
)
def test_an_error_that_every_question_would_meet_ends_the_run(error):
    asked = []

    def ask(question):
        asked.append(question)
        raise error

    with pytest.raises(type(error)):
        list(ask_all(ask, [f"question {number}" for number in range(1000)]))
    assert len(asked) < 20


def test_questions_are_taken_as_answers_are_fetched():
    taken = []

    def questions():
        for number in range(1000):
            taken.append(number)
            yield str(number)

    answers = ask_all(lambda question: question, questions())
    assert [next(answers) for _ in range(3)] == ["0", "1", "2"]
    assert len(taken) < 20
    answers.close()


def test_no_question_no_answer():
    assert list(ask_all(lambda question: question, [])) == []
