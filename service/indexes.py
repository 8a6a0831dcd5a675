"""The indexes of each collection: caches of what SQL holds, opened on first use and kept in step with every commit.

A collection has a pair, one index of vectors and one of words. Both are derived: `CollectionIndexes.generation` says up
to which write of the collection they follow SQL, and from any generation they can be brought up to date by the same
three questions (what was retired since, which vectors and which texts were added since), without calling the encoder.
So there is one way to open: take the newest snapshot that can be believed, or an empty index at generation 0, and catch
up.

Reading SQL in several questions while others commit is safe: retired keys are asked for first, added rows afterwards,
and the generation is the one from before the first question. What slipped in meanwhile is asked for again the next
time, and an index may always hold a key too many, for every hit is joined back to SQL before anyone sees it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from domain.document_store import DocumentStore
from domain.errors import NotFound, StorageError
from domain.protocols import IndexReader, LexicalIndex, VectorIndex
from domain.search import FloatArray
from service.collection_indexes import CollectionIndexes, NoVectors, follow_texts, follow_vectors
from service.failpoints import failpoint
from service.pending_writes import PendingWrites
from service.snapshots import CollectionState, SnapshotKeeper, SnapshotManifest

log = logging.getLogger(__name__)

RebuildProgress = Callable[[str, int], None]

_BATCH = 512  # chunks; about as long to index as a lexical commit takes by itself
# A start catches up on this many chunks in about half a second, or on this share of all in that share of a rebuild.
_WORTH_SAVING = 1000
_WORTH_SAVING_SHARE = 0.1


class IndexManager:
    """Opens, updates, saves and rebuilds the indexes of one tenant.

    Any number of threads may search; writes to one collection take turns. A failure to write a snapshot is logged and
    otherwise ignored: what it held is in SQL.
    """

    def __init__(
        self,
        store: DocumentStore,
        manifest: SnapshotManifest,
        directory: Path,
        make_vector: Callable[[int], VectorIndex],
        make_lexical: Callable[[], LexicalIndex],
    ) -> None:
        self._store = store
        self._manifest = manifest
        self._snapshots = SnapshotKeeper(Path(directory), manifest)
        self._make_vector = make_vector
        self._make_lexical = make_lexical
        self._open: dict[str, CollectionIndexes] = {}
        self._pending: dict[str, PendingWrites] = {}
        self._batches: Counter[str] = Counter()
        self._locks: dict[str, threading.RLock] = {}
        self._locks_guard = threading.Lock()

    # -- searching -----------------------------------------------------------------------------------------------------

    def reader(self, collection: str) -> IndexReader:
        """The indexes to search. The first call opens them; from then on no lock is taken.

        A collection that does not exist, or has never held a vector, reads as empty.
        """
        handle = self._open.get(collection)
        if handle is not None:
            return handle
        with self._writing(collection):
            return self._opened(collection) or CollectionIndexes(0, 0, NoVectors(), self._make_lexical())

    def status(self) -> list[dict[str, Any]]:
        """What is open, for operators: collection, generation, sizes, and whether the snapshot is up to date."""
        return [
            {
                "collection": name,
                "generation": handle.generation,
                "vectors": len(handle.vector),
                "texts": len(handle.lexical),
                "saved": handle.saved == handle.generation,
            }
            for name, handle in sorted(dict(self._open).items())
        ]

    # -- following SQL -------------------------------------------------------------------------------------------------

    def apply(
        self,
        collection: str,
        generation: int,
        keys: Sequence[int],
        vectors: FloatArray,
        texts: Sequence[str],
        retired: Collection[int] = (),
    ) -> None:
        """Follow the commit that made `generation`; call it before the write is acknowledged: then it is found at once.

        `vectors` has shape (N, D), `texts` are those of `indexed_text`, for N keys. Where another commit came in
        between, everything that is missing is fetched from SQL instead. Inside `batch` the commit may wait for others.
        """
        with self._writing(collection):
            failpoint("index.apply")
            handle = self._open.get(collection)
            if handle is None:
                self._opened(collection)  # reads SQL, this commit included
                return
            pending = self._pending.get(collection) or PendingWrites(handle.generation)
            if generation != pending.generation + 1 or not self._is_current(collection, handle):
                self._refreshed(collection, handle)
                return
            pending.follow(generation, keys, vectors, texts, retired)
            self._pending[collection] = pending
            if not self._batches[collection] or len(pending) >= _BATCH:
                self._flush(collection)

    @contextmanager
    def batch(self, collection: str) -> Iterator[None]:
        """For a run of many writes: commits are followed some hundred chunks at a time, all of them by the end of the
        block. Acknowledge the run after it. A lexical commit costs some 80 ms, whatever its size.
        """
        self.reader(collection)
        with self._locks_guard:
            self._batches[collection] += 1
        try:
            yield
        finally:
            with self._locks_guard:
                self._batches[collection] -= 1
            with self._writing(collection):
                self._flush(collection)
            self.checkpoint(collection)

    def retire(self, collection: str, generation: int, keys: Collection[int]) -> None:
        """Follow a deletion at once, inside `batch` too."""
        failpoint("index.retire")
        with self._writing(collection):
            self.apply(collection, generation, (), np.empty((0, 0), np.float32), (), keys)
            self._flush(collection)

    def refresh(self, collection: str) -> None:
        """Catch up with what others have committed; cheap when there is nothing."""
        with self._writing(collection):
            handle = self._open.get(collection)
            if handle is not None:
                self._refreshed(collection, handle)

    def rebuild(self, collection: str, progress: RebuildProgress | None = None) -> None:
        """Make both indexes anew from SQL, without the encoder, and save them. Searches see the old pair until then.

        `progress(what, done)` counts chunks. Raises NotFound.
        """
        with self._writing(collection):
            state = self._manifest.state(collection)
            if state is None:
                raise NotFound(f"There is no collection '{collection}'.")
            self._rebuilt(collection, state, progress)
            self.save(collection)

    # -- snapshots -----------------------------------------------------------------------------------------------------

    def save(self, collection: str) -> None:
        """Write what has changed since the last snapshot. A failing disk is no error, only a line in the log."""
        with self._writing(collection):
            self._flush(collection)
            handle = self._open.get(collection)
            if handle is None or handle.saved == handle.generation:
                return
            try:
                self._snapshots.save(handle.collection_id, "vector", handle.generation, handle.vector)
                self._snapshots.save(handle.collection_id, "lexical", handle.generation, handle.lexical)
                self._open[collection] = replace(handle, saved=handle.generation, unsaved=0)
                self._snapshots.remove_superseded(handle.collection_id)
            except (OSError, StorageError, ValueError, RuntimeError) as error:
                log.warning("No snapshot of '%s' was saved, the next start rebuilds it: %s", collection, error)

    def checkpoint(self, collection: str) -> None:
        """`save` when enough has changed to be worth it: a snapshot is written whole, however little is new in it."""
        handle = self._open.get(collection)
        if handle is not None and handle.unsaved >= max(_WORTH_SAVING, len(handle.vector) * _WORTH_SAVING_SHARE):
            self.save(collection)

    def drop(self, collection: str) -> None:
        """Forget a collection, before or after SQL does, with the files of every collection that SQL has deleted."""
        with self._writing(collection):
            handle = self._open.pop(collection, None)
            self._pending.pop(collection, None)
            if handle is not None:
                self._snapshots.remove_all(handle.collection_id)
        self._snapshots.remove_orphans()

    def close(self) -> None:
        """Save what has changed and let go of everything, threads and working files included. Searching ends before."""
        for collection in list(self._open):
            self.save(collection)
            handle = self._open.pop(collection, None)
            if handle is not None:
                handle.close()

    # -- steps, all under the collection's lock ------------------------------------------------------------------------

    @contextmanager
    def _writing(self, collection: str) -> Iterator[None]:
        with self._locks_guard:
            lock = self._locks.setdefault(collection, threading.RLock())
        with lock:
            yield

    def _opened(self, collection: str) -> CollectionIndexes | None:
        handle = self._open.get(collection)
        if handle is not None:
            return handle
        state = self._manifest.state(collection)
        if state is None or state.dim is None:
            return None
        dim = state.dim
        self._snapshots.clean(state.id)
        vector, vector_since = self._snapshots.restore(state, "vector", lambda: self._make_vector(dim), dim)
        lexical, lexical_since = self._snapshots.restore(state, "lexical", self._make_lexical, 0)
        failpoint("index.opened")
        changed = follow_vectors(vector, self._store, collection, vector_since)
        follow_texts(lexical, self._store, collection, lexical_since)
        saved = min(vector_since, lexical_since)
        handle = CollectionIndexes(state.id, state.generation, vector, lexical, saved, changed)
        self._open[collection] = handle
        return handle

    def _is_current(self, collection: str, handle: CollectionIndexes) -> bool:
        """False when the collection was deleted and made again under its old name, or its width changed."""
        state = self._manifest.state(collection)
        return state is not None and state.id == handle.collection_id and state.dim == handle.vector.dim

    def _flush(self, collection: str) -> None:
        """Let the indexes follow what is pending."""
        handle, pending = self._open.get(collection), self._pending.get(collection)
        if handle is None or pending is None:
            return
        try:
            handle.change(pending)
        except Exception as error:  # whatever the library raised, the pair may be half changed, and SQL has it all
            log.warning("The indexes of '%s' are rebuilt, for they cannot be changed: %s", collection, error)
            self._reopened(collection)
        else:
            unsaved = handle.unsaved + len(pending)
            self._open[collection] = replace(handle, generation=pending.generation, unsaved=unsaved)
            self._pending.pop(collection, None)

    def _reopened(self, collection: str) -> None:
        """Make both indexes anew from SQL."""
        state = self._manifest.state(collection)
        if state is not None:
            self._rebuilt(collection, state)

    def _refreshed(self, collection: str, handle: CollectionIndexes) -> None:
        """Follow SQL by asking it, from wherever the indexes stand."""
        self._pending.pop(collection, None)  # SQL has it
        state = self._manifest.state(collection)
        if state is None:
            self._open.pop(collection, None)
        elif state.id != handle.collection_id or state.dim != handle.vector.dim or state.generation < handle.generation:
            self._open.pop(collection, None)
            self._opened(collection)
        elif state.generation > handle.generation:
            changed = follow_vectors(handle.vector, self._store, collection, handle.generation)
            follow_texts(handle.lexical, self._store, collection, handle.generation)
            self._open[collection] = replace(handle, generation=state.generation, unsaved=handle.unsaved + changed)

    def _rebuilt(self, collection: str, state: CollectionState, progress: RebuildProgress | None = None) -> None:
        self._pending.pop(collection, None)
        if state.dim is None:
            self._open.pop(collection, None)
            return
        vector, lexical = self._make_vector(state.dim), self._make_lexical()
        tell = progress or (lambda what, done: None)
        unsaved = follow_vectors(vector, self._store, collection, 0, partial(tell, "vectors indexed"))
        follow_texts(lexical, self._store, collection, 0, partial(tell, "texts indexed"))
        failpoint("index.rebuilt")
        self._open[collection] = CollectionIndexes(state.id, state.generation, vector, lexical, unsaved=unsaved)
