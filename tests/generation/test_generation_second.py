"""Two base URLs: the second stands in for the first within the same deadline (case U13)."""

from __future__ import annotations

import pytest

from domain.errors import ConfigurationError, GenerationError, GeneratorBadResponse
from generation.endpoint import ModelServer
from generation.openai_compatible import OpenAICompatibleGenerator
from generation.stream import Generation
from tests.generation.fake_openai import RESET, STREAM_HEAD, Forever, Script, answer, delta, event, fake_openai, status
from tests.generation.fault_server import HANG, FaultServer
from tests.generation.generation_examples import Clock, WordCounter, context

GOOD = [STREAM_HEAD, answer("From the second [1].")]
FIRST = [STREAM_HEAD, answer("From the first [1].")]


def pair(first: FaultServer, second: FaultServer, **options: float) -> OpenAICompatibleGenerator:
    settings = {"first_token_seconds": 5.0, "total_seconds": 10.0, **options}
    stand_in = ModelServer(second.base_url, "two", "key-two")
    return OpenAICompatibleGenerator(
        first.base_url, "one", WordCounter(), api_key="key-one", second=stand_in, clock=Clock(), **settings
    )  # type: ignore[arg-type]


def ask(generator: OpenAICompatibleGenerator) -> tuple[str, Generation]:
    parts = generator.generate(context())
    return "".join(parts), parts


def test_u13_while_the_first_is_well_the_second_is_not_called() -> None:
    with fake_openai(FIRST) as first, fake_openai(GOOD) as second:
        text, parts = ask(pair(first, second))
        assert (text, parts.model, second.requests) == ("From the first [1].", "one", [])


@pytest.mark.parametrize(
    "script",
    [
        [RESET],
        [status(500)],
        [status(503)],
        [status(429, headers=[("Retry-After", "3600")])],
        [status(401)],
        [status(402)],
        [status(404)],
        [STREAM_HEAD, RESET],
        [STREAM_HEAD],
        [STREAM_HEAD, b"data: {not json}\n\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>maintenance</html>"],
        [STREAM_HEAD, event({"error": {"message": "overloaded"}})],
    ],
)
def test_u13_a_first_server_that_fails_costs_one_extra_call_and_the_answer_says_who_wrote_it(script: Script) -> None:
    with fake_openai(script) as first, fake_openai(GOOD) as second:
        text, parts = ask(pair(first, second))
        assert (text, parts.model) == ("From the second [1].", "two")
        assert (len(first.requests), len(second.requests)) == (1, 1)


def test_u13_each_server_gets_its_own_model_name_and_its_own_key() -> None:
    with fake_openai([status(500)]) as first, fake_openai(GOOD) as second:
        ask(pair(first, second))
        (head_one, body_one), (head_two, body_two) = first.requests[0], second.requests[0]
        assert ("key-one" in head_one, "key-two" in head_one) == (True, False)
        assert ("key-one" in head_two, "key-two" in head_two) == (False, True)
        assert (body_one["model"], body_two["model"]) == ("one", "two")
        assert body_one["messages"] == body_two["messages"]


@pytest.mark.parametrize("script", [[HANG], [STREAM_HEAD, Forever(b": keep-alive\n\n", 0.02)]])
def test_u13_a_first_server_that_is_silent_leaves_the_second_half_of_the_time(script: Script) -> None:
    with fake_openai(script) as first, fake_openai(GOOD) as second:
        text, parts = ask(pair(first, second, first_token_seconds=2.0))
        assert (text, parts.model) == ("From the second [1].", "two")
        assert first.over.wait(timeout=10)
        assert first.left_early == 1  # the call that was given up is closed


def test_u13_both_silent_end_at_the_deadline_of_the_first_token() -> None:
    with fake_openai([HANG]) as first, fake_openai([HANG]) as second:
        with pytest.raises(GenerationError) as caught:
            ask(pair(first, second, first_token_seconds=0.4))
        assert caught.value.code == "llm_timeout"
        assert (len(first.requests), len(second.requests)) == (1, 1)


def test_u13_at_most_three_calls_are_made_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.upstream._FIRST_DELAY_SECONDS", 0.01)
    with fake_openai(*[[status(503)]] * 5) as first, fake_openai(*[[status(503)]] * 5) as second:
        with pytest.raises(GenerationError) as caught:
            ask(pair(first, second))
        assert caught.value.code == "llm_unavailable"
        assert (len(first.requests), len(second.requests)) == (2, 1)


def test_u13_a_first_server_whose_circuit_is_open_costs_nothing() -> None:
    with fake_openai(*[[status(503)]] * 9) as first, fake_openai(*[GOOD] * 9) as second:
        generator = pair(first, second)
        assert [ask(generator)[1].model for _ in range(9)] == ["two"] * 9
        assert (len(first.requests), len(second.requests)) == (5, 9)


def test_u13_after_the_first_token_nobody_stands_in() -> None:
    with fake_openai([STREAM_HEAD, event(delta("The ")), RESET]) as first, fake_openai(GOOD) as second:
        parts = pair(first, second).generate(context())
        assert next(parts) == "The "
        with pytest.raises(GeneratorBadResponse) as caught:
            list(parts)
        assert (caught.value.code, second.requests) == ("llm_truncated", [])


def test_a_second_address_that_cannot_be_right_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        OpenAICompatibleGenerator("http://model/v1", "m", WordCounter(), second=ModelServer("model", "m"))


def test_the_key_of_a_server_does_not_show() -> None:
    assert "secret" not in repr(ModelServer("http://model/v1", "m", "secret"))
