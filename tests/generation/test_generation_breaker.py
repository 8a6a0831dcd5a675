"""A model server that keeps failing is left alone, and asked again soon enough (case U12); no test waits."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from domain.errors import GenerationError
from generation.breaker import CircuitBreaker
from generation.openai_compatible import OpenAICompatibleGenerator
from tests.generation.fake_openai import answer, reply_of
from tests.generation.generation_examples import Clock, WordCounter, context


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("model:80", failures=3, probe_seconds=5.0, clock=clock)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.failure()


def test_failures_in_a_row_open_the_circuit_and_a_success_between_them_does_not(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.success()
    fail(breaker, 2)
    assert (breaker.state, breaker.admit()) == ("closed", True)
    breaker.failure()
    assert (breaker.state, breaker.admit(), breaker.seconds_to_probe) == ("open", False, 5.0)


def test_one_probe_passes_when_its_time_has_come(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now = 4.9
    assert not breaker.admit()
    clock.now = 5.0
    assert [breaker.admit(), breaker.admit()] == [True, False]
    assert breaker.state == "half_open"


def test_a_probe_that_succeeds_closes_the_circuit_and_one_that_fails_does_not(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, 3)
    clock.now = 5.0
    breaker.admit()
    breaker.failure()
    assert (breaker.state, breaker.seconds_to_probe) == ("open", 5.0)
    clock.now = 10.0
    assert breaker.admit()
    breaker.success()
    assert (breaker.state, breaker.admit(), breaker.seconds_to_probe) == ("closed", True, 0.0)


def test_a_probe_nobody_hears_of_again_does_not_keep_the_circuit_open(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now = 5.0
    assert breaker.admit()  # its caller goes away
    clock.now = 10.0
    assert breaker.admit()


def test_calls_from_before_the_opening_do_not_put_off_the_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now = 4.0
    fail(breaker, 20)
    clock.now = 5.0
    assert breaker.admit()


def test_opening_and_closing_are_logged_once(breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture) -> None:
    fail(breaker, 20)
    breaker.success()
    breaker.success()
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["llm_circuit_opened server=model:80 failures=3", "llm_circuit_closed server=model:80"]


class Server:
    """A model server that is well or not, and remembers when it was called."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.well = False
        self.called_at: list[float] = []

    def reply(self, request: httpx.Request) -> httpx.Response:
        self.called_at.append(self.clock.now)
        return reply_of(answer("Yes.")) if self.well else reply_of(b"", 503)


def ask_every_quarter_second(ask: Callable[[], bool], clock: Clock, until: float) -> list[float]:
    """The times of the questions that were answered."""
    answered = []
    while clock.now < until:
        if ask():
            answered.append(clock.now)
        clock.now += 0.25
    return answered


def test_u12_an_open_circuit_lets_five_calls_pass_in_ten_seconds_and_closes_within_fifteen(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.upstream._FIRST_DELAY_SECONDS", 0.001)
    server = Server(clock)
    generator = OpenAICompatibleGenerator(
        "http://model/v1", "m", WordCounter(), transport=httpx.MockTransport(server.reply), clock=clock
    )
    codes = set[str]()

    def ask() -> bool:
        try:
            return bool(list(generator.generate(context())))
        except GenerationError as error:
            codes.add(error.code)
            return False

    for _ in range(20):  # twenty questions at once find out that it is down
        ask()
    opened_with = len(server.called_at)
    clock.now += 0.25
    assert ask_every_quarter_second(ask, clock, until=40.0) == []
    probes = server.called_at[opened_with:]
    most = max(sum(start <= at < start + 10 for at in probes) for start in probes)
    assert opened_with <= 5
    assert most <= 5
    assert codes == {"llm_unavailable"}

    recovered = clock.now
    server.well = True
    answered = ask_every_quarter_second(ask, clock, until=recovered + 20)
    assert answered[0] - recovered <= 15
    assert len(answered) == (recovered + 20 - answered[0]) / 0.25  # from then on every question


def test_u12_an_open_circuit_says_when_to_come_back(clock: Clock) -> None:
    generator = OpenAICompatibleGenerator(
        "http://model/v1",
        "m",
        WordCounter(),
        transport=httpx.MockTransport(lambda request: reply_of(b"", 503)),
        clock=clock,
        max_retries=0,
    )
    for _ in range(5):
        with pytest.raises(GenerationError):
            list(generator.generate(context()))
    clock.now = 2.0
    with pytest.raises(GenerationError, match="asked again in 3 seconds") as caught:
        list(generator.generate(context()))
    assert (caught.value.code, caught.value.retryable, caught.value.retry_after_seconds) == ("llm_unavailable", True, 3)


@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_u12_a_server_that_refuses_is_not_broken(status: int, clock: Clock) -> None:
    calls = []

    def refuse(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return reply_of(b"", status)

    generator = OpenAICompatibleGenerator(
        "http://model/v1", "m", WordCounter(), transport=httpx.MockTransport(refuse), clock=clock, max_retries=0
    )
    for _ in range(10):
        with pytest.raises(GenerationError):
            list(generator.generate(context()))
    assert len(calls) == 10
