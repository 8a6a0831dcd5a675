"""Small values of the domain, consistent in themselves, to feed a part with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from domain.asking import Message
from domain.context import Context, ContextBill
from domain.documents import Chunk, Document, DocumentRef, Sentence, Span, chunk_id, chunk_key, document_id
from domain.search import (
    DEFAULT_COLLECTION,
    DEFAULT_TENANT,
    Candidate,
    Evidence,
    EvidenceSentence,
    Filters,
    FloatArray,
    Query,
    StoredChunk,
)


def make_document(
    text: str,
    source: str = "sample.txt",
    collection: str = DEFAULT_COLLECTION,
    metadata: Mapping[str, Any] | None = None,
) -> Document:
    """A plain-text document; its content hash is its text, so that another text is another version."""
    identity = document_id(DEFAULT_TENANT, collection, source)
    return Document(identity, source, source, text, "text/plain", text, metadata=dict(metadata or {}))


def make_chunk(document: Document, sentences: Sequence[str], ordinal: int = 0) -> Chunk:
    """A chunk from the first of `sentences` to the last; each must occur in the document's text, in this order."""
    spans, at = [], 0
    for sentence in sentences:
        at = document.text.index(sentence, at)
        spans.append(Span(at, at + len(sentence)))
        at += len(sentence)
    span = Span(spans[0].start, spans[-1].end)
    identity = chunk_id(document.id, document.content_hash, document.recipe, ordinal)
    numbered = tuple(Sentence(number, one) for number, one in enumerate(spans))
    return Chunk(identity, chunk_key(identity), document.id, ordinal, span, span.of(document.text), numbered)


def make_candidate(*sentences: str, source: str = "sample.txt", scores: Mapping[str, float] | None = None) -> Candidate:
    """A candidate from a document that consists of these sentences, joined by blanks."""
    document = make_document(" ".join(sentences), source)
    reference = DocumentRef(document.id, document.source, document.title)
    return Candidate(
        StoredChunk(make_chunk(document, sentences), reference), dict(scores or {"dense": 0.5, "fused": 0.03})
    )


def make_query(text: str, vector: FloatArray | None = None, filters: Filters | None = None) -> Query:
    """A question; its vector is the first axis of four where none is given."""
    return Query(text, np.eye(4, dtype=np.float32)[0] if vector is None else vector, filters=filters or Filters())


def make_context(question: str, sentences: Iterable[str] = ()) -> Context:
    """A context with one evidence for each sentence, numbered from 1, and a bill of word counts."""
    evidence = tuple(_evidence(mark, sentence) for mark, sentence in enumerate(sentences, start=1))
    shown = "\n".join(f"[{item.mark}] {item.text}" for item in evidence)
    messages = (Message("system", "Answer from the evidence."), Message("user", f"{shown}\n\n{question}".strip()))
    tokens = sum(item.tokens for item in evidence)
    bill = ContextBill(4, 0, 0, tokens, len(question.split()), 64, 4096, tokens, "words")
    abstention = "" if evidence else "Nothing in the documents answers this."
    return Context(question, messages, evidence, bill, (), tokens, abstention)


def _evidence(mark: int, text: str) -> Evidence:
    candidate, score = make_candidate(text, source=f"sample-{mark}.txt"), 1.0 / mark
    chunk, document = candidate.chunk, candidate.document
    return Evidence(
        mark=mark,
        document_id=document.id,
        source=document.source,
        title=document.title,
        page=None,
        heading_path=chunk.heading_path,
        chunk_id=chunk.id,
        text=text,
        spans=(chunk.span,),
        score=score,
        scores=dict(candidate.scores),
        sentences=tuple(EvidenceSentence(sentence.span, score) for sentence in chunk.sentences),
        tokens=len(text.split()) + 1,
    )
