"""A ceiling on retries: a server in trouble must not be buried under the second and third tries of every caller.

Three calls a request are harmless while failures are rare. When a server fails everything, they triple its load at the
worst moment. So retries are at most a tenth of the calls of the last minute or two; where there are few calls, a small
number is always allowed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class RetryBudget:
    """The retries of one server. Safe to share between threads.

    Counted in two slots of `window_seconds`, the running one and the one before it.
    """

    def __init__(
        self,
        *,
        share: float = 0.1,
        least: int = 10,
        window_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._least = least
        self._window = window_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._slot = 0
        self._calls, self._retries = [0, 0], [0, 0]  # running slot, slot before it

    def count_call(self) -> None:
        """Note the first call of a request."""
        with self._lock:
            self._turn()
            self._calls[0] += 1

    def take(self) -> bool:
        """Whether one more retry may be made; when True, it is counted."""
        with self._lock:
            self._turn()
            allowed = max(self._least, int(self._share * sum(self._calls)))
            if sum(self._retries) >= allowed:
                return False
            self._retries[0] += 1
            return True

    def _turn(self) -> None:
        """Begin a new slot where its time has come."""
        slot = int(self._clock() // self._window)
        passed = slot - self._slot
        if passed:
            self._slot = slot
            for counts in (self._calls, self._retries):
                counts[:] = [0, counts[0] if passed == 1 else 0]
