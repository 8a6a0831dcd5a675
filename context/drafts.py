"""What is sent of one chunk: its usable sentences, and the evidence that some of them make."""

from __future__ import annotations

import math
from collections.abc import Sequence

from domain.documents import Chunk, Sentence, Span, page_of
from domain.search import GAP, Evidence, EvidenceSentence, ScoredChunk, ScoredSentence

_WIDEST_MARK = 99  # drafts are priced with a two-digit mark: the mark they get in the end costs no more


def chunk_sentences(chunk: Chunk) -> tuple[Sentence, ...]:
    """The sentences of a chunk; one that was not split is a sentence of its own."""
    return chunk.sentences or (Sentence(0, chunk.span),)


def sentences_of(scored: ScoredChunk) -> tuple[ScoredSentence, ...]:
    """The scored sentences in document order, without unusable scores.

    A reranker that scores chunks only leaves `sentences` empty: then each sentence has the score of its chunk.
    """
    chunk = scored.chunk
    sentences = scored.sentences
    if not sentences:
        sentences = tuple(ScoredSentence(sentence, scored.score) for sentence in chunk_sentences(chunk))
    usable = (item for item in sentences if not math.isnan(item.score) and chunk.sentence_text(item.sentence).strip())
    return tuple(sorted(usable, key=lambda item: item.sentence.span))


def draft_evidence(scored: ScoredChunk, taken: Sequence[ScoredSentence]) -> Evidence:
    """Evidence of one chunk from sentences in document order, led by the header row of a table that it continues."""
    chunk, document = scored.chunk, scored.document
    spans = _joined(chunk, [item.sentence.span for item in taken])
    texts = [chunk.text[span.start - chunk.span.start : span.end - chunk.span.start] for span in spans]
    continues_table = any(item.sentence.is_row for item in taken)
    if continues_table and chunk.header is not None and chunk.header.end <= chunk.span.start:
        spans, texts = [chunk.header, *spans], [chunk.header_text, *texts]
    return Evidence(
        mark=_WIDEST_MARK,
        document_id=document.id,
        source=document.source,
        title=document.title,
        page=page_of(chunk.pages, taken[0].sentence.span.start),
        heading_path=chunk.heading_path,
        chunk_id=chunk.id,
        text=GAP.join(texts),
        spans=tuple(spans),
        score=scored.score,
        scores=dict(scored.scores),
        sentences=tuple(EvidenceSentence(item.sentence.span, item.score, item.sentence.is_row) for item in taken),
        tokens=0,
        pages=chunk.pages,
        header=chunk.header,
    )


def _joined(chunk: Chunk, spans: Sequence[Span]) -> list[Span]:
    """Spans with nothing but blanks between them become one."""
    joined: list[Span] = []
    for span in spans:
        between = chunk.text[joined[-1].end - chunk.span.start : span.start - chunk.span.start] if joined else "x"
        if joined and not between.strip():
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined
