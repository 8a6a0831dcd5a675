"""Retries are a small part of all calls, however many requests fail at once (case U5)."""

from __future__ import annotations

import httpx
import pytest

from generation.openai_compatible import OpenAICompatibleGenerator
from generation.retry_budget import RetryBudget
from tests.generation.fake_openai import answer, reply_of
from tests.generation.generation_examples import Clock, WordCounter, context


def granted(budget: RetryBudget, wanted: int) -> int:
    return sum(budget.take() for _ in range(wanted))


def test_few_calls_may_always_be_repeated_a_little() -> None:
    assert granted(RetryBudget(least=10, clock=Clock()), 50) == 10


def test_many_calls_allow_a_tenth_of_their_number() -> None:
    budget = RetryBudget(clock=Clock())
    for _ in range(2_000):
        budget.count_call()
    assert granted(budget, 2_000) == 200


def test_calls_are_forgotten_after_the_next_window_and_so_are_retries() -> None:
    clock = Clock()
    budget = RetryBudget(least=3, window_seconds=60.0, clock=clock)
    for _ in range(100):
        budget.count_call()
    assert granted(budget, 50) == 10
    clock.now = 61.0
    assert granted(budget, 50) == 0  # the last window still counts, on both sides
    clock.now = 121.0
    assert granted(budget, 50) == 3


def test_u5_retries_are_at_most_a_tenth_of_the_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.upstream._FIRST_DELAY_SECONDS", 0.0)
    calls = 0

    def every_second_fails(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return reply_of(b"", 503) if calls % 2 else reply_of(answer("Yes."))

    generator = OpenAICompatibleGenerator(
        "http://model/v1", "m", WordCounter(), transport=httpx.MockTransport(every_second_fails), clock=Clock()
    )
    requests, answered = 200, 0
    for _ in range(requests):
        try:
            answered += bool(list(generator.generate(context())))
        except Exception:
            continue
    assert calls - requests == 20
    assert answered == 110  # half of them at once, a tenth after a retry


def test_u5_retries_wait_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    from generation.upstream import retry_delay

    first = [retry_delay(0, {}) for _ in range(200)]
    second = [retry_delay(1, {}) for _ in range(200)]
    assert all(0.25 <= delay <= 0.5 for delay in first if delay is not None)
    assert all(0.5 <= delay <= 1.0 for delay in second if delay is not None)
    assert len(set(first)) > 100
