"""One span around each request, from its first header to the last byte of its response."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.requests import method_of, route_of
from service.tracing import Traces, traced

_UNTRACED = frozenset(("/healthz", "/readyz", "/metrics"))  # asked every few seconds by machines


class Tracing:
    """ASGI middleware: starts and ends the request's span, and makes the stages of the engine parts of it."""

    def __init__(self, app: ASGIApp, *, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        trace = self._traces.request("request", Headers(scope=scope))
        try:
            with traced(trace):
                await self._app(scope, receive, noting)
        finally:
            method, route = method_of(scope), route_of(scope)
            request_id = scope.get("state", {}).get("request_id", "")
            attributes = {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "fovea.request_id": request_id,
            }
            trace.end(attributes, name=f"{method} {route}", failed=status >= 500)
