"""Room for a deletion on a disk that is full.

Deleting needs a little space before it gives any back: the pages that it changes go into the write-ahead log first. So
a file beside the database keeps some, and the first deletion that finds the disk full takes it. The next start that
finds room makes it anew.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

_BYTES = 4 << 20  # 256 pages: a deletion changes a few for each document, whatever its length
_SHARE = 8  # of the free space no more than one part in so many: it is for a disk that fills, not for a small one


class Reserve:
    """The file that holds the room, beside the database file of the same name."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}.reserve")

    def fill(self) -> None:
        """Make the file unless it is there or there is little room. Never raises: it is not worth a failed start."""
        try:
            if self._path.exists() or not self._fits():
                return
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(os.urandom(_BYTES))  # zeroes would cost nothing on a disk that compresses, and hold nothing
        except OSError as error:
            log.warning("No room could be set aside beside the database: %s", error)
            self.release()

    def release(self) -> bool:
        """Give the room back to the disk; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def _fits(self) -> bool:
        if not hasattr(os, "statvfs"):
            return False
        status = os.statvfs(self._path.parent)
        return status.f_bavail * status.f_frsize >= _SHARE * _BYTES
