"""Places where a test can make the product fail: by a kill, a full disk, a broken disk, a bug, or a pause.

`FAILPOINT=name:nth:action` arms one place, several with commas between them, and only where `TESTING=1` stands beside
it: a server that was started with one of the two by accident says so and ends. `name` is one of `POINTS`, or `*` for
all of them counted together; `nth` is the pass that fails, from 1, or `3+` for every pass from the third on. Actions:

    kill         SIGKILL to this process
    enospc, eio  OSError, as a full or a broken disk gives it
    raise        FailpointReached, which is nobody's expected error
    sleep        go on after a second; `sleep=0.2` after that many

This is the one piece of state that belongs to the process and not to an engine, because a crash does too. Unarmed, a
place costs one comparison.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import ConfigurationError

POINTS = {
    # one transaction of the database, whatever it writes
    "write.begun": "the write lock is held, nothing is written",
    "write.commit": "everything is written, nothing is committed",
    "write.committed": "committed, and nobody has been told",
    # a document in, inside its transaction
    "replace.document": "the document's own row is written, its chunks are the old ones",
    "replace.cleared": "the old chunks are gone",
    "replace.half": "half of the new chunks are there",
    "replace.chunks": "all new chunks are there, the old keys have no tombstones",
    "replace.buried": "all of the document is written",
    "failure.recorded": "a failed version is noted",
    # a document out, inside its transaction
    "delete.locked": "the documents are found and held",
    "delete.documents": "the documents are gone, their keys have no tombstones",
    "delete.buried": "all of the deletion is written",
    "collection.deleted": "a collection and all in it is gone",
    # what follows a commit
    "index.apply": "a document is committed, the indexes do not know",
    "index.retire": "a deletion is committed, the indexes do not know",
    "index.removed": "retired keys are out of both indexes, new ones in neither",
    "index.vectors": "the vector index has followed, the word index has not",
    "index.words": "both indexes have followed, the generation has not",
    "index.opened": "snapshots are loaded and have not caught up",
    "index.rebuilt": "new indexes are made and not in use",
    # a snapshot of an index
    "snapshot.begun": "an empty temporary file is there",
    "snapshot.written": "the file is written and not on the disk",
    "snapshot.synced": "the file is on the disk under its temporary name",
    "snapshot.renamed": "the file has its name, the directory is not on the disk",
    "snapshot.placed": "the directory is on the disk, the manifest has no row",
    "snapshot.manifest": "the row is written and not committed",
    "snapshot.recorded": "the snapshot counts, older ones are still there",
    "snapshot.superseded": "an older file is gone, its row is not",
    # the schema, inside its transaction
    "migrate.begun": "nothing is changed",
    "migrate.step": "a step of the schema is done",
    "migrate.done": "all steps are done, nothing is committed",
    # backup and restore
    "backup.copied": "the database is copied, the archive is not begun",
    "backup.packed": "the archive is written under its temporary name",
    "restore.unpacked": "everything is unpacked, nothing is in its place",
    "restore.weights": "the weights are in their place, the database is not",
    "restore.tables": "a table is copied into the database and not committed",
    # new vectors for a collection
    "embed.batch": "a batch of new vectors is kept aside",
    "embed.swap": "new vectors replace the old ones and are not committed",
}
"""Name of each place and what is true there."""

_ERRORS = {"enospc": errno.ENOSPC, "eio": errno.EIO}
_PAUSE_SECONDS = 1.0


class FailpointReached(RuntimeError):
    """What the action `raise` raises."""


@dataclass(frozen=True, slots=True)
class Trap:
    """One armed place: `action` on pass `nth`, on every later one too where `onward` is set."""

    name: str
    nth: int
    onward: bool
    action: str
    seconds: float = _PAUSE_SECONDS

    def springs(self, passed: int) -> bool:
        return passed == self.nth or (self.onward and passed > self.nth)


class Traps:
    """All armed places of a process, and how often each was passed."""

    def __init__(self, traps: Sequence[Trap]) -> None:
        self._traps = tuple(traps)
        self._passed: Counter[str] = Counter()
        self._lock = threading.Lock()

    def passed(self, name: str = "*") -> int:
        """How often a place was passed since it was armed; `*` counts all of them."""
        return self._passed[name]

    def reach(self, name: str) -> None:
        with self._lock:
            self._passed[name] += 1
            self._passed["*"] += 1
            counts = {name: self._passed[name], "*": self._passed["*"]}
        for trap in self._traps:
            if trap.name in counts and trap.springs(counts[trap.name]):
                _act(trap, name)


_armed: Traps | None = None


def failpoint(name: str) -> None:
    """Pass the place `name`; whatever is armed there happens."""
    if _armed is not None:
        _armed.reach(name)


def arm(description: str) -> Traps:
    """Arm the places that `description` names and disarm all others; see the module. An empty one only counts.

    Raises ConfigurationError for a description that cannot be read.
    """
    global _armed
    _armed = Traps([_trap(part) for part in description.split(",") if part])
    return _armed


def disarm() -> None:
    """Let every place pass again."""
    global _armed
    _armed = None


def arm_from(environment: Mapping[str, str]) -> None:
    """Arm what `FAILPOINT` of an environment says. Raises ConfigurationError unless `TESTING` is 1 there."""
    description = environment.get("FAILPOINT")
    if not description:
        return
    if environment.get("TESTING") != "1":
        raise ConfigurationError("FAILPOINT is set, which makes the product fail on purpose; unset it.")
    arm(description)


def _trap(text: str) -> Trap:
    try:
        name, nth, action = text.split(":")
        action, _, seconds = action.partition("=")
        trap = Trap(name, int(nth.removesuffix("+")), nth.endswith("+"), action, float(seconds or _PAUSE_SECONDS))
    except ValueError:
        raise ConfigurationError(f"{text!r} is no failpoint; one is name:nth:action.") from None
    if trap.name not in (*POINTS, "*") or trap.nth < 1 or trap.action not in (*_ERRORS, "kill", "raise", "sleep"):
        raise ConfigurationError(f"There is no failpoint {text!r}; service/failpoints.py lists names and actions.")
    return trap


def _act(trap: Trap, name: str) -> None:
    match trap.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise FailpointReached(f"The failpoint {name} was reached.")
        case "sleep":
            time.sleep(trap.seconds)
        case _:
            number = _ERRORS[trap.action]
            raise OSError(number, f"{os.strerror(number)} (failpoint {name})")
