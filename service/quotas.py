"""Quotas: requests a minute in memory, tokens a day in SQL, documents and characters by what is stored.

Requests a minute are counted in seconds' buckets over a window that slides, so no minute, whenever it begins, holds
more than the limit. They start from zero with the server, for they guard its load and not anybody's money.

Tokens a day are money. An answer's cost is known only when it is there, so each one holds back what it can cost at
most while it runs: new ones start as long as what is spent and held back stays below the limit. So however many run at
a time, a day ends at most one answer over its limit.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from domain.access import Limits, Principal
from domain.answers import Usage
from domain.errors import FoveaError, QuotaExceeded, StorageError

log = logging.getLogger(__name__)

_WINDOW_SECONDS = 60
_MOST_COUNTED = 10_000
_BUSY_SECONDS = 2.0  # an answer that is being written has ended by then, more often than not
_NEVER_SECONDS = 3600.0  # a full store empties when somebody deletes, not by waiting


class UsageAccount(Protocol):
    """What a tenant has used, kept for good."""

    def charge(self, day: str, key_id: str, prompt_tokens: int, completion_tokens: int) -> None: ...

    def spent(self, day: str) -> dict[str, int]: ...

    def stored(self) -> tuple[int, int]: ...


class MemoryAccount:
    """The account of a tenant that has no database of its own: it is forgotten with the process."""

    def __init__(self, tenant: str = "") -> None:
        self._spent: dict[str, Counter[str]] = {}

    def charge(self, day: str, key_id: str, prompt_tokens: int, completion_tokens: int) -> None:
        self._spent.setdefault(day, Counter())[key_id] += prompt_tokens + completion_tokens

    def spent(self, day: str) -> dict[str, int]:
        return dict(self._spent.get(day, {}))

    def stored(self) -> tuple[int, int]:
        return 0, 0


class MinuteWindow:
    """Counts events of the last minute. A bucket a second: memory is 61 numbers, however many events."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque()
        self._total = 0

    def wait(self, limit: int, moment: float) -> float:
        """Seconds until another event fits under `limit` a minute; 0 where it fits now."""
        self._forget(moment)
        if self._total < limit:
            return 0.0
        over = self._total - limit
        for second, count in self._buckets:
            over -= count
            if over < 0:
                return second + _WINDOW_SECONDS + 1 - moment
        return float(_WINDOW_SECONDS)

    def add(self, moment: float) -> None:
        second = int(moment)
        if self._buckets and self._buckets[-1][0] == second:
            self._buckets[-1] = (second, self._buckets[-1][1] + 1)
        else:
            self._buckets.append((second, 1))
        self._total += 1

    def _forget(self, moment: float) -> None:
        # A bucket goes when its last instant is a minute old: kept a second too long rather than too short.
        while self._buckets and self._buckets[0][0] + _WINDOW_SECONDS + 1 <= moment:
            self._total -= self._buckets.popleft()[1]


