"""Snapshots of indexes: immutable files, named by what they hold, that are believed only when every byte is right.

An index file carries no checksum of its own, and most single flipped bits load without a word and give wrong
neighbours. So a snapshot counts only with its manifest row, written last: size and sha256 of the file, how many rows it
holds and how wide they are. Writing is temp file, fsync, rename, fsync of the directory, manifest row; a kill between
any two steps leaves either the state before or the state after. What cannot be believed is renamed, never deleted.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from domain.protocols import LexicalIndex, VectorIndex
from domain.search import DEFAULT_TENANT
from service.failpoints import failpoint

log = logging.getLogger(__name__)

AnyIndex = TypeVar("AnyIndex", VectorIndex, LexicalIndex)

_KEPT = 2  # snapshots of a kind: the newest and, should it turn out damaged, the one before
_READ_BYTES = 1 << 20
_FINAL = re.compile(r"\d+-(?:vector|lexical)-\d+-[0-9a-f]{16}")
_TEMPORARY = re.compile(r"(?P<collection>\d+)-(?:vector|lexical)-\d+-[0-9a-f]{8}\.tmp")


def index_folder(data_dir: Path, tenant: str) -> Path:
    """Where a tenant's snapshots are; the name of a tenant is a safe name of a directory."""
    return data_dir / "indexes" if tenant == DEFAULT_TENANT else data_dir / "tenants" / tenant / "indexes"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A manifest row: one saved index. `kind` is "vector" or "lexical"; `dim` is 0 for a lexical index."""

    collection_id: int
    kind: str
    generation: int
    size: int
    sha256: str
    count: int
    dim: int

    @property
    def file_name(self) -> str:
        return f"{self.collection_id}-{self.kind}-{self.generation}-{self.sha256[:16]}"


@dataclass(frozen=True, slots=True)
class CollectionState:
    """Where SQL stands: `generation` counts the writes; `dim` is None before the first encoder was recorded."""

    id: int
    generation: int
    dim: int | None


class SnapshotManifest(Protocol):
    """The manifest rows of one tenant, kept in SQL."""

    def state(self, collection: str) -> CollectionState | None:
        """None for a collection that does not exist."""
        ...

    def list_snapshots(self, collection_id: int) -> list[Snapshot]:
        """Newest first."""
        ...

    def record(self, snapshot: Snapshot) -> None: ...

    def forget(self, snapshot: Snapshot) -> None: ...

    def orphans(self) -> list[Snapshot]:
        """Snapshots of collections that have been deleted."""
        ...


class SnapshotKeeper:
    """Saves and restores indexes: the files in a directory, their manifest in SQL."""

    def __init__(self, directory: Path, manifest: SnapshotManifest) -> None:
        self._files = SnapshotDirectory(directory)
        self._manifest = manifest

    def restore(
        self, state: CollectionState, kind: str, make: Callable[[], AnyIndex], dim: int
    ) -> tuple[AnyIndex, int]:
        """The newest index that can be believed, with its generation; an empty one at 0 where there is none."""
        for snapshot in self._manifest.list_snapshots(state.id):
            # One newer than SQL belongs to a history that was undone, for example by restoring a backup.
            if snapshot.kind == kind and snapshot.dim == dim and snapshot.generation <= state.generation:
                index = make()
                if self._files.load(snapshot, partial(_load, index, snapshot)):
                    return index, snapshot.generation
                self._manifest.forget(snapshot)
        return make(), 0

    def save(self, collection_id: int, kind: str, generation: int, index: VectorIndex | LexicalIndex) -> None:
        """Write a snapshot and make it count. Raises what the index, the disk or the database raises."""
        sha256, size = self._files.write(collection_id, kind, generation, index.save)
        row = Snapshot(collection_id, kind, generation, size, sha256, len(index), _dim(index))
        failpoint("snapshot.placed")
        self._manifest.record(row)
        failpoint("snapshot.recorded")

    def clean(self, collection_id: int) -> None:
        """Remove what a killed `save` left behind."""
        self._files.clean(collection_id)

    def remove_superseded(self, collection_id: int) -> None:
        """Remove all but the newest two snapshots of each kind."""
        snapshots = self._manifest.list_snapshots(collection_id)
        for kind in {row.kind for row in snapshots}:
            self._remove([row for row in snapshots if row.kind == kind][_KEPT:])

    def remove_all(self, collection_id: int) -> None:
        """Remove every snapshot of a collection."""
        self._remove(self._manifest.list_snapshots(collection_id))

    def remove_orphans(self) -> None:
        """Remove the snapshots of collections that SQL has deleted."""
        self._remove(self._manifest.orphans())

    def _remove(self, snapshots: list[Snapshot]) -> None:
        for snapshot in snapshots:
            try:
                # The file first: a row without its file is noticed one day, a file without its row never.
                self._files.remove(snapshot)
                failpoint("snapshot.superseded")
                self._manifest.forget(snapshot)
            except OSError as error:
                log.warning("Index snapshot %s could not be removed: %s", snapshot.file_name, error)


class SnapshotDirectory:
    """The folder that holds the files. It touches only names of its own making."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, collection_id: int, kind: str, generation: int, save: Callable[[Path], None]) -> tuple[str, int]:
        """Let `save` write a file and put it in place; (sha256, size). Raises what `save` or the disk raises."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._path / f"{collection_id}-{kind}-{generation}-{secrets.token_hex(4)}.tmp"
        try:
            # Ours before it holds anything: a vector tells much of the text that it came from.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            failpoint("snapshot.begun")
            save(temporary)
            temporary.chmod(0o600)  # where `save` put a file of its own in its place
            failpoint("snapshot.written")
            _sync(temporary)
            failpoint("snapshot.synced")
            sha256, size = _digest(temporary), temporary.stat().st_size
            final = Snapshot(collection_id, kind, generation, size, sha256, 0, 0).file_name
            temporary.replace(self._path / final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        failpoint("snapshot.renamed")
        _sync(self._path)
        return sha256, size

    def load(self, snapshot: Snapshot, load: Callable[[Path], None]) -> bool:
        """Hand the file to `load` if it is what the manifest says; otherwise move it aside and say False."""
        path = self._path / snapshot.file_name
        doubt = _doubt(path, snapshot)
        if doubt is None:
            try:
                load(path)
                return True
            except Exception as error:  # the library's own, whatever they are: the index comes from SQL then
                doubt = f"it does not load: {error}"
        self._set_aside(path, doubt)
        return False

    def doubt(self, snapshot: Snapshot) -> str | None:
        """Why the file is not what the manifest says; None when it is. Reads all of it."""
        return _doubt(self._path / snapshot.file_name, snapshot)

    def has(self, name: str) -> bool:
        return os.path.lexists(self._path / name)

    def path_of(self, snapshot: Snapshot) -> Path:
        return self._path / snapshot.file_name

    def own_files(self) -> tuple[list[str], list[str]]:
        """(snapshots, temporary files) of its own making, by name; what was set aside is neither."""
        names = sorted(path.name for path in self._path.iterdir()) if self._path.is_dir() else []
        snapshots = [name for name in names if _FINAL.fullmatch(name)]
        return snapshots, [name for name in names if _TEMPORARY.fullmatch(name)]

    def discard(self, name: str) -> None:
        """Remove a file of its own making by name; any other name is left alone."""
        if _FINAL.fullmatch(name) or _TEMPORARY.fullmatch(name):
            (self._path / name).unlink(missing_ok=True)

    def set_aside(self, snapshot: Snapshot, doubt: str) -> None:
        """Rename a file that cannot be believed; it is kept for whoever wants to know why."""
        self._set_aside(self._path / snapshot.file_name, doubt)

    def remove(self, snapshot: Snapshot) -> None:
        """Remove the file of a snapshot that the manifest knows and nobody needs any more."""
        (self._path / snapshot.file_name).unlink(missing_ok=True)

    def clean(self, collection_id: int) -> None:
        """Remove what a killed `write` of this collection left behind; any other file stays."""
        for path in self._path.glob(f"{collection_id}-*.tmp"):
            match = _TEMPORARY.fullmatch(path.name)
            if match is not None and int(match["collection"]) == collection_id:
                path.unlink(missing_ok=True)

    def _set_aside(self, path: Path, doubt: str) -> None:
        if not os.path.lexists(path):
            log.warning("Index snapshot %s is not there; the index is rebuilt from the database.", path.name)
            return
        number = 1
        while os.path.lexists(aside := path.with_name(f"{path.name}.corrupt-{number}")):
            number += 1
        try:
            path.rename(aside)
        except OSError as error:
            log.warning("Index snapshot %s is not used: %s (and not renamed: %s).", path.name, doubt, error)
            return
        log.warning("Index snapshot %s is not used: %s. It is now %s.", path.name, doubt, aside.name)


def _load(index: VectorIndex | LexicalIndex, snapshot: Snapshot, path: Path) -> None:
    index.load(path)
    found, expected = (len(index), _dim(index)), (snapshot.count, snapshot.dim)
    if found != expected:
        raise ValueError(
            f"it holds {found[0]} rows of width {found[1]} instead of {expected[0]} of width {expected[1]}"
        )


def _dim(index: VectorIndex | LexicalIndex) -> int:
    return getattr(index, "dim", 0)


def _doubt(path: Path, snapshot: Snapshot) -> str | None:
    """Why the file is not what the manifest describes; None when it is."""
    try:
        if path.is_symlink() or not path.is_file():
            return "it is not a plain file"
        if (size := path.stat().st_size) != snapshot.size:
            return f"it has {size} bytes instead of {snapshot.size}"
        if _digest(path) != snapshot.sha256:
            return "its sha256 is not the recorded one"
    except OSError as error:
        return f"it cannot be read: {error}"
    return None


def _digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            hasher.update(part)
    return hasher.hexdigest()


def _sync(path: Path) -> None:
    """Force a file, or the names in a directory, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows writes directories through and lets nobody open them
    # Read access is not enough to flush a file on Windows.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
