"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def row(cells: Iterable[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |"


def header(names: Sequence[str]) -> str:
    """The two lines above the rows."""
    return f"{row(names)}\n{'|---' * len(names)}|"


def table(names: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A whole table."""
    return "\n".join([header(names), *map(row, rows)])