class MinuteWindows:
    """A window for each name, the least used forgotten first. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: OrderedDict[str, MinuteWindow] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, limits: Sequence[tuple[str, int | None]]) -> float:
        """Count an event under each name, unless one is at its limit: then the seconds to wait, and nothing counts."""
        with self._lock:
            moment = self._clock()
            held = [(self._window(name), limit) for name, limit in limits if limit is not None]
            wait = max((window.wait(limit, moment) for window, limit in held), default=0.0)
            if wait == 0:
                for window, _ in held:
                    window.add(moment)
            return wait

    def wait(self, name: str, limit: int) -> float:
        """Seconds until `name` is under its limit, 0 where it is; nothing is counted."""
        with self._lock:
            window = self._windows.get(name)
            return window.wait(limit, self._clock()) if window else 0.0

    def _window(self, name: str) -> MinuteWindow:
        window = self._windows.setdefault(name, MinuteWindow())
        self._windows.move_to_end(name)
        if len(self._windows) > _MOST_COUNTED:
            self._windows.popitem(last=False)
        return window


NOTHING = Usage(0, 0)


@dataclass(slots=True)
class Held:
    """Tokens held back for an answer that is being made; `usage` is set once it is there."""

    usage: Usage = NOTHING


class TokenMeter:
    """The daily tokens of one tenant and its keys. Safe to share between threads."""

    def __init__(self, account: UsageAccount, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._account = account
        self._now = now
        self._settled = threading.Condition()
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, principal: Principal, most: int, patient: bool = False) -> Iterator[Held]:
        """Hold back `most` tokens for the block, then charge what its `usage` says; without one, what its error does.

        Raises QuotaExceeded where the day's tokens of the key or of its tenant are used up, or nearly so and the rest
        is held back by others: who is `patient` waits for those. StorageError where that cannot be found out.
        """
        key = principal.key_id
        with self._settled:
            while wait := self._refusal(principal):
                if not patient or wait.retry_after_seconds != _BUSY_SECONDS:
                    raise wait
                self._settled.wait(_BUSY_SECONDS)
            self._held[key] += most
        held = Held()
        try:
            yield held
        except FoveaError as error:
            if held.usage == NOTHING:
                held.usage = Usage(error.spent_tokens, 0)
            raise
        finally:
            try:
                self._charge(key, held.usage)
            finally:
                # After the charge: in between the answer counts twice, which refuses too early and never too late.
                with self._settled:
                    self._held[key] -= most
                    self._settled.notify_all()

    def _charge(self, key: str, usage: Usage) -> None:
        if not (usage.prompt_tokens or usage.completion_tokens):
            return
        try:
            self._account.charge(self._today(), key, usage.prompt_tokens, usage.completion_tokens)
        except StorageError as error:  # the answer is there and paid for: it is not thrown away for its receipt
            log.warning("tokens_not_charged key=%s tokens=%s reason=%s", key, usage.to_dict(), error)

    def _refusal(self, principal: Principal) -> QuotaExceeded | None:
        own, whole = principal.limits.tokens_per_day, principal.tenant_limits.tokens_per_day
        if own is None and whole is None:
            return None
        spent = self._account.spent(self._today())
        key = principal.key_id
        refusals = (
            self._compared(own, spent.get(key, 0), self._held[key], "key"),
            self._compared(whole, sum(spent.values()), self._held.total(), "tenant"),
        )
        return max(filter(None, refusals), key=lambda item: item.retry_after_seconds or 0, default=None)

    def _compared(self, limit: int | None, spent: int, held: int, whose: str) -> QuotaExceeded | None:
        if limit is None or spent + held < limit:
            return None
        if spent >= limit:
            return QuotaExceeded(
                f"The {limit:,} tokens a day of this {whose} are used up; there are new ones at midnight UTC.",
                retry_after_seconds=self._until_midnight(),
            )
        return QuotaExceeded(
            f"The {limit:,} tokens a day of this {whose} are nearly used up, and the rest is held back for answers "
            "that are being written; try again when they are.",
            retry_after_seconds=_BUSY_SECONDS,
        )

    def _today(self) -> str:
        return self._now().date().isoformat()

    def _until_midnight(self) -> float:
        now = self._now()
        tomorrow = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
        return max(1.0, (tomorrow - now).total_seconds())


def check_stored(limits: Limits, documents: int, characters: int, added_characters: int = 0) -> None:
    """Raise QuotaExceeded where one more document does not fit beside those that a tenant has stored."""
    if limits.documents is not None and documents >= limits.documents:
        raise _full(f"{limits.documents:,} documents", f"{documents:,} are stored")
    room = None if limits.characters is None else limits.characters - characters
    if room is not None and (room <= 0 or added_characters > room):
        raise _full(f"{limits.characters:,} characters of text", f"{characters:,} are stored")


def _full(limit: str, have: str) -> QuotaExceeded:
    return QuotaExceeded(
        f"This tenant may store {limit}, and {have}; delete some, or ask for a larger quota.",
        retry_after_seconds=_NEVER_SECONDS,
    )
