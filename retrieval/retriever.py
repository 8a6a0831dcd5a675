"""A question to its candidate chunks: by meaning and by words, fused, and joined back to the store.

    question ─┬─ vector index  ── hits ─┐
              └─ lexical index ── hits ─┴─ reciprocal rank fusion ── store: texts and token vectors ── candidates

The indexes are caches and may lag behind the store, so a hit counts only if the store still has its chunk; and
near-copies beyond the third count as none (`crowding.py`). When too few of the first are left, the rest of the fused
list is fetched, and after that both indexes are asked once more, for more. The two searches run one after the other:
the lexical one takes about a millisecond, too little to hand over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from domain.document_store import DocumentStore
from domain.errors import DomainError
from domain.protocols import IndexReader
from domain.search import Candidate, Hit, Query, QueryTerm, StoredChunk
from retrieval.crowding import Places
from retrieval.fusion import RRF_K, reciprocal_rank_fusion

# How much deeper the indexes are searched when the store had too few of the first hits.
_DEEPER = 4


@dataclass(frozen=True, slots=True)
class _Ranking:
    """What both indexes say: scores by key, the fused order, and whether an index may hold more."""

    dense: dict[int, float]
    lexical: dict[int, float]
    fused: dict[int, float]  # best first
    truncated: bool


class HybridRetriever:
    """Finds candidates with both indexes of a collection.

    `open_reader` gives the indexes of a collection at one moment. `dense_k` and `lexical_k` are the hits taken from
    each index, more where more candidates are asked for; 0 switches an index off. `weights` are their shares in the
    fusion.
    """

    def __init__(
        self,
        store: DocumentStore,
        open_reader: Callable[[str], IndexReader],
        *,
        dense_k: int = 50,
        lexical_k: int = 50,
        rrf_k: int = RRF_K,
        weights: tuple[float, float] = (1.0, 1.0),
        with_tokens: bool = True,
    ) -> None:
        if dense_k < 0 or lexical_k < 0 or dense_k + lexical_k == 0:
            raise DomainError(f"dense_k={dense_k}, lexical_k={lexical_k}: neither below 0, and at least one above.")
        self._store, self._open_reader = store, open_reader
        self._dense_k, self._lexical_k = dense_k, lexical_k
        self._rrf_k, self._weights, self._with_tokens = rrf_k, weights, with_tokens

    def search(self, query: Query, k: int) -> list[Candidate]:
        """At most `k` candidates, best first by fused score; [] for an empty collection. Near-copies beyond the third
        of a text come on top, at most `k` of them.

        A candidate has its "dense" and its "lexical" score also where only the other index proposed it; "lexical" is
        left out where the chunk has no word of the question.
        """
        allowed = self._allowed(query)
        if k <= 0 or (allowed is not None and not allowed):
            return []
        reader, collection = self._open_reader(query.filters.collection), query.filters.collection
        ranking = self._rank(reader, query, k, allowed)
        places = self._fetch(collection, list(ranking.fused), k)
        if places.free and ranking.truncated:
            ranking = self._rank(reader, query, _DEEPER * k, allowed, deeper=_DEEPER)
            places = self._fetch(collection, list(ranking.fused), k)
        return self._candidates(reader, query, ranking, places.kept)

    def question_terms(self, collection: str, text: str) -> tuple[QueryTerm, ...]:
        """The terms of a question with their IDF in the collection: `Query.terms`."""
        return self._open_reader(collection).lexical.terms(text)

    def _allowed(self, query: Query) -> frozenset[int] | None:
        return self._store.keys_matching(query.filters) if query.filters.restrict_documents else None

    def _rank(
        self, reader: IndexReader, query: Query, k: int, allowed: Collection[int] | None, deeper: int = 1
    ) -> _Ranking:
        dense_k, lexical_k = (max(depth * deeper, k) if depth else 0 for depth in (self._dense_k, self._lexical_k))
        dense = reader.vector.search(query.vector, dense_k, allowed) if dense_k else []
        lexical = reader.lexical.search(query.text, lexical_k, allowed) if lexical_k else []
        order = [[hit.key for hit in hits] for hits in (dense, lexical)]
        fused = dict(reciprocal_rank_fusion(order, self._rrf_k, self._weights))
        truncated = 0 < dense_k == len(dense) or 0 < lexical_k == len(lexical)
        return _Ranking(_scores(dense), _scores(lexical), fused, truncated)

    def _fetch(self, collection: str, keys: list[int], k: int) -> Places:
        """The first `k` chunks, in the order of `keys`, that the store has: one SELECT, or more when some are gone or
        copies.
        """
        places = Places(k)
        for first in range(0, len(keys), k):
            part = keys[first : first + k]
            found = self._store.get_chunks(collection, part, self._with_tokens)
            for key in part:
                if key in found:
                    places.offer(found[key])
            if not places.free:
                break
        return places

    def _candidates(
        self, reader: IndexReader, query: Query, ranking: _Ranking, stored: list[StoredChunk]
    ) -> list[Candidate]:
        keys = [one.chunk.key for one in stored]
        # A search among a few named keys costs a fraction of a full one, and gives the reranker both scores of each.
        undense = [key for key in keys if key not in ranking.dense] if self._dense_k else []
        unlexical = [key for key in keys if key not in ranking.lexical] if self._lexical_k else []
        by_meaning, by_words = reader.vector.search, reader.lexical.search
        dense = ranking.dense | _scores(by_meaning(query.vector, len(undense), undense) if undense else [])
        lexical = ranking.lexical | _scores(by_words(query.text, len(unlexical), unlexical) if unlexical else [])
        parts = {"dense": dense, "lexical": lexical, "fused": ranking.fused}
        return [
            Candidate(one, {name: scores[one.chunk.key] for name, scores in parts.items() if one.chunk.key in scores})
            for one in stored
        ]


def _scores(hits: list[Hit]) -> dict[int, float]:
    return {hit.key: hit.score for hit in hits}
