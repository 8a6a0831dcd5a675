"""Explains a score: where the attention of a question went in one document.

    document (id or source) ─ its own best chunks ─┐
    question ─ a search without filters ───────────┴─ one attention pass ─ weights by sentence, token and head

A weight says little by itself: attention is a competition, and in a document that is looked at alone every question
token finds something to look at. So the candidates that a search of the collection would have attended to take part,
which costs one more retrieval and the same single pass. All weights are relative to the tokens of both, and a chunk's
score is the one that it has in that search. The parts of a sentence's score add up to its raw score, that of the pass
itself; a map, that of the weights or of the collection's calibration, makes the score of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from domain.documents import Chunk, Span, document_id, page_of
from domain.errors import NotFound, UsageError
from domain.explanation import AttendedChunk, AttendedSentence, AttendedToken, Explanation, Matrix, QuestionToken
from domain.jobs import DocumentInfo
from domain.search import (
    AttentionWeights,
    Candidate,
    FloatArray,
    IntArray,
    Query,
    ScoredChunk,
    ScoredSentence,
    TokenVectors,
)
from service.parts import Parts
from service.scoring import Scoring

Explain: TypeAlias = Callable[[Query, Sequence[Candidate]], list[ScoredChunk]]

DEFAULT_CHUNKS = 3
_DECIMALS = 4

# The pass holds heads x question tokens x stored tokens at once: 128 x 100 chunks of 200 tokens are 10 MB a head. A
# longer question could not be read as a picture either.
_MAX_QUESTION_TOKENS = 128

# About 7 MB of JSON, and 32 MB of Python's own numbers while it is written.
_MAX_FULL_WEIGHTS = 1_000_000


def explain_document(parts: Parts, query: Query, document: str, chunks: int, full: bool) -> Explanation:
    """Where the question's attention went in `document`, an id or a source of the collection that the query names.

    The document's own chunks are found by a search that is kept to it, at most `parts.candidates` of them; the best
    `chunks` are given in full. Weights are relative to those chunks and to the candidates of a search of the whole
    collection. Raises NotFound for a document that is not there, UsageError where there is no attention to show.
    """
    if chunks < 1:
        raise UsageError(f"chunks is {chunks}; at least 1 must be shown.")
    scoring = parts.scoring.of(query.filters.collection)
    explain, tokens = _explain_of(parts, scoring), _tokens_of(parts, query)
    info = _find(parts, query.filters.collection, document)
    raw = explain(query, _candidates(parts, query, info.id))
    everything = scoring.calibrated(query, raw)
    own = [one for one in everything if one.document.id == info.id]
    unmapped = {one.chunk.key: one.sentences for one in raw}
    weighed = [one.attention for one in own if one.attention is not None]
    if not weighed:
        raise UsageError(
            f"The chunks of {info.source!r} are stored without token vectors; ingest it again to have it explained.",
            code="attention_off",
        )
    shown = own[:chunks]
    if full:
        _check_size([one.attention for one in shown if one.attention is not None])
    n_heads = len(weighed[0].weights)
    return Explanation(
        question=query.text,
        document_id=info.id,
        source=info.source,
        title=info.title,
        collection=info.collection,
        reranker=scoring.reranker.name,
        heads=_head_names(scoring.reranker, n_heads),
        question_tokens=_question_tokens(query.text, tokens, weighed),
        chunks=tuple(
            _attended(one, unmapped[one.chunk.key], one.attention or _nowhere(n_heads, tokens), full) for one in shown
        ),
        attended_chunks=len(own),
    )


def _explain_of(parts: Parts, scoring: Scoring) -> Explain:
    explain: Explain | None = getattr(scoring.reranker, "explain", None)
    if explain is not None:
        return explain
    if scoring.reranker is not parts.reranker:
        raise UsageError(
            "Attention is off: the calibration of this collection found that it does not help there; "
            "'fovea doctor' says more.",
            code="attention_off",
        )
    raise UsageError(
        f"Attention is off: the reranker {scoring.reranker.name!r} keeps no weights that could be shown; "
        "set FOVEA_RETRIEVAL__RERANKER to attention.",
        code="attention_off",
    )


def _tokens_of(parts: Parts, query: Query) -> TokenVectors:
    if query.tokens is None or not len(query.tokens):
        raise UsageError(
            f"Attention is off: the encoder {parts.encoder.model_id!r} gives no token vectors for this question; "
            "choose an encoder that gives them, for example the default one.",
            code="attention_off",
        )
    if len(query.tokens) > _MAX_QUESTION_TOKENS:
        raise UsageError(
            f"The question has {len(query.tokens)} tokens; at most {_MAX_QUESTION_TOKENS} are explained. Shorten it.",
            code="question_too_long",
        )
    return query.tokens


def _find(parts: Parts, collection: str, document: str) -> DocumentInfo:
    """The document with this id, else the one that was ingested from this source. Raises NotFound."""
    elsewhere = None
    for identity in (document, document_id(parts.tenant, collection, document)):
        try:
            info = parts.store.get_info(identity)
        except NotFound:
            continue
        if info.collection != collection:
            elsewhere = info.collection
        elif not info.chunks:
            raise NotFound(
                f"Document {document!r} has never been read{f': {info.error.message}' if info.error else '.'}"
            )
        else:
            return info
    if elsewhere is not None:
        raise NotFound(f"Document {document!r} is in the collection {elsewhere!r} and not in {collection!r}; name it.")
    raise NotFound(
        f"There is no document with the id or source {document!r} in the collection {collection!r}. "
        "'fovea list' shows those that exist."
    )


def _candidates(parts: Parts, query: Query, identity: str) -> list[Candidate]:
    """The document's own chunks, then the candidates of a search; a chunk that is both counts as the search has it."""
    within = replace(query, filters=replace(query.filters, document_ids=frozenset((identity,))))
    own = parts.retriever.search(within, parts.candidates)
    found = parts.retriever.search(query, parts.candidates)
    return list({one.chunk.key: one for one in (*own, *found)}.values())


