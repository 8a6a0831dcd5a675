"""A coroutine run from synchronous code, whatever thread that runs in, so that it can be cancelled at any moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any

_CLOSE_SECONDS = 2.0  # closing a connection is quick; a thread stuck in name resolution must not hold up its caller


class BackgroundCall:
    """A coroutine in a thread with an event loop of its own; how it ended goes to the queue, then None."""

    def __init__(
        self, start: Callable[[], Coroutine[Any, Any, None]], queue: SimpleQueue[str | BaseException | None]
    ) -> None:
        self._queue = queue
        self._start = start
        self._lock = threading.Lock()
        self._cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="fovea-generation", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """End the call if it still runs, and wait until its connection is closed."""
        with self._lock:
            self._cancelled = True
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=_CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # handed to the caller's thread, which raises it
            self._queue.put(error)
        finally:
            self._queue.put(None)

    async def _main(self) -> None:
        task: asyncio.Task[None] = asyncio.create_task(self._start())
        with self._lock:
            self._loop, self._task = asyncio.get_running_loop(), task
            if self._cancelled:
                task.cancel()
        try:
            await task
        finally:
            with self._lock:
                self._loop = None  # a later cancel must not reach a closed loop
