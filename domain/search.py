"""What a question becomes on its way to the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.documents import Chunk, DocumentRef, Page, Sentence, Span, page_of
from domain.errors import DomainError

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

DEFAULT_TENANT = "local"
DEFAULT_COLLECTION = "default"


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """The contextual vectors of a text's tokens, from one forward pass of the encoder.

    vectors: shape (T, D), float32, unit rows. ids: shape (T,), the vocabulary ids.
    offsets: shape (T, 2), the characters each token covers in the text, half-open, ascending.
    Special tokens (the encoder's own begin and end marks, prefixes, leads) are not among them.
    """

    vectors: FloatArray
    ids: IntArray
    offsets: IntArray

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Encoding:
    """A sentence vector, shape (D,), float32, unit length, with the token vectors it was pooled from."""

    vector: FloatArray
    tokens: TokenVectors


@dataclass(frozen=True, slots=True)
class Filters:
    """Which chunks a search may see. Empty fields do not restrict.

    `metadata` matches documents whose metadata holds each given key with an equal value.
    """

    collection: str = DEFAULT_COLLECTION
    document_ids: frozenset[str] = frozenset()
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def restrict_documents(self) -> bool:
        return bool(self.document_ids or self.metadata)


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """A word of the question as the lexical index knows it: `span` in the question, its stem or bigram, its IDF (>=
    0).
    """

    span: Span
    term: str
    idf: float


@dataclass(frozen=True, slots=True)
class Query:
    """A question, encoded once. `tokens` is None where the embedder gives sentence vectors only."""

    text: str
    vector: FloatArray
    tokens: TokenVectors | None = None
    terms: tuple[QueryTerm, ...] = ()
    filters: Filters = field(default_factory=Filters)


@dataclass(frozen=True, slots=True)
class Hit:
    """One line of an index's answer: a chunk's key and its score, higher is better."""

    key: int
    score: float


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as the store returns it: joined with its document, its token vectors still packed."""

    chunk: Chunk
    document: DocumentRef
    token_blob: bytes | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A retrieved chunk on its way to the reranker.

    `scores` holds "dense" (cosine), "lexical" (BM25) and "fused"; a retriever that did not return
    the chunk leaves its entry out.
    """

    stored: StoredChunk
    scores: Mapping[str, float]

    @property
    def chunk(self) -> Chunk:
        return self.stored.chunk

    @property
    def document(self) -> DocumentRef:
        return self.stored.document


@dataclass(frozen=True, slots=True)
class ScoredSentence:
    """A sentence of a chunk with its relevance to the question, comparable across all chunks of one search.

    `parts` are for inspection: by name, what the log-odds of the score add up from, before it is mapped.
    """

    sentence: Sentence
    score: float
    parts: Mapping[str, float] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AttentionWeights:
    """Where the question's attention went in one chunk, for inspection.

    weights: shape (H, Tq, Td), each row of a head sums to at most 1 over all chunks of the search.
    """

    weights: FloatArray
    query_offsets: IntArray
    token_offsets: IntArray


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk after reranking: its final score, one score a sentence, and the parts the score was made of.

    `scores` has "dense", "lexical", "fused" and "attention" where they exist.
    """

    stored: StoredChunk
    score: float
    sentences: tuple[ScoredSentence, ...]
    scores: Mapping[str, float]
    attention: AttentionWeights | None = None

    @property
    def chunk(self) -> Chunk:
        return self.stored.chunk

    @property
    def document(self) -> DocumentRef:
        return self.stored.document


GAP = " … "  # stands in an evidence text where something between two spans was left out


@dataclass(frozen=True, slots=True)
class EvidenceSentence:
    """A sentence that was selected, with its relevance score. `is_row` marks rows of the table of `Evidence.header`; it
    stays on the server.
    """

    span: Span
    score: float
    is_row: bool = field(default=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Sentences of one chunk that are sent to the model, verbatim, under the mark `[mark]`.

    `spans` are offsets into the document's text, disjoint and ascending; `text` is those spans joined by `GAP`.
    `tokens` is what this evidence costs in the prompt, heading, mark and separators included.
    `pages` lets a citation name the page of its own sentence, `header` a quoted row its column labels, where they are
    among the spans; both stay on the server.
    """

    mark: int
    document_id: str
    source: str
    title: str
    page: int | None
    heading_path: tuple[str, ...]
    chunk_id: str
    text: str
    spans: tuple[Span, ...]
    score: float
    scores: Mapping[str, float | None]
    sentences: tuple[EvidenceSentence, ...]
    tokens: int
    pages: tuple[Page, ...] = field(default=(), repr=False, compare=False)
    header: Span | None = field(default=None, repr=False, compare=False)

    def part(self, span: Span) -> str:
        """The verbatim characters of `span`, which must lie inside one of `spans`. Raises DomainError."""
        position = 0
        for own in self.spans:
            if own.contains(span):
                start = position + span.start - own.start
                return self.text[start : start + len(span)]
            position += len(own) + len(GAP)
        raise DomainError(f"{span} is not inside the spans of evidence [{self.mark}].")

    def page_at(self, offset: int) -> int | None:
        """The page of the character at `offset` of the document."""
        return page_of(self.pages, offset) if self.pages else self.page

    def to_dict(self) -> dict[str, Any]:
        return {
            "mark": self.mark,
            "document_id": self.document_id,
            "source": self.source,
            "title": self.title,
            "page": self.page,
            "heading_path": list(self.heading_path),
            "chunk_id": self.chunk_id,
            "text": self.text,
            "spans": [span.to_dict() for span in self.spans],
            "score": self.score,
            "scores": {name: self.scores.get(name) for name in ("dense", "lexical", "fused", "attention")},
            "sentences": [{**item.span.to_dict(), "score": item.score} for item in self.sentences],
            "tokens": self.tokens,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evidence:
        """The inverse of `to_dict`, for results that arrive over HTTP."""
        flat = {name: data[name] for name in ("mark", "document_id", "source", "title", "page", "chunk_id", "text")}
        return cls(
            **flat,
            heading_path=tuple(data["heading_path"]),
            spans=tuple(map(Span.from_dict, data["spans"])),
            score=data["score"],
            scores=dict(data["scores"]),
            sentences=tuple(EvidenceSentence(Span.from_dict(item), item["score"]) for item in data["sentences"]),
            tokens=data["tokens"],
        )
