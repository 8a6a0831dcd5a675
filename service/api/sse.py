"""Server-sent events, and a response that ends the engine's work when the listener goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson
import structlog
from anyio import CancelScope
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.api.disconnect import until_disconnect
from service.api.errors import Problem, problem_of

log = structlog.get_logger("fovea.api")

DONE = b"data: [DONE]\n\n"


def event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    """One event; JSON never holds a raw line end, so the data is one line."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n\n"


class EventStream(StreamingResponse):
    """Sends events until they end or the client leaves; then, in either case, calls `close`."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], close: Callable[[], Awaitable[None]]) -> None:
        # x-accel-buffering: nginx would otherwise hold the parts back until the answer is complete.
        super().__init__(events, headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with until_disconnect(receive):
                with suppress(OSError):  # by which some servers tell that the client has left
                    await self.stream_response(send)
        finally:
            with CancelScope(shield=True):
                await self._close()


async def guarded(
    events: AsyncIterator[bytes], request_id: str, extra: Callable[[Problem], Mapping[str, Any]] | None = None
) -> AsyncIterator[bytes]:
    """The events; a failure after the start becomes `event: error` with the problem, and nothing follows it."""
    try:
        async for item in events:
            yield item
    except Exception as error:  # the status line is gone: this is the only way left to tell
        problem = problem_of(error)
        if problem.code == "internal_error":
            log.exception("stream_failed")
        else:
            log.warning("stream_failed", code=problem.code, reason=str(error))
        yield event({**problem.to_dict(request_id), **(extra(problem) if extra else {})}, "error")
