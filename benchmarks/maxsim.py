"""Frozen late interaction, the baseline that a trained reranker must beat: the mean of each question token's maximum
(Khattab & Zaharia 2020, "ColBERT"), of a chunk and of a sentence, no weights, no other score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attention_core.batching import lay_out
from attention_core.codec import QuantizedTokenCodec
from attention_core.pooling import segment_max
from attention_core.reranker import similarities
from domain.search import Candidate, Query, ScoredChunk, ScoredSentence


class MaxSim:
    """Scores by the mean best match over stored token vectors."""

    name = "maxsim"

    def __init__(self, codec: QuantizedTokenCodec) -> None:
        self._codec = codec

    def rerank(self, query: Query, candidates: Sequence[Candidate]) -> list[ScoredChunk]:
        """All candidates, best first."""
        if query.tokens is None:
            raise ValueError("MaxSim needs the question's token vectors.")
        batch = self._codec.decode_many([item.stored.token_blob or b"" for item in candidates])
        layout = lay_out([item.chunk for item in candidates], batch.counts, batch.offsets)
        similarity = similarities(batch, self._codec.project(query.tokens.vectors))
        matches = segment_max(similarity, layout.token_sentence, layout.n_sentences, empty=0.0)
        sentences = matches.mean(axis=1).tolist()
        chunks = segment_max(matches, layout.sentence_chunk, layout.n_chunks, empty=0.0).mean(axis=1)
        bounds = layout.first_sentence
        scored = [
            ScoredChunk(
                item.stored,
                float(chunks[at]),
                tuple(map(ScoredSentence, item.chunk.sentences, sentences[bounds[at] : bounds[at + 1]])),
                item.scores,
            )
            for at, item in enumerate(candidates)
        ]
        return [scored[at] for at in np.argsort(-chunks, kind="stable")]
