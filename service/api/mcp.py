"""MCP over HTTP, behind the same doors as every route: the same keys, limits and log.

Every request stands alone: there is no session that one caller could take over from another, and nothing of a caller
outlives its request. So there is only POST: the stream that a GET would open has nothing to tell, and would be waited
for when the server ends. The tools only read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from service.api.caller import principal_of
from service.api.offload import Places
from service.jsonrpc import fault_of, id_of
from service.lazy import Once
from service.tenants import Tenants

if TYPE_CHECKING:
    from mcp.server import Server
    from mcp.server.transport_security import TransportSecuritySettings

    from service.mcp_server import QuestionEngine

EngineFor = Callable[[Any], "QuestionEngine"]

MCP_PATH = "/mcp"
MAX_MCP_BYTES = 1024 * 1024  # a question, and nothing else that is long
_INVALID_REQUEST = -32600  # of JSON-RPC


class McpDoor:
    """An ASGI application that answers MCP at `MCP_PATH`. The SDK is loaded for the first one who calls.

    `engine_for(request)` is the caller's engine. With `local_only`, a `Host` that does not name loopback gets 421.
    """

    def __init__(self, engine_for: EngineFor, places: Places, version: str, local_only: bool = False) -> None:
        self._engine_for, self._places, self._version = engine_for, places, version
        self._local_only = local_only
        self._server = Once(self._make)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # RFC 9110, 5.5: blanks around a value are no part of it. The HTTP parser leaves those at its end.
        scope = {**scope, "headers": [(name, value.strip(b" \t")) for name, value in scope["headers"]]}
        first = await receive()
        if refused := _refusal(first):
            await refused(scope, receive, send)
            return
        receive = _again(first, receive)
        server = await to_thread.run_sync(self._server.get)
        app = server.streamable_http_app(
            streamable_http_path=MCP_PATH,
            json_response=True,
            stateless_http=True,
            max_request_body_size=MAX_MCP_BYTES,
            transport_security=self._security(),
        )
        async with app.router.lifespan_context(app):
            await app(scope, receive, send)

    @property
    def route(self) -> Route:
        return Route(MCP_PATH, endpoint=self, methods=["POST"], include_in_schema=False)

    def _make(self) -> Server[Any]:
        from service.mcp_server import create_shared_mcp_server

        return create_shared_mcp_server(self._engine_for, self._places.run, self._version)

    def _security(self) -> TransportSecuritySettings | None:
        from mcp.server.transport_security import TransportSecuritySettings

        # None: the SDK's own list of loopback names. Elsewhere a key is asked for, which no rebound page has.
        return None if self._local_only else TransportSecuritySettings(enable_dns_rebinding_protection=False)


def _refusal(first: Message) -> Response | None:
    """The answer to a body that holds no message; None where it may hold one.

    JSON comes whole, and checked, from the gate before. What does not is of another type, which the SDK refuses.
    """
    body = first.get("body", b"")
    if first.get("more_body") or len(body) > MAX_MCP_BYTES:
        return None
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if (fault := fault_of(message)) is None:
        return None
    error = {"code": _INVALID_REQUEST, "message": fault}
    return JSONResponse({"jsonrpc": "2.0", "id": id_of(message), "error": error}, 400)


def _again(first: Message, receive: Receive) -> Receive:
    """A `receive` that gives a message back that was read already, and then what comes."""
    waiting = [first]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def bound_to_caller(tenants: Tenants) -> EngineFor:
    """The engine of whoever sent a request, as far as its key goes."""
    return lambda request: tenants.bound(principal_of(request))
