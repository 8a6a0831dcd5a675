"""A Reranker that keeps the retriever's order: for comparison, and for corpora where attention does not help."""

from __future__ import annotations

from collections.abc import Sequence

from domain.search import Candidate, Query, ScoredChunk, ScoredSentence


class FusedOrder:
    """Scores the chunk at rank r (from 1) 1 / r, and each of its sentences the same."""

    name = "none"

    def rerank(self, query: Query, candidates: Sequence[Candidate]) -> list[ScoredChunk]:
        """All candidates in the order in which they came."""
        return [
            ScoredChunk(
                candidate.stored,
                1 / rank,
                tuple(ScoredSentence(sentence, 1 / rank) for sentence in candidate.chunk.sentences),
                dict(candidate.scores),
            )
            for rank, candidate in enumerate(candidates, 1)
        ]
