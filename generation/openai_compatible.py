"""Answers from any server that speaks OpenAI's chat completions: streamed, with deadlines, and honest about failure.

`httpx` bounds each single read, and a server that drips a byte a second, or sends keep-alive comments for ever, never
trips that bound. So the exchange runs as one asyncio task in a thread of its own, where two real deadlines hold: one
until the first token, one for the whole answer. The caller's thread, whatever it is (an event loop may run in it, as
in a notebook), only takes text from a queue; when it stops listening, the task is cancelled and the connection closed.

A stream counts as an answer only when it says so, with a `finish_reason` or `[DONE]`. Before the first token a failed
call is repeated at most twice; after it nothing is, because text that was shown cannot be taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import httpx

from domain.context import Context
from domain.errors import (
    ConfigurationError,
    GenerationError,
    GeneratorBadResponse,
    GeneratorTimeout,
    GeneratorUnreachable,
)
from domain.protocols import TokenCounter
from generation.arriving import MAX_ANSWER_BYTES, ArrivingAnswer, truncated
from generation.background import BackgroundCall
from generation.sse import EventStream, EventTooLarge
from generation.stream import Generation, Outcome
from generation.upstream import RETRYABLE_STATUSES, refused, rejects_stream_options, retry_delay

_MAX_ERROR_BYTES = 8 * 1024  # enough to recognise a refusal
_MAX_WHOLE_REPLY_BYTES = 4 * MAX_ANSWER_BYTES  # a reply that was not streamed, escapes and envelope included
_USAGE_GRACE_SECONDS = 2.0  # after finish_reason the usage may still come; the answer itself is complete


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. `first_token` covers connecting, retries and waiting; `total` the whole answer."""

    first_token: float = 30.0
    total: float = 120.0
    connect: float = 5.0


