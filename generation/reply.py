"""A reply of status 200, read into an answer: a stream of events, or one JSON object where a server does not stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx

from domain.errors import GeneratorBadResponse
from generation.arriving import MAX_ANSWER_BYTES, ArrivingAnswer, truncated
from generation.sse import EventStream, EventTooLarge

_MAX_WHOLE_REPLY_BYTES = 4 * MAX_ANSWER_BYTES  # a reply that was not streamed, escapes and envelope included
_USAGE_GRACE_SECONDS = 2.0  # after finish_reason the usage may still come; the answer itself is complete


async def read_reply(response: httpx.Response, answer: ArrivingAnswer, where: str) -> None:
    """Read until the answer is done, or the reply ends. Raises GenerationError for what is no answer, httpx's errors
    for a connection that breaks.
    """
    kind = response.headers.get("content-type", "text/event-stream").partition(";")[0].strip().lower()
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise GeneratorBadResponse(f"The language model server at {where} compressed its reply unasked.")
    if kind == "application/json":
        answer.add(await limited_text(response, _MAX_WHOLE_REPLY_BYTES))
        answer.done = True
    elif kind in ("text/event-stream", "text/plain", ""):
        await _read_events(response, answer, where)
    else:
        raise GeneratorBadResponse(
            f"The server at {where} answered with {kind[:40]!r} instead of a chat completion; check base_url."
        )


async def _read_events(response: httpx.Response, answer: ArrivingAnswer, where: str) -> None:
    stream = EventStream()
    events = 0
    try:
        async for chunk in _until_quiet(response.aiter_raw(), answer):
            for event in stream.feed(chunk):
                events += 1
                answer.add(event)
                if answer.done:
                    return
        for event in stream.finish():
            answer.add_cut(event)
    except UnicodeDecodeError as error:
        if not answer.complete:
            cut = error.reason == "unexpected end of data"
            raise (truncated() if cut else _no_utf8(where)) from None
    except EventTooLarge:
        raise GeneratorBadResponse(f"The server at {where} sent one event beyond all bounds.") from None
    if stream.foreign and not (events or answer.complete):
        raise GeneratorBadResponse(f"The server at {where} sent text instead of a chat completion; check base_url.")


def _no_utf8(where: str) -> GeneratorBadResponse:
    return GeneratorBadResponse(f"The reply of the server at {where} is not valid UTF-8.")


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


async def limited_text(response: httpx.Response, most: int) -> str:
    """At most the first `most` bytes of a body, undecodable bytes replaced."""
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) >= most:
            break
    return bytes(data[:most]).decode("utf-8", "replace")
