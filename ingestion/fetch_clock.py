"""One deadline for everything that a fetch does."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from domain.errors import FetchError


class Clock:
    """One deadline for everything a fetch does.

    httpx measures each read alone, so a server that sends a byte now and then would hold us for ever; when the time
    is up the sockets of this fetch are shut down, which ends any read in progress.
    """

    def __init__(self, seconds: float, url: str) -> None:
        self._seconds = seconds
        self._url = url
        self._end = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Clock:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    @property
    def left(self) -> float:
        return max(0.001, self._end - time.monotonic())

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self._end

    def check(self) -> None:
        if self.expired:
            raise self._too_slow()

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Httpx's trace hook: note the socket of each new connection."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            found = info["return_value"].get_extra_info("socket")
            if isinstance(found, socket.socket):
                with self._lock:
                    self._sockets.append(found)

    def failure(self, error: Exception) -> FetchError:
        """The error to raise for a failure of the transport."""
        if self.expired:  # httpx's own timeouts are set to end no earlier
            return self._too_slow()
        return FetchError(
            f"{self._url} could not be fetched ({type(error).__name__}: {error}); check the address, try again later."
        )

    def _too_slow(self) -> FetchError:
        return FetchError(f"{self._url} took longer than {self._seconds:g} seconds; try again later or download it.")

    def _expire(self) -> None:
        with self._lock:
            for connection in self._sockets:
                try:
                    # The plain socket's own method: that of a TLS socket is not made for use from another thread.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
                except OSError:
                    continue
