"""How long somebody waits who is told to come back later: as long as the other says, and not for ever.

A wait is at least what the error asks for, for who comes earlier is only refused again; at least half of what was
waited before, so that a server that stays busy is asked less and less; and up to a quarter longer by chance, so that
those who were refused together do not come back together. When a wait would end after the patience does, there is none.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from domain.errors import FoveaError

_SHORTEST_SECONDS = 0.5
_LONGEST_OWN_SECONDS = 30.0  # that we wait unasked
_JITTER = 0.25


class Patience:
    """Patience of `seconds`, which begins with a refusal and begins anew after an answer. All who ask side by side
    share one: it ends when none of them is answered. Safe to share between threads.
    """

    def __init__(
        self,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._seconds, self._clock, self._chance = seconds, clock, chance
        self._since: float | None = None
        self._lock = threading.Lock()

    def wait_for(self, error: FoveaError) -> float | None:
        """Seconds until the same may be asked again; None where the error asks nobody to come back, or too late."""
        asked = error.retry_after_seconds
        if not error.retryable or asked is None:
            return None
        with self._lock:
            now = self._clock()
            self._since = now if self._since is None else self._since
            waited = now - self._since
        own = min(max(_SHORTEST_SECONDS, waited / 2), _LONGEST_OWN_SECONDS)
        wait = max(asked, own) * (1 + _JITTER * self._chance())
        return wait if waited + wait <= self._seconds else None

    def answered(self) -> None:
        """Somebody was: the patience begins anew with the next refusal."""
        with self._lock:
            self._since = None
