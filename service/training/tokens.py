"""The token states that training starts from, of questions and chunks.

    no layer of the encoder learns   the stored tokens of each chunk, as the reranker sees them: read, not computed
    the top layers learn             the output of the layers below them, computed once and kept on disk

Rows are written to files that are mapped into memory: ten thousand chunks are half a gigabyte of stored tokens and
1.5 GB of states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from attention_core.codec import batched
from attention_core.examples import States
from domain.document_store import DocumentStore
from domain.protocols import TokenCodec
from domain.search import IntArray, Query, StoredChunk

if TYPE_CHECKING:
    from retrieval.embedders.split import SplitEncoder
    from retrieval.embedders.windows import Plan

Step = Callable[[str, int, int], None]
_READ = 256  # chunks decoded at once


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One text: which positions of its states are its tokens, (T,), their ids (T,) and offsets (T, 2).

    `content` is what the states come from: the ids that the encoder reads, or token vectors.
    """

    take: NDArray[np.intp]
    ids: IntArray
    offsets: IntArray
    content: NDArray[Any]


class TokenSource(Protocol):
    """Where states come from. `question` is asked while candidates are at hand, states are made of all at once."""

    def question(self, query: Query) -> TokenRow: ...

    def question_states(self, rows: Sequence[TokenRow], folder: Path, step: Step) -> States: ...

    def chunks(
        self, collection: str, chunks: Sequence[StoredChunk], folder: Path, step: Step
    ) -> tuple[list[TokenRow], States]: ...


class StoredTokens:
    """Token vectors as they are stored and as the encoder gives them; for training that changes no layer."""

    def __init__(self, store: DocumentStore, codec: TokenCodec) -> None:
        self._store, self._codec = store, batched(codec)

    def question(self, query: Query) -> TokenRow:
        """The question's own token vectors; empty where the encoder gives none."""
        if query.tokens is None:
            empty = np.zeros(0, dtype=np.int32)
            return TokenRow(np.arange(0), empty, empty.reshape(0, 2), np.zeros((0, 0), dtype=np.float32))
        tokens = query.tokens
        return TokenRow(np.arange(len(tokens)), tokens.ids, tokens.offsets, tokens.vectors)

    def question_states(self, rows: Sequence[TokenRow], folder: Path, step: Step) -> States:
        """They are at hand."""
        return States(np.concatenate([row.content for row in rows]), _bounds(rows))

    def chunks(
        self, collection: str, chunks: Sequence[StoredChunk], folder: Path, step: Step
    ) -> tuple[list[TokenRow], States]:
        """Rows without content and the stored codes, which half precision holds exactly."""
        folder.mkdir(parents=True, exist_ok=True)
        rows: list[TokenRow] = []
        width = 0
        with (folder / "stored.rows").open("wb") as file:
            for start in range(0, len(chunks), _READ):
                keys = [one.chunk.key for one in chunks[start : start + _READ]]
                stored = self._store.get_chunks(collection, keys)
                batch = self._codec.decode_many([stored[key].token_blob or b"" for key in keys])
                batch.codes.astype(np.float16).tofile(file)
                width = batch.codes.shape[1]
                ends = np.cumsum(batch.counts)[:-1]
                for ids, offsets in zip(np.split(batch.ids, ends), np.split(batch.offsets, ends), strict=True):
                    rows.append(TokenRow(np.arange(len(ids)), ids, offsets, ids))
                step("chunks read", len(rows), len(chunks))
        data = np.memmap(folder / "stored.rows", np.float16, "r").reshape(-1, width)
        return rows, States(data, _bounds(rows))


class LowerStates:
    """States below the layers that learn; for each text its first window, as long as a chunk is nearly always."""

    def __init__(self, encoder: SplitEncoder) -> None:
        self._encoder = encoder

    def question(self, query: Query) -> TokenRow:
        """What the encoder reads of it."""
        return _planned(self._encoder.plan_queries([query.text])[0])

    def question_states(self, rows: Sequence[TokenRow], folder: Path, step: Step) -> States:
        """Computed, or read where a killed run left them."""
        return self._states(rows, folder / "questions.npy", "questions encoded", step)

    def chunks(
        self, collection: str, chunks: Sequence[StoredChunk], folder: Path, step: Step
    ) -> tuple[list[TokenRow], States]:
        """Computed, or read where a killed run left them."""
        plans = self._encoder.plan_documents([one.chunk.passage(one.document.title) for one in chunks])
        rows = [_planned(plan) for plan in plans]
        return rows, self._states(rows, folder / "chunks.npy", "chunks encoded", step)

    def _states(self, rows: Sequence[TokenRow], path: Path, what: str, step: Step) -> States:
        """A memory map beside `path`, named by what was read: the states of other texts are not taken for these."""
        bounds = _bounds(rows)
        content = hashlib.sha256(bounds.tobytes() + b"".join(row.content.tobytes() for row in rows)).hexdigest()[:16]
        path.parent.mkdir(parents=True, exist_ok=True)
        path = path.with_stem(f"{path.stem}-{content}")
        if not path.is_file():
            draft = path.with_suffix(".draft")
            data = np.lib.format.open_memmap(draft, "w+", np.uint16, (int(bounds[-1]), self._encoder.width))
            for done, (row, states) in enumerate(self._encoder.lower([row.content for row in rows]), start=1):
                data[bounds[row] : bounds[row + 1]] = states
                step(what, done, len(rows))
            data.flush()
            draft.rename(path)
        return States(np.load(path, mmap_mode="r"), bounds)


def _planned(plan: Plan) -> TokenRow:
    window = plan.windows[0]
    count = len(window.take)
    return TokenRow(window.take, plan.ids[:count], plan.offsets[:count], window.ids)


def _bounds(rows: Sequence[TokenRow]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum([len(row.content) for row in rows]))).astype(np.int64)
