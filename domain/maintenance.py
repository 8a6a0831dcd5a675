"""What looking after a data directory finds out: what is wrong with it, what a backup holds, what was made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that should not be. `kind` is stable; `place` names the row or the file.

    `repair` says what a repair does about it; None where only a person can.
    """

    kind: str
    place: str
    detail: str
    repair: str | None
    repaired: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "place": self.place,
            "detail": self.detail,
            "repair": self.repair,
            "repaired": self.repaired,
        }


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a look at everything found. `checked` counts what was looked at, by name.

    `unchecked` says in sentences what could not be looked at.
    """

    findings: tuple[Finding, ...]
    checked: Mapping[str, int]
    unchecked: tuple[str, ...]
    seconds: float

    @property
    def left(self) -> tuple[Finding, ...]:
        """What is still wrong."""
        return tuple(item for item in self.findings if not item.repaired)

    def to_dict(self) -> dict[str, Any]:
        return {
            "findings": [item.to_dict() for item in self.findings],
            "left": len(self.left),
            "checked": dict(self.checked),
            "unchecked": list(self.unchecked),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A backup that was made or restored. `tables` counts the rows of each; `size` is that of the archive in bytes."""

    file: str
    size: int
    sha256: str
    database: str
    tables: Mapping[str, int]
    weights: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "size": self.size,
            "sha256": self.sha256,
            "database": self.database,
            "documents": self.tables.get("documents", 0),
            "chunks": self.tables.get("chunks", 0),
            "tables": dict(self.tables),
            "weights": self.weights,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """A collection whose indexes were made anew; `encoded` counts the chunks that got new vectors."""

    collection: str
    chunks: int
    encoded: int
    model_id: str | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "collection": self.collection,
            "chunks": self.chunks,
            "encoded": self.encoded,
            "model_id": self.model_id,
            "seconds": round(self.seconds, 3),
        }
