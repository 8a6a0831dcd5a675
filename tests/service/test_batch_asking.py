"""How a batch asks: side by side, in order, and no further when asking has become pointless."""

from __future__ import annotations

import threading

import pytest

from domain.errors import (
    ConfigurationError,
    GeneratorUnreachable,
    IndexModelMismatch,
    NotFound,
    Overloaded,
    QuotaExceeded,
    StorageError,
    UsageError,
)
from service.api.app import create_app
from service.question_pool import ask_all
from tests.service.api_fakes import LEASE, FakeEngine, FakeJobQueue
from tests.service.http_server import running


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


@pytest.mark.parametrize(
    "refusal", [Overloaded("Full."), QuotaExceeded("Nearly used up.", retry_after_seconds=1)], ids=["503", "429"]
)
def test_c5_fovea_batch_over_http_outlives_a_busy_moment(fovea, tmp_path, refusal):
    engine, refusals = FakeEngine({"lease.txt": LEASE}), [refusal]
    found = engine._found

    def busy_once(*given):
        if refusals:
            raise refusals.pop()
        return found(*given)

    engine._found = busy_once
    table = tmp_path / "asked.csv"
    table.write_text("question\n" + "".join(f"What is the rent of flat {number}?\n" for number in range(6)))
    with running(create_app(engine, FakeJobQueue())) as url:
        status, shown, said = fovea("batch", table, "-o", tmp_path / "answers.csv", "--url", url)
    assert (status, refusals) == (0, []), said
    assert "6 rows: 0 without an answer, 0 failed" in shown
