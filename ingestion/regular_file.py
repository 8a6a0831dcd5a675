"""Opening what is a file and nothing else: no link, no device, no pipe."""

from __future__ import annotations

import os
import stat
from typing import IO

from domain.errors import LoadError


def open_regular(path: str) -> IO[bytes]:
    """Open a file without following a symlink and without waiting for the other end of a pipe.

    Raises LoadError "symlink" or "unreadable_file".
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise (symlink_error(path) if os.path.islink(path) else unreadable_error(path, error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        message = f"{path} is not an ordinary file but a device, pipe, socket or folder; leave it out."
        raise LoadError(message, code="unreadable_file")
    return os.fdopen(descriptor, "rb")


def symlink_error(path: str) -> LoadError:
    message = f"{path} is a symbolic link, and links are not followed; name the file it points to."
    return LoadError(message, code="symlink")


def unreadable_error(path: str, error: OSError) -> LoadError:
    reason = error.strerror or type(error).__name__
    return LoadError(f"{path} cannot be read ({reason}); check its permissions.", code="unreadable_file")
