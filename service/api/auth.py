"""Who calls, and whether they may: decided from the headers alone, before the first byte of a body is read.

    preflight   a browser asks for a page of another site: answered from the origins of publishable keys
    public      pages and probes: everybody
    the rest    `Authorization: Bearer KEY` -> the principal -> its route, its page, its requests a minute

As long as no key was ever made, the local user needs none: the peer is loopback, the `Host` header names loopback (a
page that rebinds its own name to 127.0.0.1 sends that name), and an `Origin`, which browsers add, is this server's own
(so another site's page cannot write here).

Whoever guesses keys gets 429 after some twenty a minute; a key that is right is let in from the same address.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

import structlog
from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.access import Principal, operator
from domain.errors import FoveaError
from service.api.access import is_public, refusal
from service.api.binding import host_of, is_loopback
from service.api.cross_origin import answer_preflight, is_preflight, single, with_origin
from service.api.errors import Problem, problem_of, request_id_of
from service.keys import KeyRefused, KeyRing
from service.quotas import MinuteWindows

_GUESSES_PER_MINUTE = 20
_LOOKUPS_AT_A_TIME = 4
_OWN_PAGES_ONLY = "/mcp"  # a program's door: the protocol has servers refuse every page but their own

T = TypeVar("T")


class _Refused(Exception):
    """Carries a problem to where it is answered."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Authentication:
    """ASGI middleware that answers 401, 403 and 429 itself and hands everybody else on, with their principal."""

    def __init__(self, app: ASGIApp, *, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys
        self._guesses = MinuteWindows()
        self._requests = MinuteWindows()
        self._lookups = CapacityLimiter(_LOOKUPS_AT_A_TIME)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            if is_preflight(scope["method"], headers):
                await self._preflight(scope, headers, receive, send)
            elif is_public(scope["path"]):
                await self._app(scope, receive, send)
            else:
                await self._admitted(scope, headers, receive, send)
        except _Refused as refused:
            await _refuse(refused.problem, scope, receive, send)

    async def _preflight(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        origins = await self._in_thread(lambda: self._keys.origins)
        answer = answer_preflight(scope["path"], headers, origins)
        if isinstance(answer, Problem):
            raise _Refused(answer)
        await answer(scope, receive, send)

    async def _admitted(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        principal = await self._principal(scope, headers)
        scope.setdefault("state", {})["principal"] = principal  # the log names who was refused, too
        if principal.publishable:
            send = with_origin(send, _page_of(principal, headers))
        try:
            self._check(scope, headers, principal)
        except _Refused as refused:  # here, so that a page can read why
            await _refuse(refused.problem, scope, receive, send)
            return
        with structlog.contextvars.bound_contextvars(tenant=principal.tenant, key=principal.key_id):
            await self._app(scope, receive, send)

    async def _principal(self, scope: Scope, headers: Headers) -> Principal:
        key = _bearer(headers)
        guessing = self._guesses.wait(_address(scope), _GUESSES_PER_MINUTE) > 0
        try:
            if self._keys.answers_at_once(key, guessing):
                found = self._keys.identify(key, guessing)
            else:
                found = await self._in_thread(lambda: self._keys.identify(key, guessing))
        except KeyRefused as error:
            raise _Refused(self._refused_key(scope, error)) from None
        except FoveaError as error:
            raise _Refused(problem_of(error)) from None
        if found is not None:
            return found
        if problem := _local_refusal(scope, headers):
            raise _Refused(problem)
        return operator()

    def _check(self, scope: Scope, headers: Headers, principal: Principal) -> None:
        if problem := refusal(scope["method"], scope["path"], principal):
            raise _Refused(problem)
        if scope["path"].startswith(_OWN_PAGES_ONLY) and (problem := _foreign_page(headers)):
            raise _Refused(problem)
        wait = self._requests.admit(
            [
                (f"key {principal.key_id}", principal.limits.requests_per_minute),
                (f"tenant {principal.tenant}", principal.tenant_limits.requests_per_minute),
            ]
        )
        if wait > 0:
            detail = "These are more requests a minute than the key or its tenant may send."
            raise _Refused(Problem(429, "quota_exceeded", detail, True, wait))

    def _refused_key(self, scope: Scope, error: KeyRefused) -> Problem:
        if error.code == "unauthorized":
            wait = self._guesses.admit([(_address(scope), _GUESSES_PER_MINUTE)])
            if wait > 0:
                detail = "Too many wrong keys came from this address."
                return Problem(429, "too_many_wrong_keys", detail, True, wait)
        status = 403 if error.code == "tenant_suspended" else 401
        return Problem(status, error.code if status == 403 else "unauthorized", error.message)

    async def _in_thread(self, ask: Callable[[], T]) -> T:
        """What `ask` says, beside the event loop, for the database may be slow."""
        try:
            return await to_thread.run_sync(ask, limiter=self._lookups)
        except KeyRefused:
            raise
        except FoveaError as error:
            raise _Refused(problem_of(error)) from None


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = (single(headers, "authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _page_of(principal: Principal, headers: Headers) -> str:
    """The origin of the page that shows a publishable key. Raises _Refused where the key is not for it.

    This server's own page is one: the widget's frame, which browsers show inside the key's pages alone.
    """
    origin = single(headers, "origin")
    if origin is None or (origin not in principal.origins and _foreign_page(headers)):
        raise _Refused(Problem(403, "origin_forbidden", "This key is for pages of other origins than this one."))
    return origin


def _address(scope: Scope) -> str:
    """The peer, as one that may guess: of an IPv6 network of one customer, all are the same."""
    host = str((scope.get("client") or ("unknown",))[0])
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return address.exploded[:19] if isinstance(address, IPv6Address) else host


def _local_refusal(scope: Scope, headers: Headers) -> Problem | None:
    client = scope.get("client")
    hosts = headers.getlist("host")
    if client is None or not is_loopback(client[0]) or len(hosts) != 1 or not is_loopback(host_of(hosts[0])):
        detail = "Without an API key only the local user is served. `fovea keys create` makes one."
        return Problem(403, "forbidden", detail)
    return _foreign_page(headers)


def _foreign_page(headers: Headers) -> Problem | None:
    """The refusal of a page that is not this server's own; programs send no `Origin`."""
    if "origin" not in headers:
        return None
    origin, host = single(headers, "origin"), single(headers, "host")
    if origin is None or host is None or origin.partition("://")[2] != host:
        return Problem(403, "forbidden", "Another site's page may not call this server.")
    return None


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    # The body was not read: the connection ends, else the server would read it and throw it away.
    headers = {"connection": "close"} | ({"www-authenticate": "Bearer"} if problem.status == 401 else {})
    openai = scope["path"].startswith("/v1/chat/")
    await problem.response(request_id_of(Request(scope)), headers, openai)(scope, receive, send)
