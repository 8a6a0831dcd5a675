"""Streams in every shape and state: good ones become the same text, cut ones are errors (cases U6, U7, U8)."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from itertools import pairwise

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import GenerationError
from generation.arriving import ArrivingAnswer
from generation.openai_compatible import OpenAICompatibleGenerator
from generation.reply import read_reply
from generation.stream import Outcome
from tests.generation.fake_openai import RESET, STREAM_HEAD, answer, reply_of
from tests.generation.fault_server import fault_server
from tests.generation.generation_examples import Clock, WordCounter, context
from tests.generation.stream_fixtures import PARTS, TEXT, Fixture, fixtures

SEED = int(os.environ.get("FOVEA_TEST_SEED", "6"))
WHOLE = answer(*PARTS)
PROOF = min(WHOLE.index(b'"finish_reason": "stop"'), WHOLE.index(b"[DONE]"))


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.upstream._FIRST_DELAY_SECONDS", 0.001)


def cut_points(count: int) -> list[int]:
    """Places before any proof of the end, the very first included."""
    print(f"FOVEA_TEST_SEED={SEED}")
    return [0, *sorted(random.Random(SEED).sample(range(1, PROOF), count - 1))]


def code_of(generator: OpenAICompatibleGenerator) -> str:
    with pytest.raises(GenerationError) as caught:
        list(generator.generate(context()))
    return caught.value.code


def test_u6_a_stream_cut_anywhere_before_its_end_is_no_answer() -> None:
    def broken(cut: int) -> OpenAICompatibleGenerator:
        transport = httpx.MockTransport(lambda request: reply_of(WHOLE[:cut]))
        return OpenAICompatibleGenerator("http://model/v1", "m", WordCounter(), transport=transport)

    assert {cut: code_of(broken(cut)) for cut in cut_points(100)} == dict.fromkeys(cut_points(100), "llm_truncated")


def test_u7_a_connection_reset_anywhere_before_the_end_is_no_answer() -> None:
    cuts = cut_points(100)
    with fault_server(lambda number, _: [STREAM_HEAD, WHOLE[: cuts[number]], RESET]) as server:
        generator = OpenAICompatibleGenerator(server.base_url, "m", WordCounter(), max_retries=0, clock=Clock())
        generator._endpoints[0].breaker.failure = lambda: None  # type: ignore[method-assign]  # all are to be made
        assert [code_of(generator) for _ in cuts] == ["llm_truncated"] * 100


@pytest.mark.parametrize("fixture", fixtures(), ids=lambda fixture: fixture.name)
def test_u8_a_reply_is_parsed_or_refused(fixture: Fixture) -> None:
    with fault_server(lambda *_: fixture.script) as server:
        generator = OpenAICompatibleGenerator(server.base_url, "m", WordCounter())
        if fixture.text is not None:
            assert "".join(generator.generate(context())) == fixture.text
        else:
            assert code_of(generator) in fixture.codes
            assert len(server.requests) <= 3


def test_u8_there_are_sixty_replies_of_different_names() -> None:
    assert len({fixture.name for fixture in fixtures()}) == len(fixtures()) >= 60


def read(chunks: list[bytes]) -> str:
    """The text that a stream of these pieces makes."""

    async def pieces() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    parts = list[str]()
    arriving = ArrivingAnswer(Outcome(), parts.append)
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=pieces())
    asyncio.run(read_reply(response, arriving, "model"))
    arriving.check()
    return "".join(parts)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=12), st.sampled_from((b"\n", b"\r\n", b"\r")), st.booleans())
def test_u8_any_split_of_the_bytes_gives_the_same_text(places: list[int], end: bytes, marked: bool) -> None:
    data = (b"\xef\xbb\xbf" if marked else b"") + WHOLE.replace(b"\n", end)
    bounds = [0, *sorted(places), len(data)]
    assert read([data[start:stop] for start, stop in pairwise(bounds)]) == TEXT


def test_u8_every_single_cut_in_two_gives_the_same_text() -> None:
    assert {read([WHOLE[:cut], WHOLE[cut:]]) for cut in range(len(WHOLE))} == {TEXT}
