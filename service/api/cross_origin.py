"""Which pages of other sites may call: those that a publishable key names, and no others.

A browser asks first (the preflight), without showing a key; then it sends the request with one. Both are answered with
the page's origin only where it stands, letter for letter, in the list of a key: no wildcard, no `null`, no reflection,
never with credentials.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import Message, Send

from domain.access import Scope
from service.api.access import rule_for
from service.api.errors import Problem

_ASKED_AGAIN_SECONDS = 600
_REQUEST_HEADERS = "authorization, content-type, x-request-id"
_RESPONSE_HEADERS = "retry-after, x-request-id"


def is_preflight(method: str, headers: Headers) -> bool:
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def answer_preflight(path: str, headers: Headers, allowed: Collection[str]) -> Response | Problem:
    """What a browser is told before it sends a page's request: only of routes that a page's key may open."""
    origin = single(headers, "origin")
    rule = rule_for(headers["access-control-request-method"], path)
    if origin is None or origin not in allowed or rule is None or Scope.CHAT not in rule.scopes:
        return Problem(403, "origin_forbidden", "Pages of this origin may not call this.")
    names = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": _REQUEST_HEADERS,
        "access-control-max-age": str(_ASKED_AGAIN_SECONDS),
        "vary": "Origin",
    }
    return Response(status_code=204, headers=names)


def single(headers: Headers, name: str) -> str | None:
    """The value of a header that may stand there once; None where it is missing or ambiguous."""
    values = headers.getlist(name)
    return values[0] if len(values) == 1 else None


def with_origin(send: Send, origin: str) -> Send:
    """A `send` whose answer the page at `origin` may read."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = _RESPONSE_HEADERS
            headers.add_vary_header("Origin")
        await send(message)

    return sending
