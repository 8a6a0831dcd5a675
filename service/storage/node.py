"""The name of an installation: what tells its jobs from those of another one that works on the same database."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

from domain.errors import StorageError

_FILE_NAME = "node"
_NAME = re.compile(r"[0-9a-f]{32}")


def node_of(directory: Path) -> str:
    """The name kept in a data directory that this process has locked; made on the first call. Raises StorageError."""
    path = directory / _FILE_NAME
    try:
        if path.exists() and _NAME.fullmatch(name := path.read_text("ascii", "replace").strip()):
            return name
        name = uuid.uuid4().hex
        temporary = path.with_suffix(".tmp")
        temporary.write_text(name, "ascii")
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(f"The data directory {directory} cannot be used: {error}.") from error
    return name
