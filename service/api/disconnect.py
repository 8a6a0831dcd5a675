"""Work that stops when nobody waits for it any more: a client that hangs up ends what runs for it, within moments.

A server notices a lost connection when it writes; while a model thinks, or a whole answer is made, nothing is written.
So the connection is watched for as long as the work runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import structlog
from anyio import CancelScope
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

log = structlog.get_logger("fovea.api")

_CLIENT_LEFT = 499  # nginx's number for it; no client sees it, logs and metrics do


@asynccontextmanager
async def until_disconnect(receive: Receive) -> AsyncIterator[None]:
    """Cancels its body when the client leaves, and ends quietly then; the request's body must have been read."""
    scope = CancelScope()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    watcher = asyncio.create_task(watch())
    try:
        with scope:
            yield
    finally:
        watcher.cancel()


async def while_connected(request: Request, answer: Awaitable[Response]) -> Response:
    """The answer; an empty one, with `answer` cancelled, where the client leaves before it is ready."""
    ready: list[Response] = []
    async with until_disconnect(request.receive):
        ready.append(await answer)
    if ready:
        return ready[0]
    log.info("client_left")
    return Response(status_code=_CLIENT_LEFT)
