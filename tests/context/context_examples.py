"""Documents, scored chunks and token counters for the tests of the context stage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.documents import Chunk, DocumentRef, Page, Sentence, Span
from domain.search import Evidence, EvidenceSentence, Query, ScoredChunk, ScoredSentence, StoredChunk

TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s]|\n+")


class WordCounter:
    """A token is a word, a Han character, a sign, or a run of line ends."""

    name = "words"

    def count(self, text: str) -> int:
        return len(TOKEN.findall(text))


class SeamCounter:
    """A counter for which the whole costs more than its parts: every blank line and every tenth token costs extra."""

    name = "seams"

    def count(self, text: str) -> int:
        tokens = len(TOKEN.findall(text))
        return tokens + tokens // 10 + 3 * text.count("\n\n")


@dataclass(frozen=True)
class Source:
    """A document as a test writes it: its text, cut into chunks of sentences with their scores."""

    text: str
    scored: tuple[ScoredChunk, ...]


def document(
    sentences: Sequence[tuple[str, float]],
    *,
    name: str = "a",
    title: str = "Lease",
    per_chunk: int = 100,
    headings: tuple[str, ...] = (),
    joint: str = " ",
    header: tuple[str, int] | None = None,
    page_length: int | None = None,
) -> Source:
    """A document of these (sentence, score) pairs, `per_chunk` sentences a chunk, joined by `joint`.

    `header` = (text, offset) stands before all chunks, as the header row of a table that they continue.
    """
    text = "" if header is None else header[0] + joint
    spans: list[tuple[Span, float]] = []
    for place, (sentence, score) in enumerate(sentences):
        text += joint if place else ""
        spans.append((Span(len(text), len(text) + len(sentence)), score))
        text += sentence
    pages = (
        tuple(
            Page(number + 1, Span(start, min(start + page_length, len(text))))
            for number, start in enumerate(range(0, len(text), page_length))
        )
        if page_length
        else ()
    )
    reference = DocumentRef(id=f"doc-{name}", source=f"{name}.txt", title=title)
    chunks = []
    for ordinal, first in enumerate(range(0, len(spans), per_chunk)):
        own = spans[first : first + per_chunk]
        span = Span(own[0][0].start, own[-1][0].end)
        parts = tuple(Sentence(place, part, header is not None) for place, (part, _) in enumerate(own))
        chunk = Chunk(
            id=f"doc-{name}-v-{ordinal}",
            key=ordinal,
            document_id=reference.id,
            ordinal=ordinal,
            span=span,
            text=span.of(text),
            sentences=parts,
            heading_path=headings,
            header=Span(header[1], header[1] + len(header[0])) if header else None,
            header_text=header[0] if header else "",
            pages=pages,
        )
        scores = tuple(ScoredSentence(part, score) for part, (_, score) in zip(parts, own, strict=True))
        best = max(score for _, score in own)
        chunks.append(ScoredChunk(StoredChunk(chunk, reference), best, scores, {"dense": best, "fused": best}))
    return Source(text, tuple(chunks))


def ranked(*sources: Source) -> list[ScoredChunk]:
    """All chunks of some documents, best first."""
    return sorted((item for source in sources for item in source.scored), key=lambda item: -item.score)


def query(text: str) -> Query:
    return Query(text=text, vector=np.zeros(2, dtype=np.float32))


def evidence(
    text: str, *, mark: int = 1, title: str = "Lease", name: str = "a", headings: tuple[str, ...] = ()
) -> Evidence:
    """Evidence that holds the sentences of `text`, one a line, whole."""
    spans, start = [], 0
    for line in text.split("\n"):
        spans.append(Span(start, start + len(line)))
        start += len(line) + 1
    return Evidence(
        mark=mark,
        document_id=f"doc-{name}",
        source=f"{name}.txt",
        title=title,
        page=None,
        heading_path=headings,
        chunk_id=f"doc-{name}-v-{mark}",
        text=text,
        spans=(Span(0, len(text)),),
        score=1.0,
        scores={},
        sentences=tuple(EvidenceSentence(span, 1.0) for span in spans),
        tokens=0,
    )
