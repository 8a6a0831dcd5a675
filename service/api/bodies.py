"""Body limits and the JSON gate, applied while the bytes arrive and before anything parses them."""

from __future__ import annotations

from anyio import current_time, fail_after
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.access import Principal
from domain.errors import FoveaError
from service.api.errors import Problem, problem_of, request_id_of
from service.api.json_gate import parse_json

BODY_SECONDS = 60.0
_UNLIMITED = 2**62
_SLOWEST = 64 * 1024  # bytes a second beyond those seconds


class BodyGate:
    """ASGI middleware: no body over its limit is read to the end, no JSON that fails the gate reaches a route.

    JSON has its own, lower limit, because it is parsed in memory; a large text goes up as a file. A body has
    `body_seconds` to arrive, and a second more for each 64 KiB that came: a slow line is served, a client that sends a
    byte now and then to hold a connection is answered 408.
    """

    def __init__(
        self, app: ASGIApp, *, max_body_bytes: int, max_json_bytes: int, body_seconds: float = BODY_SECONDS
    ) -> None:
        self._app = app
        self._body_seconds = body_seconds
        self._max_body_bytes = max_body_bytes
        self._max_json_bytes = min(max_json_bytes, max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        as_json = _is_json(headers)
        limit = min(self._max_json_bytes if as_json else self._max_body_bytes, *_own_limits(scope))
        body = _CountedBody(receive, limit, self._body_seconds, expected=_has_body(headers))
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


def _own_limits(scope: Scope) -> tuple[int, ...]:
    """What the caller's key and its tenant may send, where they have a limit of their own."""
    principal: Principal | None = scope.get("state", {}).get("principal")
    both = (principal.limits, principal.tenant_limits) if principal else ()
    return (_UNLIMITED, *(limits.body_bytes for limits in both if limits.body_bytes is not None))


def _is_json(headers: Headers) -> bool:
    # A list of types is no media type, yet some readers take the first.
    media_type = headers.get("content-type", "").partition(";")[0].partition(",")[0].strip().lower()
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
    """A request body that raises 413 once more than `limit` bytes came, whatever Content-Length said, and 408 once the
    client took more than `seconds` for it.

    Only waiting for the client counts: what the server does with a part is not the client's delay.
    """

    def __init__(self, receive: Receive, limit: int, seconds: float, expected: bool) -> None:
        self._receive = receive
        self._limit = limit
        self._seconds = seconds
        self._seen = 0
        self._waited = 0.0
        self._unread = expected

    async def receive(self) -> Message:
        # Once the body is there, whoever asks again waits for the client to leave, for as long as the answer takes.
        message = await (self._next_part() if self._unread else self._receive())
        self._seen += len(message.get("body", b""))
        self._unread = self._unread and message.get("more_body", False)
        if self._seen > self._limit:
            self._unread = True
            raise _too_large(self._limit)
        return message

    async def _next_part(self) -> Message:
        started = current_time()
        try:
            with fail_after(self._seconds + self._seen / _SLOWEST - self._waited):
                return await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The body did not arrive in time; send it again over a faster line.") from None
        finally:
            self._waited += current_time() - started

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
