"""Request ids, the access log, request metrics and the last net for errors: one middleware around everything."""

from __future__ import annotations

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import problem_of
from service.observability import Metrics

log = structlog.get_logger("fovea.api")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}


class RequestContext:
    """ASGI middleware: gives a request its id, counts and logs it, and turns what nobody caught into a bare 500."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception as error:
                log.exception("request_crashed", path=route_of(scope))
                if status:  # too late to say anything; the server closes the connection
                    raise
                await problem_of(error).response(request_id)(scope, receive, send_with_headers)
            finally:
                self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route, method = route_of(scope), method_of(scope)
        self._metrics.observe_request(route, method, status, seconds)
        if route not in ("/healthz", "/readyz", "/metrics"):
            took = round(seconds * 1000, 1)
            log.info("request", method=method, route=route, status=status, milliseconds=took, **_caller(scope))


def _caller(scope: Scope) -> dict[str, str]:
    """Whose request it was, where that was found out; a key's public id says nothing of its secret."""
    principal = scope.get("state", {}).get("principal")
    return {"tenant": principal.tenant, "key": principal.key_id} if principal else {}


def _request_id(given: str) -> str:
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


def route_of(scope: Scope) -> str:
    """The route's pattern, never the path itself: paths are without number, and hold ids."""
    path = getattr(scope.get("route"), "path", None)
    if path is not None:
        return str(path)
    return "/static" if scope["path"].startswith("/static/") else "unmatched"


def method_of(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"
