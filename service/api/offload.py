"""Runs the synchronous core beside the event loop, in a bounded number of threads.

Questions and records (listings, uploads, states) have places of their own: a listing never waits behind a slow model.
More callers than places wait in a bounded queue; beyond that they are told to come back, which keeps answers fast for
those who are in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from service.api.errors import Overloaded

T = TypeVar("T")
_END: Any = object()


class Places:
    """At most `size` callers at work and at most `waiting` more in line."""

    def __init__(self, size: int, waiting: int) -> None:
        self._limiter = CapacityLimiter(size)
        self._waiting = waiting

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

    `close` ends the iterator, which cancels the model's call. It waits for the item that is being made: an iterator
    cannot be closed while it runs. Calling it twice is harmless.
    """

    def __init__(self, iterator: Iterator[T], release: Callable[[], None]) -> None:
        self._iterator = iterator
        self._release = release
        self._closed = False

    def __aiter__(self) -> Pull[T]:
        return self

    async def __anext__(self) -> T:
        item = await _in_thread(lambda: next(self._iterator, _END))
        if item is _END:
            raise StopAsyncIteration
        return item

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
        try:
            with CancelScope(shield=True):
                await _in_thread(getattr(self._iterator, "close", lambda: None))
        finally:
            self._release()


async def pull(places: Places, start: Callable[[], Iterator[T]]) -> Pull[T]:
    """Take a place and read the iterator that `start` makes; the place is held until `close`."""
    release = await places.take()
    try:
        return Pull(start(), release)
    except BaseException:
        release()
        raise


async def _in_thread(work: Callable[[], T]) -> T:
    # The place bounds the threads; anyio's own limiter would make streams wait for each other between two parts.
    return await to_thread.run_sync(work, limiter=CapacityLimiter(1))
