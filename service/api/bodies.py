"""Body limits and the JSON gate, applied while the bytes arrive and before anything parses them."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import FoveaError
from service.api.errors import Problem, problem_of, request_id_of
from service.api.json_gate import parse_json


class BodyGate:
    """ASGI middleware: no body over its limit is read to the end, no JSON that fails the gate reaches a route.

    JSON has its own, lower limit, because it is parsed in memory; a large text goes up as a file.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, max_json_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_json_bytes = min(max_json_bytes, max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        as_json = _is_json(headers)
        limit = self._max_json_bytes if as_json else self._max_body_bytes
        body = _CountedBody(receive, limit, expected=_has_body(headers))
        answer = body.closing(send)
        try:
            _check_length(headers.get("content-length"), limit)
            gated = await _gated(body.receive) if as_json else body.receive
        except ClientDisconnect:
            return
        except (HTTPException, FoveaError) as error:
            await self._refuse(error, scope, receive, answer)
            return
        await self._app(scope, gated, answer)

    async def _refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        problem = problem_of(error)
        if problem.code == "invalid_json":
            problem = Problem(400, problem.code, problem.detail)
        await problem.response(request_id_of(Request(scope)))(scope, receive, send)


def _is_json(headers: Headers) -> bool:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _check_length(declared: str | None, limit: int) -> None:
    if declared is None:
        return
    if not (declared.isascii() and declared.isdigit()):
        raise HTTPException(400, "Content-Length is not a number of bytes.")
    if int(declared[:20]) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(
        413, f"The body is larger than the {limit:,} bytes that are read here; send large texts as files."
    )


class _CountedBody:
    """A request body that raises 413 once more than `limit` bytes came, whatever Content-Length said."""

    def __init__(self, receive: Receive, limit: int, expected: bool) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0
        self._unread = expected

    async def receive(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        self._unread = self._unread and message.get("more_body", False)
        if self._seen > self._limit:
            self._unread = True
            raise _too_large(self._limit)
        return message

    def closing(self, send: Send) -> Send:
        """A `send` that ends the connection where the answer comes first: else the body is read and thrown away."""

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._unread:
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        return closing


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def _gated(receive: Receive) -> Receive:
    """Read the whole JSON body, check it, and give it back as one message."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    if body:
        parse_json(body)
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
