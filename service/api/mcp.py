"""MCP over HTTP, behind the same doors as every route: the same keys, limits and log.

Every request stands alone: there is no session that one caller could take over from another, and nothing of a caller
outlives its request. The tools only read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.api.caller import principal_of
from service.api.offload import Places
from service.lazy import Once
from service.tenants import Tenants

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from mcp.server.transport_security import TransportSecuritySettings

    from service.mcp_server import QuestionEngine

EngineFor = Callable[[Any], "QuestionEngine"]

MCP_PATH = "/mcp"
MAX_MCP_BYTES = 1024 * 1024  # a question, and nothing else that is long


class McpDoor:
    """An ASGI application that answers MCP at `MCP_PATH`. The SDK is loaded for the first one who calls.

    `engine_for(request)` is the caller's engine. With `local_only`, a `Host` that does not name loopback gets 421.
    """

    def __init__(self, engine_for: EngineFor, places: Places, version: str, local_only: bool = False) -> None:
        self._engine_for, self._places, self._version = engine_for, places, version
        self._local_only = local_only
        self._server = Once(self._make)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
        return Route(MCP_PATH, endpoint=self, include_in_schema=False)

    def _make(self) -> MCPServer:
        from service.mcp_server import create_shared_mcp_server

        return create_shared_mcp_server(self._engine_for, self._places.run, self._version)

    def _security(self) -> TransportSecuritySettings | None:
        from mcp.server.transport_security import TransportSecuritySettings

        # None: the SDK's own list of loopback names. Elsewhere a key is asked for, which no rebound page has.
        return None if self._local_only else TransportSecuritySettings(enable_dns_rebinding_protection=False)


def bound_to_caller(tenants: Tenants) -> EngineFor:
    """The engine of whoever sent a request, as far as its key goes."""
    return lambda request: tenants.bound(principal_of(request))
