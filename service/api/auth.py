"""Who may call: decided from the headers alone, before the first byte of a body is read.

With a key, every route but the public ones wants `Authorization: Bearer KEY`. Without one, only the local user is let
in: the peer is loopback, the `Host` header names loopback (a page that rebinds its own name to 127.0.0.1 sends that
name), and an `Origin`, which browsers add, is this server's own (so another site's page cannot write here).
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.binding import host_of, is_loopback
from service.api.errors import Problem, request_id_of

# What the browser needs before a key is typed in, and what probes ask for. None of it shows anything of the documents.
_PUBLIC_PATHS = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz", "/favicon.ico"})
_PUBLIC_PREFIX = "/static/"


class Authentication:
    """ASGI middleware that answers 401 or 403 itself and hands everybody else on."""

    def __init__(self, app: ASGIApp, *, api_key: str | None) -> None:
        self._app = app
        self._key_digest = sha256(api_key.encode()).digest() if api_key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = self._refusal(scope)
        if problem is None:
            await self._app(scope, receive, send)
            return
        headers = {"connection": "close"} | ({"www-authenticate": "Bearer"} if problem.status == 401 else {})
        await problem.response(request_id_of(Request(scope)), headers)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if self._key_digest is None:
            return _local_refusal(scope, headers)
        if _is_public(scope["path"]) or self._has_key(headers.get("authorization", "")):
            return None
        return Problem(401, "unauthorized", "Send the API key as `Authorization: Bearer KEY`.")

    def _has_key(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        digest = sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        return scheme.lower() == "bearer" and compare_digest(digest, self._key_digest or b"")


def _is_public(path: str) -> bool:
    return path in _PUBLIC_PATHS or path.startswith(_PUBLIC_PREFIX)


def _local_refusal(scope: Scope, headers: Headers) -> Problem | None:
    client = scope.get("client")
    hosts = headers.getlist("host")
    if client is None or not is_loopback(client[0]) or len(hosts) != 1 or not is_loopback(host_of(hosts[0])):
        detail = "Without an API key only the local user is served. Set FOVEA_SERVER__API_KEY to serve others."
        return Problem(403, "forbidden", detail)
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != hosts[0]:
        return Problem(403, "forbidden", "Another site's page may not call this server.")
    return None
