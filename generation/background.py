"""A coroutine run for synchronous code, whatever thread that runs in, so that it can be cancelled at any moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from queue import SimpleQueue
from typing import Any

from domain.errors import GenerationCancelled

_CLOSE_SECONDS = 2.0  # closing a connection is quick; a thread stuck in name resolution must not hold up its caller


class BackgroundCall:
    """A coroutine in a thread with an event loop of its own; what it emits is read as an iterator elsewhere."""

    def __init__(self, start: Callable[[Callable[[str], None]], Coroutine[Any, Any, None]]) -> None:
        """`start` makes the coroutine and is handed the function that it emits text with."""
        self._start = start
        self._queue: SimpleQueue[str | BaseException | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fovea-generation", daemon=True)

    def parts(self) -> Iterator[str]:
        """What the coroutine emits; the first part starts it. Raises what it raises, GenerationCancelled once it was
        cancelled. Closing the iterator ends the coroutine.
        """
        try:
            self._check()
            self._thread.start()
            while (item := self._queue.get()) is not None:
                self._check()
                if isinstance(item, BaseException):
                    raise item
                yield item
            self._check()
        finally:
            self.close()

    def cancel(self) -> None:
        """End the coroutine, from any thread; does not wait until it has ended."""
        with self._lock:
            self._cancelled = True
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)

    def close(self) -> None:
        """End the coroutine if it still runs, and wait until its connection is closed."""
        self.cancel()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._ended.wait(timeout=_CLOSE_SECONDS)

    def _check(self) -> None:
        if self._cancelled:
            raise GenerationCancelled("The answer was cancelled.")

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # no event loop could be had: raised in the caller's thread
            self._queue.put(error)
        finally:
            self._ended.set()

    async def _main(self) -> None:
        task: asyncio.Task[None] = asyncio.create_task(self._start(self._queue.put))
        with self._lock:
            self._loop, self._task = asyncio.get_running_loop(), task
            if self._cancelled:
                task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            # Handed over here and not once the loop is closed: closing it waits for a name resolution that hangs.
            self._queue.put(error)
        finally:
            with self._lock:
                self._loop = None  # a later cancel must not reach a closed loop
            self._queue.put(None)
            self._ended.set()
