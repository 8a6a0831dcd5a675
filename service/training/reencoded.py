"""Candidates as they would be after ingestion with other encoder layers, without ingesting anything.

Whether newly trained layers are better must be known before a corpus is encoded with them. Only the chunks that
retrieval proposes for the held-out questions are read, each once, from the states that training kept; the scores of
both indexes stay as they are, because training holds the sentence vectors in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from attention_core.examples import States
from attention_core.projection import unit_rows
from domain.protocols import Reranker, TokenCodec
from domain.search import Candidate, Query, ScoredChunk, TokenVectors
from service.training.data import Collected
from service.training.tokens import TokenRow

if TYPE_CHECKING:
    from retrieval.embedders.split import SplitEncoder

_AT_ONCE = 32  # chunks of one pass


class ReencodedReranker:
    """A reranker over tokens read with the layers of `encoder` as they are now, packed with `codec`.

    It knows the questions and chunks of `collected`; others pass as they are.
    """

    def __init__(self, reranker: Reranker, encoder: SplitEncoder, codec: TokenCodec, collected: Collected) -> None:
        self.name = reranker.name
        self._reranker, self._encoder, self._codec, self._collected = reranker, encoder, codec, collected
        self._blobs: dict[int, bytes] = {}

    def rerank(self, query: Query, candidates: Sequence[Candidate]) -> list[ScoredChunk]:
        """As the reranker would after ingestion with these layers."""
        return self._reranker.rerank(self._query(query), self._candidates(candidates))

    def _query(self, query: Query) -> Query:
        row = self._collected.question_rows.get(query.text)
        if row is None:
            return query
        states, known = self._collected.training.question_states, self._collected.question_tokens
        return replace(query, tokens=self._tokens(states, known, [row])[0])

    def _candidates(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        rows = self._collected.chunk_rows
        new = [one.chunk.key for one in candidates if one.chunk.key in rows and one.chunk.key not in self._blobs]
        states, known = self._collected.training.chunk_states, self._collected.chunk_tokens
        for start in range(0, len(new), _AT_ONCE):
            keys = new[start : start + _AT_ONCE]
            for key, tokens in zip(keys, self._tokens(states, known, [rows[key] for key in keys]), strict=True):
                self._blobs[key] = self._codec.encode(tokens)
        return [_with_blob(one, self._blobs.get(one.chunk.key)) for one in candidates]

    def _tokens(self, states: States, known: Sequence[TokenRow], rows: Sequence[int]) -> list[TokenVectors]:
        output = self._encoder.read(*states.padded(rows))
        return [
            TokenVectors(unit_rows(output[at, known[row].take]), known[row].ids, known[row].offsets)
            for at, row in enumerate(rows)
        ]


def _with_blob(one: Candidate, blob: bytes | None) -> Candidate:
    return one if blob is None else replace(one, stored=replace(one.stored, token_blob=blob))
