"""One process owns a data directory at a time.

The operating system holds the lock and takes it back when the process ends, however it ends: there is no stale lock to
clean up after a kill. The file stays; only who holds it matters. It names the owner for those who find it held.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from domain.errors import DataDirectoryInUse, StorageError

_FILE_NAME = "fovea.lock"
_PAUSE_SECONDS = 0.05


class DataDirectoryLock:
    """Holds `directory` for this process until `release`; a context manager does both."""

    def __init__(self, directory: Path, wait_seconds: float = 1.0) -> None:
        self._path = Path(directory) / _FILE_NAME
        self._wait_seconds = wait_seconds
        # A bare descriptor: a file object would give the directory back as soon as somebody drops this object.
        self._descriptor: int | None = None
        self._made: tuple[Path, ...] = ()

    def acquire(self) -> None:
        """Take the directory, creating it as needed. Raises DataDirectoryInUse when another owner keeps it for
        `wait_seconds`, which leaves a process that is just ending the time to end.
        """
        if self._descriptor is not None:
            return
        descriptor = self._open()
        deadline = time.monotonic() + self._wait_seconds
        while not _try_lock(descriptor) or not self._is_there(descriptor):
            if not self._is_there(descriptor):  # its owner has withdrawn, and the file of that name is another one
                os.close(descriptor)
                descriptor = self._open()
            elif time.monotonic() >= deadline:
                owner = _read_owner(descriptor)
                os.close(descriptor)
                raise DataDirectoryInUse(self._in_use(owner))
            time.sleep(_PAUSE_SECONDS)
        self._descriptor = descriptor
        _write_owner(descriptor)

    def release(self) -> None:
        """Give the directory back; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)  # closing the file is what releases the lock
            self._descriptor = None

    def withdraw(self) -> None:
        """Release, and remove what `acquire` made, file and folders, where nothing else has come to lie there."""
        if self._descriptor is None:
            return
        alone = os.listdir(self._path.parent) == [_FILE_NAME]
        with suppress(OSError):
            if alone and self._path in self._made:
                self._path.unlink()  # while it is held: nobody takes a file for the directory's lock that is no more
        self.release()
        with suppress(OSError):  # a folder in which something lies now, and those around it, stay
            for folder in self._made[1:] if alone else ():
                folder.rmdir()

    def __enter__(self) -> DataDirectoryLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> int:
        try:
            self._made = tuple(place for place in (self._path, *self._path.parents) if not place.exists())
            # Ours alone, since it holds the documents; a directory that is there keeps the mode it was given.
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Without truncation: that would wipe the owner's name before we know whether the lock is ours.
            return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(f"The data directory {self._path.parent} cannot be used: {error}.") from error

    def _is_there(self, descriptor: int) -> bool:
        """True where the open file is still the one of that name."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _in_use(self, owner: str) -> str:
        directory = self._path.parent
        if owner == str(os.getpid()):
            return f"This process has opened the data directory {directory} already; close the other engine first."
        who = f"process {owner}" if owner else "another process"
        return (
            f"The data directory {directory} is in use by {who}. Stop that process, or name another data directory "
            "(--data-dir); where it is `fovea serve`, documents and questions can go to its HTTP API."
        )


def _write_owner(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, str(os.getpid()).encode())


def _read_owner(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    name = os.read(descriptor, 20).decode("ascii", "replace").strip()
    return name if name.isdigit() else ""


if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 20  # behind the owner's name: Windows lets nobody else read a locked range

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        # flock, not lockf: it also keeps a second engine of the same process out.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
