"""What may be wrong between the manifest of index snapshots and the files that it speaks of.

A snapshot is a cache: none of this can lose a document, and a start notices all of it by itself. Here it is noticed
before a start has to rebuild, and what nobody needs is named. The rows of a vector snapshot are compared with SQL as
far as SQL can say what they must be: keys that were written or retired since may be in it or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from domain.maintenance import Finding
from domain.search import DEFAULT_TENANT
from service.snapshots import Snapshot, SnapshotDirectory
from service.storage.problems import Looked, Problem
from service.storage.snapshots import (
    changed_keys,
    collection_ids,
    forget_snapshot,
    live_vectors,
    snapshots_by_tenant,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

FolderOf = Callable[[str], Path]
"""Tenant to the folder of its index snapshots."""

_FORGET = "its row is removed; the next start builds the index from the database"
_ASIDE = "the file is renamed and its row removed; the next start builds the index from the database"


def snapshot_problems(connection: Connection, folder_of: FolderOf, looked: Looked) -> Iterator[Problem]:
    """Everything wrong in the snapshots of all tenants."""
    rows = snapshots_by_tenant(connection)
    living = collection_ids(connection)
    known: dict[Path, set[str]] = {}
    for tenant in sorted({DEFAULT_TENANT, *rows, *living.values()}):
        files = SnapshotDirectory(folder_of(tenant))
        known.setdefault(folder_of(tenant), set()).update(row.file_name for row in rows.get(tenant, ()))
        for snapshot in rows.get(tenant, ()):
            looked.counts["snapshots"] = looked.counts.get("snapshots", 0) + 1
            problem = _problem(connection, files, tenant, snapshot, snapshot.collection_id in living, looked)
            if problem is not None:
                yield problem
    for folder, names in known.items():
        yield from _strangers(SnapshotDirectory(folder), names)


def _problem(
    connection: Connection, files: SnapshotDirectory, tenant: str, snapshot: Snapshot, lives: bool, looked: Looked
) -> Problem | None:
    place = f"snapshot {snapshot.file_name}"
    if not files.has(snapshot.file_name):
        finding = Finding("row_without_file", place, "the manifest names a file that is not there", _FORGET)
        return Problem(finding, lambda writing: forget_snapshot(writing, tenant, snapshot))
    if not lives:
        finding = Finding("orphan_snapshot", place, "its collection is gone", "file and row are removed")
        return Problem(finding, partial(_remove, files, tenant, snapshot))
    kind, doubt = "wrong_hash", files.doubt(snapshot)
    if doubt is None and snapshot.kind == "vector":
        kind, doubt = "wrong_vectors", _difference(connection, files, snapshot, looked)
    if doubt is None:
        return None
    return Problem(Finding(kind, place, doubt, _ASIDE), partial(_set_aside, files, tenant, snapshot, doubt))


def _difference(connection: Connection, files: SnapshotDirectory, snapshot: Snapshot, looked: Looked) -> str | None:
    """How the rows of a vector snapshot differ from SQL; None where they do not, or cannot be read by us."""
    from retrieval.vector.snapshot import read_snapshot

    held: dict[int, bytes] = {}
    try:
        for keys, vectors in read_snapshot(files.path_of(snapshot), snapshot.dim):
            held.update(zip(keys.tolist(), (row.astype("<f4").tobytes() for row in np.asarray(vectors)), strict=True))
    except ValueError:
        looked.unchecked.add(f"The rows of {snapshot.file_name} are of a vector index that only its own code reads.")
        return None
    wanted = live_vectors(connection, snapshot.collection_id, snapshot.generation)
    free = changed_keys(connection, snapshot.collection_id, snapshot.generation)
    orphans = len(held.keys() - wanted.keys() - free)
    missing = len(wanted.keys() - held.keys())
    wrong = sum(held[key] != wanted[key] for key in held.keys() & wanted.keys())
    if not (orphans or missing or wrong):
        return None
    return f"{orphans} of its vectors belong to no chunk, {missing} chunks have none, {wrong} have another one"


def _strangers(files: SnapshotDirectory, known: set[str]) -> Iterator[Problem]:
    """Files of our making that no row speaks of, and what a killed `save` left behind."""
    snapshots, temporary = files.own_files()
    for name in [name for name in snapshots if name not in known]:
        finding = Finding("file_without_row", f"snapshot {name}", "the manifest does not know it", "it is removed")
        yield Problem(finding, partial(_discard, files, name))
    for name in temporary:
        finding = Finding("leftover_file", f"file {name}", "an interrupted save left it behind", "it is removed")
        yield Problem(finding, partial(_discard, files, name))


def _remove(files: SnapshotDirectory, tenant: str, snapshot: Snapshot, connection: Connection) -> None:
    files.remove(snapshot)
    forget_snapshot(connection, tenant, snapshot)


def _set_aside(files: SnapshotDirectory, tenant: str, snapshot: Snapshot, doubt: str, connection: Connection) -> None:
    files.set_aside(snapshot, doubt)
    forget_snapshot(connection, tenant, snapshot)


def _discard(files: SnapshotDirectory, name: str, connection: Connection) -> None:
    files.discard(name)
