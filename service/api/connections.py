"""Connections that send too slowly, too much before they ask, or nothing at all, or that do not read what they asked
for: what uvicorn leaves to a proxy.

    headers    complete within 15 seconds, 64 KiB at the most; else 408 or 431 and the connection is closed
    answers    read at 64 KiB a minute at least; else the connection is cut off
    number     beyond the limit the connection that has been idle longest makes room; where none is idle, 503

Bodies have their deadline in `service/api/bodies.py`. So a client that opens thousands of connections and says nothing
on them takes no place from one that asks, and neither does one that asks and never reads.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from domain.errors import Overloaded
from service.api.errors import Problem, problem_of

_LEAST_READ = 64 * 1024  # bytes of an answer in `write_seconds`


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one server grants its clients."""

    connections: int = 1000
    header_seconds: float = 15.0
    header_bytes: int = 64 * 1024
    write_seconds: float = 60.0


def guarded_connections(limits: ConnectionLimits) -> type[HttpToolsProtocol]:
    """Uvicorn's protocol for one server, with these limits."""
    idle: dict[GuardedConnection, None] = {}  # longest first

    class Guarded(GuardedConnection):
        _limits, _idle = limits, idle

    return Guarded


class GuardedConnection(HttpToolsProtocol):
    """One connection. It is idle from its start, or the end of a response, until a request's headers are complete."""

    _limits: ConnectionLimits
    _idle: dict[GuardedConnection, None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._in_headers = True
        self._received = 0  # bytes of the headers that are being read
        self._unread_timer: asyncio.TimerHandle | None = None
        self._unread = 0  # bytes of answers that waited for the client when that timer was set
        self._was_read = False  # since then there was room for more

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections and not self._make_room():
            self._refuse(problem_of(Overloaded("Too many connections are open; try again in a few seconds.")))
            return
        self._idle[self] = None
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
        self._idle.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_headers:
            self._received += len(data)
            if self._received > self._limits.header_bytes:
                self._refuse(Problem(431, "headers_too_large", "The request's headers are too large."))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_headers:  # a further request on a connection that was kept
            self._in_headers, self._received = True, 0
            self._wait()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._idle.pop(self, None)
        self._in_headers = False
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():  # even where it is closing: that waits for the client, too
            self._watch_reading()
        if not self.transport.is_closing():
            self._idle[self] = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._was_read = True

    def _watch_reading(self) -> None:
        if self._unread_timer is None:
            self._unread, self._was_read = self.transport.get_write_buffer_size(), False
            self._unread_timer = self.loop.call_later(self._limits.write_seconds, self._check_reading)

    def _check_reading(self) -> None:
        """Cut off a client that has read next to nothing; watch on while something waits for it."""
        self._unread_timer = None
        unread = self.transport.get_write_buffer_size()
        if unread and not self._was_read and self._unread - unread < _LEAST_READ:
            self.transport.abort()
        elif unread:
            self._watch_reading()

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest; False where none is idle."""
        for oldest in list(self._idle):
            del self._idle[oldest]
            if not oldest.transport.is_closing():
                oldest.transport.close()
                return True
        return False

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self._limits.header_seconds, self._expire)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        if self._received:
            self._refuse(Problem(408, "request_timeout", "The request's headers did not arrive in time."))
        else:
            self._refuse(None)

    def _refuse(self, problem: Problem | None) -> None:
        """Close the connection, with an answer unless one is under way or nothing was asked."""
        self._stop_waiting()
        self._idle.pop(self, None)
        if problem is not None and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(_raw(problem))
        self.transport.close()


def _raw(problem: Problem) -> bytes:
    """A whole HTTP response, for a client that has no request under way."""
    response = problem.response("")
    lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}".encode()]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*lines, b"connection: close", b"", bytes(response.body)])
