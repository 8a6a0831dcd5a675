"""Other ways of choosing evidence, over the candidates that the product itself reranks.

    dense top-k              whole chunks by cosine: what ordinary retrieval-augmented generation sends
    MMR                      whole chunks, each chosen for being near the question and unlike those before it
    long-context reorder     the chunks of dense top-k, laid out with the best ones at both ends
    sentence window          sentences by cosine, each with the sentence before and the one behind it
    BM25 sentences           sentences by the question's words

A method gives pieces, best first; a piece is one sentence or several neighbours of one chunk. What a budget holds of
them is laid out as the product lays out its own evidence, so that curves differ by the choice alone. What k pieces
cost is their bare text, without labels, marks or separators: the leanest prompt that they could have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from attention_core.batching import lay_out
from attention_core.codec import batched
from attention_core.pooling import segment_sum
from context.drafts import chunk_sentences
from domain.documents import Chunk
from domain.protocols import TokenCodec
from domain.search import Candidate, FloatArray, Query

_BM25_K1, _BM25_B = 1.2, 0.75  # Robertson & Zaragoza 2009; also those of the lexical index
_MMR_BALANCE = 0.5  # what LangChain and LlamaIndex preset


@dataclass(frozen=True, slots=True)
class Piece:
    """Sentences of one candidate that are sent together: the places, ascending, in `chunk_sentences` of its chunk."""

    candidate: int
    places: tuple[int, ...]


class Baseline(Protocol):
    """A way to choose evidence. `piece` is the word for what it chooses, `note` says how it is run."""

    name: str
    piece: str
    note: str

    def pieces(self, query: Query, candidates: Sequence[Candidate]) -> list[Piece]:
        """What to send, best first."""
        ...


# -- whole chunks ----------------------------------------------------------------------------------------------------


class DenseTopK:
    name = "dense top-k"
    piece = "chunk"
    note = "whole chunks by cosine, the last one cut at a sentence end"

    def pieces(self, query: Query, candidates: Sequence[Candidate]) -> list[Piece]:
        return [_whole(candidates, at) for at in _by_cosine(candidates)]


class LongContextReorder(DenseTopK):
    """Liu et al. 2023 place the best chunks at both ends of the prompt. That changes what a model makes of evidence,
    not which evidence it gets, so here it can only equal `DenseTopK`.
    """

    name = "long-context reorder"
    note = "the chunks of dense top-k in another order, so tokens and recall are the same by construction"


class MaximalMarginalRelevance:
    """Carbonell & Goldstein 1998: next comes what maximises balance * cosine(question) - (1 - balance) * the highest
    cosine to a chunk that was chosen before.
    """

    name = "MMR"
    piece = "chunk"
    note = f"whole chunks, balance {_MMR_BALANCE:g} between relevance and novelty"

    def __init__(self, vectors: ChunkVectors) -> None:
        self._vectors = vectors

    def pieces(self, query: Query, candidates: Sequence[Candidate]) -> list[Piece]:
        rows = self._vectors.of([item.chunk for item in candidates])  # (C, D)
        relevance = rows @ query.vector  # (C,)
        return [_whole(candidates, at) for at in _mmr_order(relevance, rows @ rows.T)]


def _mmr_order(relevance: FloatArray, likeness: FloatArray) -> list[int]:
    """The order in which candidates are chosen; relevance (C,), likeness (C, C). Ties go to the earlier candidate."""
    chosen: list[int] = []
    worth = _MMR_BALANCE * relevance.astype(np.float64)
    nearest = np.full(len(relevance), -np.inf)
    while len(chosen) < len(relevance):
        penalty = (1 - _MMR_BALANCE) * nearest if chosen else 0.0
        value = worth - penalty
        value[chosen] = -np.inf
        chosen.append(int(value.argmax()))
        nearest = np.maximum(nearest, likeness[:, chosen[-1]])
    return chosen


class ChunkVectors:
    """The sentence vectors of a collection's chunks, held in memory as the vector index holds them."""

    def __init__(self, batches: Iterable[tuple[list[int], FloatArray]], dim: int) -> None:
        """`batches` as `DocumentStore.iter_vectors` gives them."""
        keys: list[int] = []
        rows = [np.empty((0, dim), dtype=np.float32)]
        for some, vectors in batches:
            keys += some
            rows.append(vectors)
        self._row = {key: at for at, key in enumerate(keys)}
        self._rows = np.concatenate(rows)
        self._none = np.zeros(dim, dtype=np.float32)  # for a chunk that came after: like nothing, and chosen last

    def of(self, chunks: Sequence[Chunk]) -> FloatArray:
        """Shape (C, D), unit rows."""
        rows = (self._row.get(chunk.key) for chunk in chunks)
        found = [self._none if at is None else self._rows[at] for at in rows]
        return np.array(found, dtype=np.float32).reshape(len(chunks), len(self._none))


