"""One request and its course: which server is asked, how long it is waited for, and when it is asked again.

`httpx` bounds each single read, and a server that drips a byte a second, or sends keep-alive comments for ever, never
trips that bound. So two real deadlines hold over everything that happens here, retries and other servers included: one
until the first token, one for the whole answer. Connecting has a short deadline of its own; and while another server
has not been asked yet, no server gets more than half of the time that is left until the first token.

    a server fails before its first token
      -> another server that was not asked yet     at once
      -> else the same one again                   after a pause with jitter, while its retry budget lasts
      -> else, or after three calls in all         its failure is the request's

After the first token nothing is repeated, because text that was shown cannot be taken back. A server whose circuit is
open is passed over.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from domain.errors import GeneratorTimeout, GeneratorUnreachable
from generation.arriving import ArrivingAnswer
from generation.call import Call, Failure
from generation.endpoint import Endpoint
from generation.stream import Outcome

log = logging.getLogger(__name__)

_SHORTEST_CONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. `first_token` covers connecting, retries and waiting; `total` the whole answer."""

    first_token: float = 30.0
    total: float = 120.0
    connect: float = 5.0


@dataclass(frozen=True, slots=True)
class Line:
    """How calls go out, the same for all requests. `transport` replaces the network in tests."""

    deadlines: Deadlines
    max_retries: int
    tls: ssl.SSLContext
    transport: httpx.AsyncBaseTransport | None = None

    def client(self) -> httpx.AsyncClient:
        # No timeout of httpx's own: it would bound single reads, and the deadlines here bound all of them together.
        return httpx.AsyncClient(
            timeout=None, transport=self.transport, verify=self.tls, trust_env=False, follow_redirects=False
        )


@dataclass(slots=True)
class _Course:
    """One server within one request."""

    endpoint: Endpoint
    calls: int = 0
    first_call_at: float = 0.0
    connected: bool = False
    failure: Failure | None = None


class Exchange:
    """One request: `run` emits the answer's text and fills in its outcome."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        body: Mapping[str, Any],
        outcome: Outcome,
        emit: Callable[[str], None],
        line: Line,
    ) -> None:
        self._courses = [_Course(endpoint) for endpoint in endpoints]
        self._body = body
        self._outcome = outcome
        self._emit = emit
        self._line = line
        self._answer = ArrivingAnswer(outcome, emit)
        self._current: _Course | None = None
        self._first_token_by = 0.0

    async def run(self) -> None:
        """Ask until there is an answer. Raises GenerationError."""
        deadlines = self._line.deadlines
        self._first_token_by = _now() + min(deadlines.first_token, deadlines.total)
        first_token = asyncio.timeout(deadlines.first_token)
        try:
            async with self._line.client() as client, asyncio.timeout(deadlines.total), first_token:
                await self._ask(client, lambda: first_token.reschedule(None))
        except TimeoutError:
            if not self._answer.complete:
                raise self._timed_out() from None
        self._answer.check()

    async def _ask(self, client: httpx.AsyncClient, alive: Callable[[], None]) -> None:
        for _ in range(1 + self._line.max_retries):
            course, wait = self._next_turn()
            if course is None:
                break
            self._current = course
            await asyncio.sleep(wait)
            course.failure = await self._call(client, course, alive)
            if course.failure is None:
                return
            log.warning("llm_call_failed server=%s code=%s", course.endpoint.where, course.failure.error.code)
        if self._current is None or self._current.failure is None:
            raise self._left_alone()
        raise self._current.failure.error

    def _next_turn(self) -> tuple[_Course | None, float]:
        """Which server is asked next, and after how many seconds; None when none may be."""
        if not any(course.failure and course.failure.reworded for course in self._courses):
            for course in self._courses:
                if not course.calls and course.endpoint.breaker.admit():
                    course.endpoint.budget.count_call()
                    return course, 0.0
        for course in self._courses:
            wait = self._again_in(course)
            if wait is not None:
                return course, wait
        return None, 0.0

    def _again_in(self, course: _Course) -> float | None:
        """Seconds after which a server that failed is asked again; None where it is not."""
        failure = course.failure
        if failure is None or failure.again_in is None or _now() + failure.again_in >= self._first_token_by:
            return None
        if not failure.reworded and (course.endpoint.breaker.state != "closed" or not course.endpoint.budget.take()):
            return None
        return failure.again_in

    async def _call(self, client: httpx.AsyncClient, course: _Course, alive: Callable[[], None]) -> Failure | None:
        course.first_call_at = course.first_call_at or _now()
        self._outcome.usage = self._outcome.finish_reason = None
        self._outcome.model = course.endpoint.model
        self._answer = ArrivingAnswer(self._outcome, self._emit)
        self._answer.add_listener(alive)
        call = Call(course.endpoint, self._answer, course.calls, self._give_up_at())
        course.calls += 1
        try:
            return await call.make(client, self._body, self._seconds_to_connect(course))
        finally:
            course.connected = course.connected or call.connected

    def _seconds_to_connect(self, course: _Course) -> float:
        """Attempts to connect share one deadline; a server that has been reached gets a fresh one."""
        spent = 0.0 if course.connected else _now() - course.first_call_at
        return max(_SHORTEST_CONNECT_SECONDS, self._line.deadlines.connect - spent)

    def _give_up_at(self) -> float | None:
        """When a server without a token is left for another; None where there is no other."""
        others = [course for course in self._courses if not course.calls and course is not self._current]
        if not any(course.endpoint.breaker.state == "closed" for course in others):
            return None
        return (_now() + self._first_token_by) / 2

    def _timed_out(self) -> GeneratorTimeout:
        deadlines = self._line.deadlines
        if self._answer.alive:
            return GeneratorTimeout(
                f"The answer was not complete after {deadlines.total:g} seconds; choose a faster model, or raise "
                "generation.total_seconds."
            )
        waited = min(deadlines.first_token, deadlines.total)
        current = self._current or self._courses[0]
        current.endpoint.breaker.failure()
        return GeneratorTimeout(
            f"The language model server at {current.endpoint.where} gave no first token in {waited:g} seconds."
        )

    def _left_alone(self) -> GeneratorUnreachable:
        """Every server's circuit is open."""
        seconds = max(1, round(min(course.endpoint.breaker.seconds_to_probe for course in self._courses)))
        servers = " and ".join(course.endpoint.where for course in self._courses)
        error = GeneratorUnreachable(
            f"The language model server at {servers} failed several times in a row; it is asked again in {seconds} "
            "seconds. Try again then, or look at its log.",
            code="llm_unavailable",
        )
        error.retry_after_seconds = seconds
        return error


def _now() -> float:
    return asyncio.get_running_loop().time()
