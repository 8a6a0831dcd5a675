"""New vectors for a collection whose encoder has changed, without reading its documents again.

    chunks of SQL -> encoder -> kept aside in SQL, batch by batch -> swapped in one transaction -> indexes made anew

The collection is what it was until the swap: its old vectors serve whoever has the old encoder, and a search with the
new one is refused as before, for vectors of two encoders are never mixed. A run that is killed goes on where it was.
Chunks stay as they were cut; a document is cut anew when its source is ingested the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from domain.documents import Passage
from domain.errors import FoveaError
from domain.protocols import Embedder, TokenCodec, TokenEncoder
from domain.search import FloatArray
from service.storage.reembedding import EncoderIdentity, SqlReembedding

_BATCH = 32
_AT_ONCE = 512  # chunks sorted by length together, so that batches are not padding

Progress = Callable[[int, int], None]


class Reembedder:
    """Encodes all chunks of a collection with `encoder`, and its tokens where the encoder gives some."""

    def __init__(self, vectors: SqlReembedding, encoder: Embedder, codec: TokenCodec) -> None:
        self._vectors, self._encoder, self._codec = vectors, encoder, codec

    def run(self, collection: str, progress: Progress | None = None) -> int:
        """How many chunks were encoded; those of an interrupted run are not encoded again.

        Raises NotFound, and FoveaError with code "bad_vectors" for an encoder whose vectors cannot be used.
        """
        identity = EncoderIdentity(self._encoder.model_id, self._encoder.dim, self._codec.codec_id)
        kept, total = self._vectors.begin(collection, identity)
        encoded = 0
        while True:
            keys, passages = self._vectors.pending(collection, _AT_ONCE)
            if not keys and self._vectors.swap(collection, identity):
                return encoded
            for part in _by_length(passages):
                vectors, blobs = self._encode([passages[at] for at in part])
                self._vectors.keep(collection, identity, [keys[at] for at in part], vectors, blobs)
                encoded += len(part)
                if progress is not None:
                    progress(kept + encoded, total)

    def _encode(self, passages: Sequence[Passage]) -> tuple[FloatArray, list[bytes | None]]:
        if isinstance(self._encoder, TokenEncoder):
            encodings = self._encoder.encode_documents(passages)
            vectors = np.stack([np.asarray(item.vector, np.float32) for item in encodings])
            blobs: list[bytes | None] = [self._codec.encode(item.tokens) for item in encodings]
        else:
            texts = [f"{item.lead}\n{item.text}" if item.lead else item.text for item in passages]
            vectors, blobs = self._encoder.embed_documents(texts), [None] * len(texts)
        if not np.isfinite(vectors).all():
            raise FoveaError(
                f"The encoder {self._encoder.model_id!r} gave vectors that are not finite; the collection keeps those "
                "that it has. Check the model's files and run it again.",
                code="bad_vectors",
            )
        return vectors, blobs


def _by_length(passages: Sequence[Passage]) -> list[list[int]]:
    """Positions in batches of similar length, the longest first: what is too large for the memory shows at once."""
    order = sorted(range(len(passages)), key=lambda at: -len(passages[at].text))
    return [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
