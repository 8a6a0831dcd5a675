"""The benchmark of the default settings against plain dense top-10."""

from __future__ import annotations

from pathlib import Path

from benchmarks.operating_point import POOLED, Measured, draw, line, pooled
from service.evaluation.asking import Outcome, Sent
from service.evaluation.request import DEFAULT_BUDGETS
from service.labelled_questions import LabelledQuestion


def outcome(document: str, tokens: int, recall: float, plain: tuple[int, float], prompt: int = 400) -> Outcome:
    """A question whose filled budgets are filled to the last token, and hold the answer from 128 on."""
    return Outcome(
        question=LabelledQuestion(f"q of {document}", "Who?", ("Ada",), document),
        point=Sent(tokens, recall),
        plain=Sent(*plain),
        curve=tuple(Sent(budget, float(budget >= 128)) for budget in DEFAULT_BUDGETS),
        ndcg=1.0,
        best=0.9,
        findable=True,
        repeated_elsewhere=False,
        prompt=prompt,
        bare=prompt - tokens,
        timings={"total": 1.0},
    )


def test_a_promise_is_kept_with_an_eighth_of_the_tokens_and_no_answer_lost() -> None:
    cells = line(Measured("nq", [outcome(name, 100, 1.0, (900, 1.0)) for name in "abc"]))
    assert cells[:4] == ["nq", "3", "100", "900"]
    assert cells[4] == "9.0 [9.0, 9.0]" and cells[6] == "+0.0 [+0.0, +0.0]"
    assert cells[-2:] == ["400", "yes"]


def test_seven_times_fewer_is_not_enough() -> None:
    assert line(Measured("nq", [outcome(name, 100, 1.0, (700, 1.0)) for name in "abc"]))[-1] == "no"


def test_an_interval_that_reaches_below_two_points_breaks_the_promise() -> None:
    asked = [outcome(str(at), 100, float(at != 0), (900, 1.0)) for at in range(20)]
    assert line(Measured("nq", asked))[-1] == "no"


def test_the_curve_is_compared_at_as_many_tokens_as_are_sent() -> None:
    adaptive = [outcome("a", 64, 1.0, (900, 1.0)), outcome("b", 192, 1.0, (900, 1.0))]
    assert line(Measured("nq", adaptive))[7].startswith("+0.0")  # 128 tokens on average: the curve is at 1 there
    lean = [outcome("a", 64, 1.0, (900, 1.0)), outcome("b", 128, 1.0, (900, 1.0))]
    assert line(Measured("nq", lean))[7].startswith("+100.0")  # 96 tokens, where filled budgets hold nothing


def test_documents_of_the_same_name_stay_apart_when_sets_are_pooled() -> None:
    both = pooled([Measured(name, [outcome("a", 100, 1.0, (900, 1.0))]) for name in ("nq", "covidqa")])
    assert both.name == POOLED and len({one.question.cluster for one in both.outcomes}) == 2


def test_the_picture_has_a_panel_for_each_set(tmp_path: Path) -> None:
    measured = [Measured(name, [outcome("a", 100, 1.0, (900, 1.0))]) for name in ("nq", "covidqa", "all", "x", "y")]
    draw(measured, tmp_path / "operating-point.svg")
    picture = (tmp_path / "operating-point.svg").read_text()
    assert all(name in picture for name in ("covidqa", "plain dense top-10", "filled budgets"))
