"""Servers that cannot be reached: refused, hanging, without a name, without TLS (case U1)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from domain.errors import GenerationError, GeneratorUnreachable
from generation.openai_compatible import OpenAICompatibleGenerator
from tests.generation.fault_server import HANG, fault_server
from tests.generation.generation_examples import WordCounter, context


def error_at(base_url: str, connect_seconds: float = 0.3) -> GenerationError:
    generator = OpenAICompatibleGenerator(base_url, "m", WordCounter(), connect_seconds=connect_seconds)
    with pytest.raises(GenerationError) as caught:
        list(generator.generate(context()))
    return caught.value


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.upstream._FIRST_DELAY_SECONDS", 0.01)


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that further ones get no reply at all."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_u1_a_connection_that_is_never_accepted_is_given_up(full_port: int) -> None:
    error = error_at(f"http://127.0.0.1:{full_port}/v1")
    assert (type(error), error.code, error.retryable) == (GeneratorUnreachable, "llm_unreachable", True)


def test_u1_a_server_without_tls_is_unreachable() -> None:
    with fault_server(lambda *_: [HANG]) as server:  # it waits for a request and gets a handshake
        assert error_at(f"https://127.0.0.1:{server.port}/v1").code == "llm_unreachable"
        assert server.over.wait(timeout=10)  # the handshake that was given up is closed


def test_u1_a_server_that_answers_a_handshake_with_text_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_all() -> None:
            for _ in range(3):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1024)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer_all, daemon=True)
        thread.start()
        error = error_at(f"https://127.0.0.1:{listener.getsockname()[1]}/v1", connect_seconds=5.0)
        thread.join(timeout=10)
    assert error.code == "llm_unreachable"


def test_u1_a_name_that_does_not_exist_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unknown(*arguments: object, **options: object) -> None:
        asked.append(arguments[0])
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert error_at("http://model.invalid/v1").code == "llm_unreachable"
    assert len(asked) == 3


def test_u1_a_name_that_is_looked_up_for_ever_does_not_hold_up_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    found = threading.Event()

    def slow(*arguments: object, **options: object) -> list[object]:
        found.wait(timeout=30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        assert error_at("http://model.invalid/v1").code == "llm_unreachable"
        assert not found.is_set()  # the error came while the look-up was still going on
    finally:
        found.set()


def test_u1_refused_connections_and_pauses_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    granted = []

    class Refusing(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            granted.append(request.extensions["timeout"]["connect"])
            raise httpx.ConnectError("refused")

    monkeypatch.setattr("generation.upstream._FIRST_DELAY_SECONDS", 0.4)
    generator = OpenAICompatibleGenerator(
        "http://model/v1", "m", WordCounter(), connect_seconds=2.0, transport=Refusing()
    )
    with pytest.raises(GeneratorUnreachable):
        list(generator.generate(context()))
    assert len(granted) == 3
    assert granted[0] > granted[1] > granted[2] >= 0.5  # what the pauses took is not given again
