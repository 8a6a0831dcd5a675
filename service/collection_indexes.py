"""The two indexes of one collection, and how each follows SQL from any generation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.document_store import DocumentStore
from domain.protocols import LexicalIndex, VectorIndex
from domain.search import FloatArray, Hit
from service.failpoints import failpoint
from service.pending_writes import PendingWrites


@dataclass(slots=True)
class CollectionIndexes:
    """Both indexes of a collection, in step with SQL up to `generation`. An IndexReader; replaced, not changed."""

    collection_id: int
    generation: int
    vector: VectorIndex
    lexical: LexicalIndex
    saved: int = 0  # the generation of the newest snapshots; 0 for none
    unsaved: int = 0  # keys added and retired since

    def change(self, writes: PendingWrites) -> None:
        """Let both indexes follow `writes`. Raises whatever their libraries raise, and may then have followed half."""
        keys, vectors, texts = writes.added()
        if writes.retired:
            self.vector.remove(writes.retired)
            self.lexical.remove(writes.retired)
        failpoint("index.removed")
        if keys:
            self.vector.add(keys, vectors)
            failpoint("index.vectors")
            self.lexical.add(keys, texts)
        failpoint("index.words")

    def close(self) -> None:
        """Let go of threads and working files, where an index has any: `close` is no verb of the protocols."""
        for index in (self.vector, self.lexical):
            getattr(index, "close", lambda: None)()


def follow_vectors(
    index: VectorIndex, store: DocumentStore, collection: str, since: int, tell: Callable[[int], None] | None = None
) -> int:
    """Bring an index at generation `since` up to date from SQL; how many keys changed. `tell` is told as it goes."""
    # Retired first, added afterwards: a key that is retired and added again in between must end up in.
    retired = store.retired_since(collection, since) if since else []
    if retired:
        index.remove(retired)
    changed = len(retired)
    for keys, vectors in store.iter_vectors(collection, since=since):
        index.add(keys, vectors)
        changed += len(keys)
        if tell is not None:
            tell(changed)
    return changed


def follow_texts(
    index: LexicalIndex, store: DocumentStore, collection: str, since: int, tell: Callable[[int], None] | None = None
) -> None:
    """As `follow_vectors`, for words."""
    retired = store.retired_since(collection, since) if since else []
    if retired:
        index.remove(retired)
    done = 0
    for keys, texts in store.iter_texts(collection, since=since):
        index.add(keys, texts)
        done += len(keys)
        if tell is not None:
            tell(done)


class NoVectors:
    """What a collection without an encoder has: nothing, of no width."""

    dim = 0

    def __len__(self) -> int:
        return 0

    def add(self, keys: Sequence[int], vectors: FloatArray) -> None:
        raise TypeError("A collection without an encoder takes no vectors.")

    def remove(self, keys: Collection[int]) -> None:
        return

    def search(self, vector: FloatArray, k: int, allowed: Collection[int] | None = None) -> list[Hit]:
        return []

    def save(self, path: Path) -> None:
        raise TypeError("A collection without an encoder has nothing to save.")

    def load(self, path: Path) -> None:
        raise ValueError("A collection without an encoder has nothing to load.")
