"""Contexts and a token counter for the tests of the generation stage."""

from __future__ import annotations

from collections.abc import Sequence

from domain.asking import Message
from domain.context import Context, ContextBill
from domain.documents import Span
from domain.search import GAP, Evidence, EvidenceSentence

BILL = ContextBill(10, 0, 0, 20, 5, reserve=50, limit=1_000, baseline=90, tokenizer="words")


class WordCounter:
    name = "words"

    def count(self, text: str) -> int:
        return len(text.split())


def evidence(sentences: Sequence[tuple[str, float]], mark: int = 1, header: str = "") -> Evidence:
    """Evidence of these (sentence, score) pairs, one a line and all in one span, led by a table's header."""
    text = "\n".join(sentence for sentence, _ in sentences)
    offset = len(header) + 1 if header else 0
    position, marked = offset, []
    for sentence, score in sentences:
        marked.append(EvidenceSentence(Span(position, position + len(sentence)), score))
        position += len(sentence) + 1
    body = Span(offset, offset + len(text))
    return Evidence(
        mark=mark,
        document_id=f"doc-{mark}",
        source=f"{mark}.txt",
        title="Lease",
        page=None,
        heading_path=(),
        chunk_id=f"doc-{mark}-v-0",
        text=f"{header}{GAP}{text}" if header else text,
        spans=(Span(0, len(header)), body) if header else (body,),
        score=1.0,
        scores={},
        sentences=tuple(marked),
        tokens=9,
    )


def context(*items: Evidence, abstention: str = "") -> Context:
    messages = (Message("system", "You answer."), Message("user", "What is the rent?"))
    return Context("What is the rent?", messages, tuple(items), BILL, (), 20, abstention)


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
