"""What a prompt is worth: the same counter and the same measures for whoever made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from benchmarks.peers.locating import DocumentText
from benchmarks.peers.protocol import Passage, Prompt, SourceDocument
from domain.documents import Span
from domain.protocols import TokenCounter
from domain.search import Evidence
from domain.search_result import SearchResult
from service.evaluation.counting import CachedCounter
from service.evaluation.measures import span_overlap
from service.labelled_questions import LabelledQuestion, evidence_recall

_DOCUMENTS = 512  # prepared texts held at a time


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent for one question.

    tokens: of the evidence, with all that stands between it. prompt: of the whole prompt. recall: the share of the gold
    evidence in it, 0..1. iou: how its characters agree with labelled references, None without any. milliseconds: from
    the question to the finished prompt.
    """

    tokens: int
    prompt: int
    recall: float
    iou: float | None
    milliseconds: float


class Judge:
    """Judges what is sent for questions about known documents."""

    def __init__(self, documents: Sequence[SourceDocument], counter: TokenCounter) -> None:
        self._texts = {one.id: one.text for one in documents}
        self._counter = CachedCounter(counter)
        self._prepared = lru_cache(_DOCUMENTS)(lambda name: DocumentText(self._texts[name]))

    def of_peer(
        self, question: LabelledQuestion, passages: Sequence[Passage], prompt: Prompt, milliseconds: float
    ) -> Sent:
        """What a peer sends; the passages are found again in their documents."""
        evidence = [self._evidence(one) for one in passages]
        tokens, whole = (self._counter.count(text) for text in (prompt.context, prompt.whole))
        return Sent(tokens, whole, evidence_recall(question, evidence), _iou(question, evidence), milliseconds)

    def of_product(self, question: LabelledQuestion, result: SearchResult, milliseconds: float) -> Sent:
        """What the product sends, by its own bill."""
        evidence = result.evidence
        recall, iou = evidence_recall(question, evidence), _iou(question, evidence)
        return Sent(result.context_tokens, result.bill.total if evidence else 0, recall, iou, milliseconds)

    def _evidence(self, passage: Passage) -> Evidence:
        spans = self._prepared(passage.document).spans_of(passage.text, passage.start)
        return Evidence(
            mark=0,
            document_id=passage.document,
            source=passage.document,
            title="",
            page=None,
            heading_path=(),
            chunk_id="",
            text=passage.text,
            spans=spans,
            score=0.0,
            scores={},
            sentences=(),
            tokens=0,
        )


def _iou(question: LabelledQuestion, evidence: Sequence[Evidence]) -> float | None:
    if not question.references:
        return None
    wanted = [(one.document, one.span) for one in question.references]
    sent: list[tuple[str, Span]] = [(one.source, span) for one in evidence for span in one.spans]
    return span_overlap(wanted, sent).iou
