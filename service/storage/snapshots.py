"""The manifest of index snapshots on SQL: the row that makes a file count."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, delete, insert, select

from service.snapshots import CollectionState, Snapshot
from service.storage.collections import TenantScope
from service.storage.rows import now
from service.storage.tables import collections, index_snapshots


class SqlSnapshotManifest(TenantScope):
    """Implements SnapshotManifest for one tenant."""

    def state(self, collection: str) -> CollectionState | None:
        """None for a collection that does not exist."""
        with self._database.read() as connection:
            row = self._find(connection, collection)
        return None if row is None else CollectionState(row.id, row.generation, row.dim)

    def list_snapshots(self, collection_id: int) -> list[Snapshot]:
        """Newest first."""
        statement = (
            select(index_snapshots)
            .where(self._mine(), index_snapshots.c.collection_id == collection_id)
            .order_by(index_snapshots.c.generation.desc(), index_snapshots.c.id.desc())
        )
        with self._database.read() as connection:
            return [_snapshot(row) for row in connection.execute(statement)]

    def record(self, snapshot: Snapshot) -> None:
        """Make a file count. Recording the same file again is harmless."""
        values = {
            "tenant_id": self._tenant,
            "collection_id": snapshot.collection_id,
            "kind": snapshot.kind,
            "generation": snapshot.generation,
            "size": snapshot.size,
            "sha256": snapshot.sha256,
            "entries": snapshot.count,
            "dim": snapshot.dim,
            "created_at": now(),
        }
        with self._database.write() as connection:
            connection.execute(delete(index_snapshots).where(*self._same(snapshot)))
            connection.execute(insert(index_snapshots).values(values))

    def forget(self, snapshot: Snapshot) -> None:
        """Remove the row; unknown ones are ignored."""
        with self._database.write() as connection:
            connection.execute(delete(index_snapshots).where(*self._same(snapshot)))

    def orphans(self) -> list[Snapshot]:
        """Snapshots of collections that have been deleted."""
        living = select(collections.c.id).where(collections.c.tenant_id == self._tenant)
        statement = select(index_snapshots).where(self._mine(), index_snapshots.c.collection_id.not_in(living))
        with self._database.read() as connection:
            return [_snapshot(row) for row in connection.execute(statement)]

    def _mine(self) -> ColumnElement[bool]:
        return index_snapshots.c.tenant_id == self._tenant

    def _same(self, snapshot: Snapshot) -> tuple[ColumnElement[bool], ...]:
        return (
            self._mine(),
            index_snapshots.c.collection_id == snapshot.collection_id,
            index_snapshots.c.kind == snapshot.kind,
            index_snapshots.c.generation == snapshot.generation,
            index_snapshots.c.sha256 == snapshot.sha256,
        )


def _snapshot(row: Row[Any]) -> Snapshot:
    return Snapshot(row.collection_id, row.kind, row.generation, row.size, row.sha256, row.entries, row.dim)
