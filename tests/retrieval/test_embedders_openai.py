"""The remote embedder: order, batches, retries within a deadline, and errors that say what to do."""

import json
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import httpx
import numpy as np
import pytest

from domain.errors import ConfigurationError, FetchError
from domain.protocols import Embedder
from retrieval.embedders.openai_compatible import OpenAICompatibleEmbedder

URL = "http://127.0.0.1:1/v1"


class Clock:
    """Time that passes only by sleeping or by `tick`."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def make(handler: Callable[[httpx.Request], httpx.Response], clock: Clock | None = None, **options: Any) -> Any:
    clock = clock or Clock()
    return OpenAICompatibleEmbedder(
        URL, "m", 2, transport=httpx.MockTransport(handler), sleep=clock.sleep, clock=clock, **options
    )


def reply(request: httpx.Request) -> httpx.Response:
    """Give the text "3" the vector (3, 4 * 3), so that direction tells nothing and the order is told by the sign."""
    texts = json.loads(request.content)["input"]
    data = [{"index": i, "embedding": [float(text[-1]), 1.0]} for i, text in enumerate(texts)]
    return httpx.Response(200, json={"data": data[::-1]})


def test_vectors_come_in_the_order_of_the_texts_over_batches_and_shuffled_replies() -> None:
    calls: list[list[str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(json.loads(request.content)["input"])
        return reply(request)

    embedder = make(handler, batch_size=2, document_prompt="passage: ", query_prompt="query: ")
    assert isinstance(embedder, Embedder)
    vectors = embedder.embed_documents(["0", "3", "1"])
    assert calls == [["passage: 0", "passage: 3"], ["passage: 1"]]
    np.testing.assert_allclose(vectors, [[0, 1], [3 / 10**0.5, 1 / 10**0.5], [0.5**0.5, 0.5**0.5]], rtol=1e-6)
    assert vectors.dtype == np.float32
    embedder.embed_query("3")
    assert calls[-1] == ["query: 3"]


def test_no_texts_cost_no_request() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("a request was made")

    assert make(handler).embed_documents([]).shape == (0, 2)


def test_the_request_is_what_an_openai_server_expects() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"data": [{"index": 0, "embedding": [3, 4]}]})

    embedder = make(handler, api_key="secret", request_dimensions=True)
    np.testing.assert_allclose(embedder.embed_query(""), [0.6, 0.8], rtol=1e-6)
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", URL + "/embeddings")
    assert request.headers["authorization"] == "Bearer secret"
    assert json.loads(request.content) == {"model": "m", "input": [" "], "encoding_format": "float", "dimensions": 2}


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_a_passing_failure_is_retried(status: int) -> None:
    answers = iter([httpx.Response(status), httpx.Response(status)])
    clock = Clock()
    assert make(lambda request: next(answers, None) or reply(request), clock).embed_query("1").shape == (2,)
    assert len(clock.slept) == 2 and clock.slept[0] < clock.slept[1]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        (formatdate(4_000_000_000, usegmt=True), None, None),
        ("-3", 0, 0.5),
        ("soon", 0, 0.5),
        ("nan", 0, 0.5),
    ],
)
def test_retry_after_is_honoured_within_the_deadline(header: str, least: float | None, most: float | None) -> None:
    answers = iter([httpx.Response(429, headers={"retry-after": header})])
    clock = Clock()
    embedder = make(lambda request: next(answers, None) or reply(request), clock)
    if least is None:  # a date decades ahead
        with pytest.raises(FetchError, match="answered 429"):
            embedder.embed_query("1")
        assert clock.slept == []
    else:
        embedder.embed_query("1")
        assert least <= clock.slept[0] <= (most or 0)


def test_a_server_that_stays_down_fails_after_the_retries_and_can_be_tried_again_later() -> None:
    calls = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(FetchError, match=r"cannot be reached \(ConnectError: refused\)") as caught:
        make(handler, max_retries=2).embed_query("1")
    assert calls == 3
    assert caught.value.code == "embedder_unavailable" and caught.value.retryable


def test_a_server_that_drips_bytes_is_stopped_at_the_deadline() -> None:
    clock = Clock()

    class Drip(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                clock.now += 1
                yield b" "

    with pytest.raises(FetchError, match="not complete after 10 seconds"):
        make(lambda request: httpx.Response(200, stream=Drip()), clock, timeout_seconds=10).embed_query("1")
    assert clock.now == pytest.approx(10)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_retried_and_names_the_status_but_never_the_key(status: int) -> None:
    calls = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return httpx.Response(status, text="no such model")

    with pytest.raises(ConfigurationError, match=rf"status {status}: no such model") as caught:
        make(handler, api_key="secret").embed_query("1")
    assert calls == 1 and "secret" not in str(caught.value)


def test_another_width_is_a_configuration_error_that_names_both() -> None:
    data = {"data": [{"index": 0, "embedding": [1, 2, 3]}]}
    with pytest.raises(ConfigurationError, match="3 dimensions, but 2 are configured"):
        make(lambda request: httpx.Response(200, json=data)).embed_query("1")


@pytest.mark.parametrize(
    "content",
    [
        b"<html>",
        b"[]",
        b'{"data": 3}',
        b'{"data": []}',
        b'{"data": [{"index": 1, "embedding": [1, 2]}]}',
        b'{"data": [{"index": 0, "embedding": [1, 2]}, {"index": 0, "embedding": [1, 2]}]}',
        b'{"data": [{"index": 0, "embedding": "AAAA"}]}',
        b'{"data": [{"index": 0, "embedding": [[1, 2]]}]}',
        b'{"data": [{"index": 0, "embedding": [0, 0]}]}',
        b'{"data": [{"index": 0, "embedding": [NaN, 1]}]}',
        b'{"data": [{"index": 0, "embedding": [1e309, 1]}]}',
        b"\xff\xfe",
    ],
)
def test_a_malformed_reply_is_a_typed_error(content: bytes) -> None:
    with pytest.raises(FetchError, match="cannot be used") as caught:
        make(lambda request: httpx.Response(200, content=content)).embed_query("1")
    assert caught.value.code == "embedder_bad_response"


@pytest.mark.parametrize("url", ["ftp://x/v1", "localhost:80/v1", "", "http://", "http://[::1"])
def test_a_url_that_cannot_be_called_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match="URL"):
        OpenAICompatibleEmbedder(url, "m", 2)