def _check_size(shown: Sequence[AttentionWeights]) -> None:
    total = sum(one.weights.size for one in shown)
    if total > _MAX_FULL_WEIGHTS:
        raise UsageError(
            f"All weights of {len(shown)} chunks are {total:,} numbers; at most {_MAX_FULL_WEIGHTS:,} are given. "
            "Ask for fewer chunks.",
            code="explanation_too_large",
        )


def _head_names(reranker: Any, n_heads: int) -> tuple[str, ...]:
    """The names that the reranker gives its heads, else their numbers from 1."""
    names = getattr(reranker, "head_names", None)
    if names is not None and len(names) == n_heads:
        return tuple(names)
    return tuple(f"head {number}" for number in range(1, n_heads + 1))


def _nowhere(n_heads: int, tokens: TokenVectors) -> AttentionWeights:
    """The weights of a chunk without token vectors, which nothing could look at."""
    return AttentionWeights(
        np.zeros((n_heads, len(tokens), 0), dtype=np.float32), tokens.offsets, np.zeros((0, 2), dtype=np.int32)
    )


def _question_tokens(
    question: str, tokens: TokenVectors, weighed: Sequence[AttentionWeights]
) -> tuple[QuestionToken, ...]:
    placed = sum(one.weights.sum(axis=2, dtype=np.float64) for one in weighed)  # (H, Tq)
    coverage = np.minimum(np.asarray(placed), 1.0).T  # a sum of float32 shares may end a hair above 1
    return tuple(
        QuestionToken(Span(start, end), question[start:end], _row(shares))
        for (start, end), shares in zip(tokens.offsets.tolist(), coverage, strict=True)
    )


def _attended(
    scored: ScoredChunk, raw: Sequence[ScoredSentence], attention: AttentionWeights, full: bool
) -> AttendedChunk:
    chunk = scored.chunk
    mass = attention.weights.sum(axis=1, dtype=np.float64)  # (H, Td)
    return AttendedChunk(
        chunk_id=chunk.id,
        span=chunk.span,
        page=page_of(chunk.pages, chunk.span.start),
        heading_path=chunk.heading_path,
        score=_number(scored.score),
        weights=_row(mass.sum(axis=1)),
        sentences=_sentences(scored, raw, mass, attention.token_offsets),
        tokens=_tokens(chunk, mass, attention.token_offsets),
        matrix=_matrix(attention.weights) if full else None,
    )


def _sentences(
    scored: ScoredChunk, raw: Sequence[ScoredSentence], mass: NDArray[np.float64], offsets: IntArray
) -> tuple[AttendedSentence, ...]:
    """Each sentence with the mass of the tokens that begin in it, or in the blank before it.

    That is how the reranker assigns them; tokens behind the last sentence belong to the last.
    """
    chunk = scored.chunk
    before = {one.sentence.ordinal: one.score for one in raw if one.parts}
    ends = np.array([one.sentence.span.end - chunk.span.start for one in scored.sentences], dtype=np.int64)
    place = np.minimum(np.searchsorted(ends, offsets[:, 0], side="right"), len(ends) - 1)  # (Td,)
    return tuple(
        AttendedSentence(
            span=one.sentence.span,
            text=chunk.sentence_text(one.sentence),
            score=_number(one.score),
            weights=_row(mass[:, place == at].sum(axis=1)),
            parts={name: _number(value) for name, value in (one.parts or {}).items()},
            raw_score=_number(before[one.sentence.ordinal]) if one.sentence.ordinal in before else None,
        )
        for at, one in enumerate(scored.sentences)
    )


def _tokens(chunk: Chunk, mass: NDArray[np.float64], offsets: IntArray) -> tuple[AttendedToken, ...]:
    return tuple(
        AttendedToken(Span(start, end).shifted(chunk.span.start), chunk.text[start:end], _row(weights))
        for (start, end), weights in zip(offsets.tolist(), mass.T, strict=True)
    )


def _matrix(weights: FloatArray) -> Matrix:
    return tuple(tuple(_row(row) for row in head) for head in weights)


def _row(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(values.astype(np.float64).round(_DECIMALS).tolist())


def _number(value: float) -> float:
    return round(float(value), _DECIMALS)
