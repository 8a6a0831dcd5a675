"""Work in a child process that may be killed at any moment, and what it had acknowledged until then.

A fork costs ten milliseconds where a fresh interpreter costs a second, so that kills can be tried by the hundred. The
child opens files, databases and indexes of its own and leaves by `os._exit`: nothing of the parent's is touched.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from service import failpoints

Say = Callable[[str], None]
Work = Callable[[Say], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a child said, whole lines only, and how it ended: 0, an exit status, or minus a signal."""

    said: tuple[str, ...]
    status: int

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Child:
    """A forked process that runs `work(say)`; `failpoint` is armed in it, as FAILPOINT would."""

    def __init__(self, work: Work, failpoint: str = "") -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            _run(work, failpoint, writing)
        os.close(writing)
        self._reading = os.fdopen(reading, "rb")
        self._first = b""

    def wait_for(self, lines: int) -> None:
        self._first = b"".join(self._reading.readline() for _ in range(lines))

    def kill(self) -> Ended:
        """Kill it wherever it is."""
        os.kill(self.pid, signal.SIGKILL)
        return self.end()

    def end(self) -> Ended:
        """Wait until it has ended by itself."""
        data = self._first + self._reading.read()
        self._reading.close()
        _, status = os.waitpid(self.pid, 0)
        lines = data.decode().split("\n")[:-1]  # the last one may be torn
        return Ended(tuple(lines), os.waitstatus_to_exitcode(status))


def killed_somewhere(work: Work, rng: random.Random, most_lines: int) -> Ended:
    """Let `work` say one to `most_lines` lines, then kill it within 20 ms."""
    child = Child(work)
    child.wait_for(rng.randint(1, most_lines))
    time.sleep(rng.uniform(0.0, 0.02))
    return child.kill()


def _run(work: Work, failpoint: str, writing: int) -> None:
    status = 1
    try:
        failpoints.disarm()
        if failpoint:
            failpoints.arm(failpoint)
        work(lambda line: _say(writing, line))
        status = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _say(writing: int, line: str) -> None:
    os.write(writing, f"{line}\n".encode())