def _by_cosine(candidates: Sequence[Candidate]) -> list[int]:
    return sorted(range(len(candidates)), key=lambda at: -candidates[at].scores.get("dense", -1.0))


def _whole(candidates: Sequence[Candidate], at: int) -> Piece:
    return Piece(at, tuple(range(len(chunk_sentences(candidates[at].chunk)))))


# -- sentences -------------------------------------------------------------------------------------------------------


class SentenceWindow:
    """A sentence's vector is the mean of its stored token vectors, as the encoder makes its own from all tokens."""

    name = "sentence window"
    piece = "window of three sentences"
    note = "sentences by cosine with one neighbour on either side; vectors are means of the stored token vectors"

    def __init__(self, codec: TokenCodec) -> None:
        self._codec = batched(codec)

    def pieces(self, query: Query, candidates: Sequence[Candidate]) -> list[Piece]:
        """None for a question or chunks without token vectors."""
        ready = [at for at, item in enumerate(candidates) if item.stored.token_blob and item.chunk.sentences]
        if query.tokens is None or not len(query.tokens) or not ready:
            return []
        chunks = [candidates[at].chunk for at in ready]
        cosines = self._cosines(query.tokens.vectors, chunks, [candidates[at].stored.token_blob or b"" for at in ready])
        owners = [(at, place) for at, chunk in zip(ready, chunks, strict=True) for place in range(len(chunk.sentences))]
        return [self._around(candidates, *owners[row]) for row in np.argsort(-cosines, kind="stable").tolist()]

    def _cosines(self, question: FloatArray, chunks: Sequence[Chunk], blobs: Sequence[bytes]) -> FloatArray:
        """Of every sentence of the chunks with the question's token vectors (Tq, D): shape (S,)."""
        batch = self._codec.decode_many(blobs)
        layout = lay_out(chunks, batch.counts, batch.offsets)
        sums = segment_sum(batch.vectors(), layout.token_sentence, layout.n_sentences)  # (S, d)
        wanted = self._codec.project(question).mean(axis=0)
        lengths = np.linalg.norm(sums, axis=1) * np.linalg.norm(wanted)
        cosines: FloatArray = (sums @ wanted) / np.maximum(lengths, 1e-12)
        return cosines

    @staticmethod
    def _around(candidates: Sequence[Candidate], at: int, place: int) -> Piece:
        last = len(candidates[at].chunk.sentences) - 1
        return Piece(at, tuple(range(max(0, place - 1), min(last, place + 1) + 1)))


class BM25Sentences:
    """Terms weigh what they weigh in the whole collection; a sentence's length counts against that of the candidates'
    sentences.
    """

    name = "BM25 sentences"
    piece = "sentence"
    note = "single sentences by the question's words"

    def __init__(self, terms_of: Callable[[str], list[str]]) -> None:
        """`terms_of` gives the index terms of a text, for example `Analyzer.index_terms`."""
        self._terms_of = terms_of
        self._known: dict[str, list[Counter[str]]] = {}

    def pieces(self, query: Query, candidates: Sequence[Candidate]) -> list[Piece]:
        idf = {term.term: term.idf for term in query.terms}
        places = [
            (at, place, terms)
            for at, item in enumerate(candidates)
            for place, terms in enumerate(self._terms(item.chunk))
        ]
        scores = _bm25([terms for *_, terms in places], idf)
        order = np.argsort(-scores, kind="stable").tolist()
        return [Piece(places[row][0], (places[row][1],)) for row in order if scores[row] > 0]

    def _terms(self, chunk: Chunk) -> list[Counter[str]]:
        known = self._known.get(chunk.id)
        if known is None:
            texts = (chunk.sentence_text(sentence) for sentence in chunk_sentences(chunk))
            known = self._known[chunk.id] = [Counter(self._terms_of(text)) for text in texts]
        return known


def _bm25(sentences: Sequence[Counter[str]], idf: dict[str, float]) -> NDArray[np.float64]:
    """Scores (S,) of sentences for weighted terms."""
    lengths = np.array([terms.total() for terms in sentences], dtype=np.float64)
    pivot = 1 - _BM25_B + _BM25_B * lengths / max(lengths.mean() if len(lengths) else 0.0, 1e-12)
    scores = np.zeros(len(sentences))
    for term, weight in idf.items():
        times = np.array([terms[term] for terms in sentences], dtype=np.float64)
        scores += weight * times * (_BM25_K1 + 1) / (times + _BM25_K1 * pivot)
    return scores
