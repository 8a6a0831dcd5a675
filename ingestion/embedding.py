"""Encoding the chunks of many documents in full batches.

Small documents would make small batches, and texts of unequal length make batches that are mostly padding. So chunks
wait in a backlog across documents; a window of it is sorted by length and encoded batch by batch. A document is
complete when its last chunk is. Of the token vectors only one batch is ever in memory: each is packed at once and put
into the document's spool; sentence vectors stay (4 bytes * dim a chunk).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from domain.documents import Chunk, Document, Passage
from domain.errors import FoveaError
from domain.jobs import ErrorInfo
from domain.protocols import Embedder, TokenCodec, TokenEncoder
from domain.search import FloatArray
from ingestion.preparation import error_info
from ingestion.spool import BlobSpool

_NORM_TOLERANCE = 1e-3


class EncodedDocument:
    """A document whose vectors are arriving. `error` is set when one never will; then the rest is not encoded."""

    def __init__(self, document: Document, chunks: tuple[Chunk, ...], dim: int) -> None:
        self.document = document
        self.chunks = chunks
        self.vectors: FloatArray = np.empty((len(chunks), dim), dtype=np.float32)
        self.blobs = BlobSpool(len(chunks))
        self.error: ErrorInfo | None = None
        self._missing = len(chunks)

    @property
    def complete(self) -> bool:
        return self._missing == 0 or self.error is not None

    def put(self, index: int, vector: FloatArray, blob: bytes | None) -> None:
        self.vectors[index] = vector
        if blob is not None:
            self.blobs.put(index, blob)
        self._missing -= 1

    def passage(self, index: int) -> Passage:
        return self.chunks[index].passage(self.document.title)

    def close(self) -> None:
        self.blobs.close()


@dataclass(frozen=True, slots=True)
class _Waiting:
    owner: EncodedDocument
    index: int

    @property
    def length(self) -> int:
        return self.owner.chunks[self.index].token_count


class EncodingBacklog:
    """Chunks that wait for the encoder, in the order in which their documents were added."""

    def __init__(self, encoder: Embedder, codec: TokenCodec | None, batch_size: int, window: int) -> None:
        self._encoder = encoder
        self._codec = codec
        self._batch_size = batch_size
        self._window = window
        self._waiting: deque[_Waiting] = deque()

    def add(self, document: EncodedDocument) -> None:
        self._waiting.extend(_Waiting(document, index) for index in range(len(document.chunks)))

    @property
    def full(self) -> bool:
        """True when a whole window waits, so that nothing is gained by waiting longer."""
        return len(self._waiting) >= self._window

    def __len__(self) -> int:
        return len(self._waiting)

    def encode_window(self) -> Iterator[int]:
        """Encode the oldest window of the backlog, all of it when it is smaller; yield the size of each batch done.

        A batch that fails is tried again document by document, so that only the document at fault fails.
        """
        size = min(self._window, len(self._waiting))
        window = [self._waiting.popleft() for _ in range(size)]
        # Longest first: if a batch is too large for the memory, that shows at once. The sort is stable.
        window.sort(key=lambda waiting: -waiting.length)
        for start in range(0, size, self._batch_size):
            batch = [waiting for waiting in window[start : start + self._batch_size] if waiting.owner.error is None]
            self._encode_apart_on_error(batch)
            yield len(batch)

    def _encode_apart_on_error(self, batch: Sequence[_Waiting]) -> None:
        owners = list(dict.fromkeys(waiting.owner for waiting in batch))
        try:
            results = self._encode([waiting.owner.passage(waiting.index) for waiting in batch])
        except Exception as error:
            if len(owners) == 1:
                owners[0].error = error_info(error, owners[0].document.source)
                return
            for owner in owners:
                self._encode_apart_on_error([waiting for waiting in batch if waiting.owner is owner])
            return
        for waiting, (vector, blob) in zip(batch, results, strict=True):
            self._accept(waiting, vector, blob)

    def _accept(self, waiting: _Waiting, vector: FloatArray, blob: bytes | None) -> None:
        owner = waiting.owner
        if owner.error is None:
            try:
                check_vector(vector, self._encoder)
            except FoveaError as error:
                owner.error = error_info(error, owner.document.source)
            else:
                owner.put(waiting.index, vector, blob)

    def _encode(self, passages: Sequence[Passage]) -> list[tuple[FloatArray, bytes | None]]:
        if not passages:
            return []
        if self._codec is not None and isinstance(self._encoder, TokenEncoder):
            encodings = self._encoder.encode_documents(passages)
            return [(encoding.vector, self._codec.encode(encoding.tokens)) for encoding in encodings]
        texts = [f"{passage.lead}\n{passage.text}" if passage.lead else passage.text for passage in passages]
        return [(vector, None) for vector in self._encoder.embed_documents(texts)]


def check_vector(vector: FloatArray, encoder: Embedder) -> None:
    """Refuse a vector that would poison an index: wrong width, not finite, not of unit length (1 +- 1e-3).

    Raises FoveaError with code "bad_vectors".
    """
    shape = np.shape(vector)
    norm = float(np.linalg.norm(vector)) if shape == (encoder.dim,) else math.nan
    if not abs(norm - 1.0) <= _NORM_TOLERANCE:  # also false for NaN
        found = f"shape {shape}" if shape != (encoder.dim,) else f"length {norm:.6g}"
        raise FoveaError(
            f"The encoder {encoder.model_id!r} gave a vector of {found} where unit vectors of {encoder.dim} dimensions "
            "are needed; the document was not stored. Check the model's files and ingest it again.",
            code="bad_vectors",
        )
