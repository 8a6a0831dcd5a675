"""A circuit breaker: a model server that keeps failing is left alone, and asked now and then whether it is back.

    closed      calls pass; `failures` of them in a row without one success open the circuit
    open        no call passes until `probe_seconds` have gone by
    half open   one call has passed as a probe: a success closes the circuit, a failure leaves it open

Probes are limited by time and not by number in flight, so a probe that hangs, or whose caller has gone away, cannot
keep the circuit open: the next one passes `probe_seconds` later. A success is the first token of an answer, or any
other sign that the server is at work.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

log = logging.getLogger(__name__)

State = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """One server's circuit. Safe to share between threads; `where` names the server in the log."""

    def __init__(
        self,
        where: str,
        *,
        failures: int = 5,
        probe_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where = where
        self._most = failures
        self._probe_seconds = probe_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._state: State = "closed"
        self._failures = 0
        self._next_probe = 0.0

    @property
    def state(self) -> State:
        return self._state

    @property
    def seconds_to_probe(self) -> float:
        """Until a call may pass; 0 where one may pass now."""
        with self._lock:
            return 0.0 if self._state == "closed" else max(0.0, self._next_probe - self._clock())

    def admit(self) -> bool:
        """Whether a call may be made now. True while the circuit is not closed makes that call the probe."""
        with self._lock:
            if self._state == "closed":
                return True
            now = self._clock()
            if now < self._next_probe:
                return False
            self._state, self._next_probe = "half_open", now + self._probe_seconds
            return True

    def success(self) -> None:
        """The server answers."""
        with self._lock:
            was, self._state, self._failures = self._state, "closed", 0
        if was != "closed":
            log.warning("llm_circuit_closed server=%s", self._where)

    def failure(self) -> None:
        """The server did not answer, or answered that it cannot."""
        with self._lock:
            self._failures += 1
            opens = self._state == "closed" and self._failures >= self._most
            if opens:  # else a call that began before the opening must not put off the next probe
                self._next_probe = self._clock() + self._probe_seconds
            if opens or self._state == "half_open":
                self._state = "open"
        if opens:
            log.warning("llm_circuit_opened server=%s failures=%d", self._where, self._most)
