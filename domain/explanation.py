"""Where a question's attention went in one document: by sentence, by token, by head.

Every token of the question has one unit of attention a head to give, over all chunks that are attended and a null
key that takes what fits nowhere. So a weight is a share of that unit, `coverage` is what stays in this document, and
weights that are summed over the question's tokens ("mass") lie between 0 and the number of those tokens.

A sentence's raw score is the logistic function of what its parts add up to. Its score is that, mapped: by the map that
comes with the weights for the question's language, or by the calibration of the collection, where there is either.

All weights, scores and parts are rounded to four decimals when an explanation is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from domain.documents import Span

Matrix: TypeAlias = tuple[tuple[tuple[float, ...], ...], ...]


@dataclass(frozen=True, slots=True)
class QuestionToken:
    """A token of the question; `span` counts in the question.

    coverage: (H,), the share of its attention that each head placed in this document: 1 less what went to other
    documents or to the null key.
    """

    span: Span
    text: str
    coverage: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**self.span.to_dict(), "text": self.text, "coverage": list(self.coverage)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> QuestionToken:
        return cls(Span.from_dict(data), data["text"], tuple(data["coverage"]))


@dataclass(frozen=True, slots=True)
class AttendedToken:
    """A token of the document; `document.text[span] == text`.

    weights: (H,), its mass in each head. The span is empty where a tokenizer has a token without characters of its own.
    """

    span: Span
    text: str
    weights: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**self.span.to_dict(), "text": self.text, "weights": list(self.weights)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AttendedToken:
        return cls(Span.from_dict(data), data["text"], tuple(data["weights"]))


@dataclass(frozen=True, slots=True)
class AttendedSentence:
    """A sentence of the document with its relevance score; `document.text[span] == text`.

    weights: (H,), the mass of its tokens in each head; over the sentences of a chunk they add up to the chunk's.
    raw_score: the score before it was mapped, in 0..1. parts: by name, the log-odds that the raw score adds up from;
    None and empty where the reranker names none.
    """

    span: Span
    text: str
    score: float
    weights: tuple[float, ...]
    parts: Mapping[str, float] = field(default_factory=dict)
    raw_score: float | None = None

    def to_dict(self) -> dict[str, Any]:
        scores = {"score": self.score, "raw_score": self.raw_score}
        flat = {"text": self.text, **scores, "weights": list(self.weights), "parts": dict(self.parts)}
        return {**self.span.to_dict(), **flat}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AttendedSentence:
        span, weights = Span.from_dict(data), tuple(data["weights"])
        return cls(span, data["text"], data["score"], weights, dict(data["parts"]), data["raw_score"])


@dataclass(frozen=True, slots=True)
class AttendedChunk:
    """A chunk of the document with its score in a search.

    weights: (H,), its mass in each head. matrix: (H, Tq, Td), the weight of each of the Td `tokens` for each of the Tq
    tokens of the question; None unless it was asked for.
    """

    chunk_id: str
    span: Span
    page: int | None
    heading_path: tuple[str, ...]
    score: float
    weights: tuple[float, ...]
    sentences: tuple[AttendedSentence, ...]
    tokens: tuple[AttendedToken, ...]
    matrix: Matrix | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "chunk_id": self.chunk_id,
            **self.span.to_dict(),
            "page": self.page,
            "heading_path": list(self.heading_path),
            "score": self.score,
            "weights": list(self.weights),
            "sentences": [item.to_dict() for item in self.sentences],
            "tokens": [item.to_dict() for item in self.tokens],
            "matrix": None if self.matrix is None else [[list(row) for row in head] for head in self.matrix],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AttendedChunk:
        matrix = data["matrix"]
        return cls(
            chunk_id=data["chunk_id"],
            span=Span.from_dict(data),
            page=data["page"],
            heading_path=tuple(data["heading_path"]),
            score=data["score"],
            weights=tuple(data["weights"]),
            sentences=tuple(AttendedSentence.from_dict(item) for item in data["sentences"]),
            tokens=tuple(AttendedToken.from_dict(item) for item in data["tokens"]),
            matrix=None if matrix is None else tuple(tuple(tuple(row) for row in head) for head in matrix),
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a question's attention went in one document.

    `heads` names the H heads of the reranker, in the order of all weights. `chunks` are the best of the document, best
    first, out of the `attended_chunks` of it that were looked at; the coverage of `question_tokens` counts them all.
    """

    question: str
    document_id: str
    source: str
    title: str
    collection: str
    reranker: str
    heads: tuple[str, ...]
    question_tokens: tuple[QuestionToken, ...]
    chunks: tuple[AttendedChunk, ...]
    attended_chunks: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "question": self.question,
            "document_id": self.document_id,
            "source": self.source,
            "title": self.title,
            "collection": self.collection,
            "reranker": self.reranker,
            "heads": list(self.heads),
            "question_tokens": [item.to_dict() for item in self.question_tokens],
            "chunks": [item.to_dict() for item in self.chunks],
            "attended_chunks": self.attended_chunks,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Explanation:
        """The inverse of `to_dict`, for explanations that arrive over HTTP."""
        flat = ("question", "document_id", "source", "title", "collection", "reranker", "attended_chunks")
        return cls(
            **{name: data[name] for name in flat},
            heads=tuple(data["heads"]),
            question_tokens=tuple(QuestionToken.from_dict(item) for item in data["question_tokens"]),
            chunks=tuple(AttendedChunk.from_dict(item) for item in data["chunks"]),
        )
