"""How an optional part of the package is installed, for the message of who meets it missing."""

from __future__ import annotations


def install_line(extra: str) -> str:
    """What to run for an extra of this package, installed by name or as a clone with its own `.venv`.

    >>> install_line("plot")
    "pip install 'fovea-rag[plot]' (in a clone: .venv/bin/pip install -e '.[plot]')"
    """
    return f"pip install 'fovea-rag[{extra}]' (in a clone: .venv/bin/pip install -e '.[{extra}]')"