class OpenAICompatibleGenerator:
    """One model behind one base URL. Safe to share between threads: all state of a call lives in the call."""

    def __init__(
        self,
        base_url: str,
        model: str,
        counter: TokenCounter,
        *,
        api_key: str | None = None,
        context_window: int = 8_192,
        max_output_tokens: int = 1_024,
        temperature: float = 0.0,
        first_token_seconds: float = 30.0,
        total_seconds: float = 120.0,
        connect_seconds: float = 5.0,
        max_retries: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`base_url` ends where `/chat/completions` begins, usually in `/v1`. Raises ConfigurationError."""
        self.model = model
        self.context_window = context_window
        self.max_output_tokens = max_output_tokens
        self._counter = counter
        self._url, self._where = _endpoint(base_url)
        self._headers = _headers(api_key)
        self._temperature = temperature
        self._deadlines = Deadlines(first_token_seconds, total_seconds, connect_seconds)
        self._max_retries = max_retries
        self._transport = transport

    def generate(self, context: Context) -> Generation:
        """The answer as it arrives. Raises GenerationError, also in the middle. The call starts with the first part."""
        outcome = Outcome()
        return Generation(self._parts(self._body(context), outcome), outcome)

    def count_tokens(self, text: str) -> int:
        """Tokens in the counter that was given for this model."""
        return self._counter.count(text)

    def _body(self, context: Context) -> dict[str, Any]:
        # Prompt and answer share the window, so the answer may be no longer than what the prompt left free for it.
        longest = min(self.max_output_tokens, context.bill.reserve or self.max_output_tokens)
        return {
            "model": self.model,
            "messages": [message.to_dict() for message in context.messages],
            "max_tokens": longest,
            "temperature": self._temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def _parts(self, body: dict[str, Any], outcome: Outcome) -> Iterator[str]:
        queue: SimpleQueue[str | BaseException | None] = SimpleQueue()
        call = BackgroundCall(lambda: self._exchange(body, outcome, queue.put), queue)
        try:
            while (item := queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            call.cancel()

    async def _exchange(self, body: dict[str, Any], outcome: Outcome, emit: Callable[[str], None]) -> None:
        """Send the request, retry it while that is allowed, and emit the answer's text."""
        limits = httpx.Timeout(self._deadlines.total, connect=self._deadlines.connect)
        client = httpx.AsyncClient(
            headers=self._headers, timeout=limits, transport=self._transport, trust_env=False, follow_redirects=False
        )
        answer = ArrivingAnswer(outcome, emit)
        try:
            first_token = asyncio.timeout(self._deadlines.first_token)
            async with client, asyncio.timeout(self._deadlines.total), first_token:
                answer.on_first_token = lambda: first_token.reschedule(None)
                await self._with_retries(client, body, answer)
        except TimeoutError:
            if not answer.complete:
                raise self._timed_out(answer.alive) from None
        answer.check()

    async def _with_retries(self, client: httpx.AsyncClient, body: dict[str, Any], answer: ArrivingAnswer) -> None:
        for attempt in range(self._max_retries + 1):
            last = attempt == self._max_retries
            try:
                delay = await self._attempt(client, body, answer, attempt, last)
            except httpx.ConnectTimeout:  # waited long enough already: a second wait would help nobody
                raise self._unreachable() from None
            except httpx.ConnectError:
                if last:
                    raise self._unreachable() from None
                delay = retry_delay(attempt, {})
            except httpx.TransportError:
                if last or answer.alive:
                    raise self._broken_off(answer.alive) from None
                delay = retry_delay(attempt, {})
            except httpx.HTTPError:
                raise GeneratorBadResponse(f"The reply of the server at {self._where} cannot be read.") from None
            if delay is None:
                return
            await asyncio.sleep(delay)

    async def _attempt(
        self, client: httpx.AsyncClient, body: dict[str, Any], answer: ArrivingAnswer, attempt: int, last: bool
    ) -> float | None:
        """One request. None when it was answered; the seconds to wait when it is to be repeated."""
        async with client.stream("POST", self._url, json=body) as response:
            if response.status_code == 200:
                await self._read(response, answer)
                return None
            said = await _limited_text(response, _MAX_ERROR_BYTES)
            if rejects_stream_options(response.status_code, said) and body.pop("stream_options", None) and not last:
                return 0.0
            delay = retry_delay(attempt, response.headers)
            if last or delay is None or response.status_code not in RETRYABLE_STATUSES:
                raise refused(response.status_code, said, self._where)
            return delay

    async def _read(self, response: httpx.Response, answer: ArrivingAnswer) -> None:
        """Read a reply of status 200, streamed or whole."""
        kind = response.headers.get("content-type", "text/event-stream").partition(";")[0].strip().lower()
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise GeneratorBadResponse(f"The language model server at {self._where} compressed its reply unasked.")
        if kind == "application/json":
            answer.add(await _limited_text(response, _MAX_WHOLE_REPLY_BYTES))
            answer.done = True
        elif kind in ("text/event-stream", "text/plain", ""):
            await self._read_events(response, answer)
        else:
            raise GeneratorBadResponse(
                f"The server at {self._where} answered with {kind[:40]!r} instead of a chat completion; check base_url."
            )

    async def _read_events(self, response: httpx.Response, answer: ArrivingAnswer) -> None:
        stream = EventStream()
        try:
            async for chunk in _until_quiet(response.aiter_raw(), answer):
                for event in stream.feed(chunk):
                    answer.add(event)
                    if answer.done:
                        return
            for event in stream.finish():
                answer.add(event)
        except UnicodeDecodeError:
            if not answer.complete:
                raise GeneratorBadResponse(f"The reply of the server at {self._where} is not valid UTF-8.") from None
        except EventTooLarge:
            raise GeneratorBadResponse(f"The server at {self._where} sent one event beyond all bounds.") from None

    def _unreachable(self) -> GeneratorUnreachable:
        return GeneratorUnreachable(
            f"The language model server at {self._where} cannot be reached; check that it runs and that base_url is "
            "right."
        )

    def _broken_off(self, alive: bool) -> GenerationError:
        if alive:
            return truncated()
        return GeneratorUnreachable(
            f"The language model server at {self._where} broke the connection before it answered; try again."
        )

    def _timed_out(self, alive: bool) -> GeneratorTimeout:
        if alive:
            return GeneratorTimeout(f"The answer was not complete after {self._deadlines.total:g} seconds.")
        waited = min(self._deadlines.first_token, self._deadlines.total)
        return GeneratorTimeout(
            f"The language model server at {self._where} gave no first token in {waited:g} seconds."
        )


async def _until_quiet(chunks: AsyncIterator[bytes], answer: ArrivingAnswer) -> AsyncIterator[bytes]:
    """The chunks of a stream; once the answer is complete, only what follows within the grace period."""
    while True:
        try:
            async with asyncio.timeout(_USAGE_GRACE_SECONDS if answer.complete else None):
                chunk = await anext(chunks)
        except (StopAsyncIteration, TimeoutError):
            return
        except httpx.TransportError:
            if answer.complete:  # the server hung up after the answer was whole
                return
            raise
        yield chunk


async def _limited_text(response: httpx.Response, most: int) -> str:
    """At most the first `most` bytes of a body, undecodable bytes replaced."""
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) >= most:
            break
    return bytes(data[:most]).decode("utf-8", "replace")


def _endpoint(base_url: str) -> tuple[str, str]:
    """The address of the chat route, and its host for messages. Credentials in a URL are refused: URLs get logged."""
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError("base_url of the language model must look like http://127.0.0.1:8000/v1.")
    if parts.username or parts.password:
        raise ConfigurationError("base_url of the language model must not hold credentials; set the API key instead.")
    path = parts.path.rstrip("/")
    path = path if path.endswith("/chat/completions") else f"{path}/chat/completions"
    query = f"?{parts.query}" if parts.query else ""  # some gateways carry an API version there
    return f"{parts.scheme}://{parts.netloc}{path}{query}", f"{host}:{port}" if port else host


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"accept": "text/event-stream, application/json", "accept-encoding": "identity"}
    key = (api_key or "").strip()
    if key:
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError("The language model's API key holds characters that no key has; set it again.")
        headers["authorization"] = f"Bearer {key}"
    return headers
