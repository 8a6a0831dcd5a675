"""What several suites need."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def assert_raises(expected: type[Exception], call: Callable[[], Any]) -> Exception:
    """Run `call`; return the error it raised, fail when it raised none. Other errors pass through."""
    try:
        call()
    except expected as error:
        assert str(error), f"{type(error).__name__} came without a message."
        return error
    raise AssertionError(f"{expected.__name__} was expected, but nothing was raised.")


def run_beside(write: Callable[[], None], read: Callable[[], None], readers: int = 2) -> None:
    """Run `write` once while `readers` threads repeat `read`; the first failure of any of them is raised."""
    failures: list[BaseException] = []
    done = threading.Event()

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # carried over to the caller's thread
            failures.append(error)
            done.set()

    def read_on() -> None:
        read()  # at least once, however fast the writer is
        while not done.is_set():
            read()

    threads = [threading.Thread(target=guarded, args=(read_on,)) for _ in range(readers)]
    for thread in threads:
        thread.start()
    guarded(write)
    done.set()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
