"""The deadlines as they are configured when nobody configures them, in real time (cases U2, U3)."""

from __future__ import annotations

import time

import pytest

from domain.errors import GeneratorTimeout
from generation.openai_compatible import OpenAICompatibleGenerator
from tests.generation.fake_openai import STREAM_HEAD, Forever, Script, delta, event
from tests.generation.fault_server import HANG, fault_server
from tests.generation.generation_examples import WordCounter, context


def seconds_until_timeout(script: Script) -> float:
    with fault_server(lambda *_: script) as server:
        parts = OpenAICompatibleGenerator(server.base_url, "m", WordCounter()).generate(context())
        start = time.monotonic()
        with pytest.raises(GeneratorTimeout):
            list(parts)
        return time.monotonic() - start


@pytest.mark.nightly
@pytest.mark.parametrize("script", [[HANG], [STREAM_HEAD, Forever(b": keep-alive\n\n", 1.0)]])
def test_u2_no_first_token_ends_after_thirty_seconds(script: Script) -> None:
    seconds = seconds_until_timeout(script)
    print(f"{seconds:.2f} seconds")
    assert 29 <= seconds <= 31


@pytest.mark.nightly
@pytest.mark.parametrize("drip", [b"d", b": still here\n\n", event(delta("a"))])
def test_u3_a_drip_of_a_byte_a_second_ends_after_two_minutes(drip: bytes) -> None:
    seconds = seconds_until_timeout([STREAM_HEAD, event(delta("The ")), Forever(drip, 1.0)])
    print(f"{seconds:.2f} seconds")
    assert 119 <= seconds <= 121
