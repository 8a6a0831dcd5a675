"""The manifest of index snapshots on SQL: the row that makes a file count."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select

from service.failpoints import failpoint
from service.snapshots import CollectionState, Snapshot
from service.storage.collections import TenantScope
from service.storage.rows import now
from service.storage.tables import chunks, collections, index_snapshots, tombstones


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
            failpoint("snapshot.manifest")

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


def snapshots_by_tenant(connection: Connection) -> dict[str, list[Snapshot]]:
    """Every manifest row of a database, newest first."""
    found: dict[str, list[Snapshot]] = {}
    statement = select(index_snapshots).order_by(index_snapshots.c.generation.desc(), index_snapshots.c.id.desc())
    for row in connection.execute(statement):
        found.setdefault(row.tenant_id, []).append(_snapshot(row))
    return found


def forget_snapshot(connection: Connection, tenant: str, snapshot: Snapshot) -> None:
    """Remove one row, inside a transaction that writes."""
    same = (
        index_snapshots.c.tenant_id == tenant,
        index_snapshots.c.collection_id == snapshot.collection_id,
        index_snapshots.c.kind == snapshot.kind,
        index_snapshots.c.generation == snapshot.generation,
        index_snapshots.c.sha256 == snapshot.sha256,
    )
    connection.execute(delete(index_snapshots).where(*same))


def live_vectors(connection: Connection, collection_id: int, until: int) -> dict[int, bytes]:
    """Key to vector of the chunks that an index of generation `until` must hold, unless they were retired since."""
    mine = (chunks.c.collection_id == collection_id, chunks.c.generation <= until)
    return {row.key: row.vector for row in connection.execute(select(chunks.c.key, chunks.c.vector).where(*mine))}


def changed_keys(connection: Connection, collection_id: int, since: int) -> set[int]:
    """Keys that were retired or written after generation `since`: an index of that age may hold them or not."""
    dead = select(tombstones.c.key).where(tombstones.c.collection_id == collection_id, tombstones.c.generation > since)
    fresh = select(chunks.c.key).where(chunks.c.collection_id == collection_id, chunks.c.generation > since)
    return set(connection.execute(dead.union_all(fresh)).scalars())


def collection_ids(connection: Connection) -> dict[int, str]:
    """Number of every collection, of any tenant, and its tenant."""
    return {row.id: row.tenant_id for row in connection.execute(select(collections.c.id, collections.c.tenant_id))}


def _snapshot(row: Row[Any]) -> Snapshot:
    return Snapshot(row.collection_id, row.kind, row.generation, row.size, row.sha256, row.entries, row.dim)
