"""How the server ends: at once it is not ready, what runs goes on for a while, and what still runs then is told.

    TERM       new work is refused with 503 `shutting_down`; /healthz, /readyz and /metrics go on answering
    20 s       streams end with `event: error`, requests that have no answer yet get the 503; jobs are put back
    then       the listener is closed, and the process ends with 0

The listener stays open in between, so that a balancer reads "not ready" where it would meet a refused connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from anyio import CancelScope, to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import Problem, ShuttingDown, problem_of, request_id_of
from service.api.sse import event

log = structlog.get_logger("fovea.api")

_STILL_ANSWERED = frozenset(("/healthz", "/readyz", "/metrics"))
_LOOK_SECONDS = 0.05


class Drain:
    """Whether the server is ending, and what it still waits for. `begin` may be called from a signal handler."""

    def __init__(self) -> None:
        self.begun = False
        self.clean = True  # whether all that was to stop has stopped, once the drain is over
        self._flights: set[_Flight] = set()
        self._stops: list[Callable[[], bool]] = []

    def begin(self) -> None:
        """From now on nothing new is taken on."""
        self.begun = True

    def stops(self, stop: Callable[[], bool]) -> None:
        """Have `stop` called, in a thread, when the server ends. It returns whether what it stops has ended, and is
        waited for like an answer.
        """
        self._stops.append(stop)

    @property
    def running(self) -> int:
        """Requests that have not been answered to the end."""
        return len(self._flights)

    async def run(self, seconds: float) -> None:
        """Wait for what runs, for at most `seconds`; then tell the clients of what is left, and cancel it."""
        self.begin()
        ends = time.monotonic() + seconds
        stops = [asyncio.ensure_future(_in_thread(stop)) for stop in self._stops]
        while (self._flights or not all(stop.done() for stop in stops)) and time.monotonic() < ends:
            await asyncio.sleep(_LOOK_SECONDS)
        if self._flights:
            log.warning("requests_ended_early", count=len(self._flights))
        for flight in list(self._flights):
            await flight.end()
        self.clean = all(stop.done() and stop.result() for stop in stops)

    def enter(self, flight: _Flight) -> None:
        self._flights.add(flight)

    def leave(self, flight: _Flight) -> None:
        self._flights.discard(flight)


async def _in_thread(stop: Callable[[], bool]) -> bool:
    try:
        return await to_thread.run_sync(stop)
    except Exception:  # the server ends all the same
        log.exception("stop_failed")
        return False


class Draining:
    """ASGI middleware: refuses what comes after the drain has begun, and ends what outlasts it."""

    def __init__(self, app: ASGIApp, *, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _STILL_ANSWERED:
            await self._app(scope, receive, send)
            return
        flight = _Flight(scope, receive, send)
        if self._drain.begun:
            await flight.end()
            return
        self._drain.enter(flight)
        try:
            with flight.cancelling:
                await self._app(scope, receive, flight.send)
        finally:
            self._drain.leave(flight)


class _Flight:
    """One request under way, and how far its response has come."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._started = self._finished = self._is_stream = False
        self.cancelling = CancelScope()

    async def send(self, message: Message) -> None:
        if self._finished:  # the client was told already; what the application still says comes too late
            return
        if message["type"] == "http.response.start":
            self._started = True
            self._is_stream = Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
        elif message["type"] == "http.response.body":
            self._finished = not message.get("more_body", False)
        await self._send(message)

    async def end(self) -> None:
        """Say that the server ends, in the form that the response has by now, and cancel the application.

        A body that is neither complete nor a stream of events is left alone: nothing can be said inside it.
        """
        if self._finished or (self._started and not self._is_stream):
            return
        started, self._finished = self._started, True
        problem = problem_of(ShuttingDown("The server is shutting down; ask again in a few seconds."))
        if started:
            await self._send({"type": "http.response.body", "body": self._error_event(problem), "more_body": False})
        else:
            openai = self._scope["path"].startswith("/v1/chat/")
            response = problem.response(self._request_id, openai=openai)
            await response(self._scope, self._receive, self._closing)
        self.cancelling.cancel()

    async def _closing(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["connection"] = "close"
        await self._send(message)

    def _error_event(self, problem: Problem) -> bytes:
        extra = problem.openai_error() if self._scope["path"].startswith("/v1/chat/") else {}
        return event({**problem.to_dict(self._request_id), **extra}, "error")

    @property
    def _request_id(self) -> str:
        return request_id_of(Request(self._scope))
