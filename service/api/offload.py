"""Runs the synchronous core beside the event loop, in a bounded number of threads.

Questions and records (listings, uploads, states) have places of their own: a listing never waits behind a slow model.
More callers than places wait in a bounded queue; beyond that they are told to come back, which keeps answers fast for
those who are in.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from anyio import CancelScope, CapacityLimiter, get_cancelled_exc_class, to_thread

from domain.errors import Overloaded

T = TypeVar("T")
R = TypeVar("R")
_END: Any = object()


class Places:
    """At most `size` callers at work and at most `waiting` more in line."""

    def __init__(self, size: int, waiting: int) -> None:
        self._limiter = CapacityLimiter(size)
        self._waiting = waiting

    @property
    def waiting(self) -> int:
        """Callers in line."""
        return self._limiter.statistics().tasks_waiting

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread. Raises Overloaded where the line is full."""
        async with self.place():
            return await _in_thread(work)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        release = await self.take()
        try:
            yield
        finally:
            release()

    async def take(self) -> Callable[[], None]:
        """Wait for a place; the function that gives it back may be called from any task."""
        state = self._limiter.statistics()
        if state.borrowed_tokens >= state.total_tokens and state.tasks_waiting >= self._waiting:
            raise Overloaded("The server is busy; try again in a few seconds.")
        holder = object()
        await self._limiter.acquire_on_behalf_of(holder)
        return lambda: self._limiter.release_on_behalf_of(holder)


class Pull(Generic[T]):
    """An iterator of the core, read from the event loop one item at a time, each in a thread.

    A reader that is cancelled leaves at once and cancels the iterator, which ends the item that is being made: the
    model's call is cancelled, in whatever state it is. `close` gives the place back once nothing runs any more: an
    iterator cannot be closed while it is read. Calling it twice is harmless.
    """

    def __init__(self, iterator: Iterator[T], release: Callable[[], None]) -> None:
        self._iterator = iterator
        self._release = release
        self._closed = False
        self._reading = threading.Lock()

    def __aiter__(self) -> Pull[T]:
        return self

    async def __anext__(self) -> T:
        item = await self._read(lambda: next(self._iterator, _END))
        if item is _END:
            raise StopAsyncIteration
        return item

    async def last(self) -> T:
        """The last item, read in one go. Closes the iterator."""
        try:
            return await self._read(lambda: deque(self._iterator, maxlen=1).pop())
        finally:
            await self.close()

    async def first(self) -> T:
        """The first item. Closes the iterator when it fails, so that a caller may simply let the error pass."""
        try:
            return await self.__anext__()
        except BaseException:
            await self.close()
            raise

    async def after(self, first: T) -> AsyncIterator[T]:
        """`first`, which was read already, then all the others."""
        yield first
        async for item in self:
            yield item

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._cancel()
        try:
            with CancelScope(shield=True):
                await _in_thread(partial(self._alone, self._end))
        finally:
            self._release()

    def _end(self) -> None:
        getattr(self._iterator, "close", lambda: None)()

    def _cancel(self) -> None:
        getattr(self._iterator, "cancel", lambda: None)()

    async def _read(self, read: Callable[[], T]) -> T:
        try:
            return await _in_thread(partial(self._alone, read), abandon=True)
        except get_cancelled_exc_class():
            self._cancel()
            raise

    def _alone(self, work: Callable[[], R]) -> R:
        """In a thread: an abandoned read must have ended before the iterator is closed."""
        with self._reading:
            return work()


async def pull(places: Places, start: Callable[[], Iterator[T]]) -> Pull[T]:
    """Take a place and read the iterator that `start` makes; the place is held until `close`."""
    release = await places.take()
    try:
        return Pull(start(), release)
    except BaseException:
        release()
        raise


async def _in_thread(work: Callable[[], T], abandon: bool = False) -> T:
    # The place bounds the threads; anyio's own limiter would make streams wait for each other between two parts.
    return await to_thread.run_sync(work, limiter=CapacityLimiter(1), abandon_on_cancel=abandon)
