"""What is sent to the language model, what it costs, and what was left out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from domain.asking import Message
from domain.documents import Span, with_span
from domain.search import Evidence


@dataclass(frozen=True, slots=True)
class ContextBill:
    """Tokens of the prompt by part, in the tokenizer named; `reserve` is kept free for the answer.

    `total` = system + constraints + history + evidence + question, and total + margin + reserve <= limit.
    `baseline` is what plain top-10 chunks would have cost; `avoided` = max(0, baseline - evidence).
    `margin` is kept free for what the model may count beyond `total`: its chat template, and where its own tokenizer is
    not at hand, the most that another one can make of the same text. `reported` is what the model said it read; None
    where none read the prompt or it did not say. `difference` = reported - total.
    """

    system: int
    constraints: int
    history: int
    evidence: int
    question: int
    reserve: int
    limit: int
    baseline: int
    tokenizer: str
    margin: int = 0
    reported: int | None = None

    @property
    def total(self) -> int:
        return self.system + self.constraints + self.history + self.evidence + self.question

    @property
    def avoided(self) -> int:
        return max(0, self.baseline - self.evidence)

    @property
    def difference(self) -> int | None:
        return None if self.reported is None else self.reported - self.total

    def to_dict(self) -> dict[str, Any]:
        parts = ("system", "constraints", "history", "evidence", "question", "reserve", "total", "limit", "avoided")
        rest = ("baseline", "tokenizer", "margin", "reported", "difference")
        return {name: getattr(self, name) for name in (*parts, *rest)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ContextBill:
        return cls(**{name: value for name, value in data.items() if name not in ("total", "avoided", "difference")})


DropReason = Literal["below_threshold", "budget", "duplicate", "document_cap", "rank"]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate chunk that was not sent, and why.

    below_threshold: no sentence of it supports the question well enough; budget: it no longer fitted;
    duplicate: what it says is already sent; document_cap: its document already has its share; rank: other chunks
    sufficed.
    """

    chunk_id: str
    document_id: str
    reason: DropReason
    tokens: int
    score: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "chunk_id": self.chunk_id,
            "document_id": self.document_id,
            "reason": self.reason,
            "tokens": self.tokens,
            "score": self.score,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Dropped:
        return cls(**data)


@dataclass(frozen=True, slots=True)
class NearestPassage:
    """What came nearest to a question that the documents do not answer: one sentence, `document.text[span]`.

    It is a lead, not an answer.
    """

    document_id: str
    source: str
    title: str
    page: int | None
    span: Span
    text: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "document_id": self.document_id,
            "source": self.source,
            "title": self.title,
            "page": self.page,
            **self.span.to_dict(),
            "text": self.text,
            "score": self.score,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NearestPassage:
        return cls(**with_span(data))


@dataclass(frozen=True, slots=True)
class Context:
    """A prompt, ready to send, with the account of how it came about.

    `context_tokens` counts everything between the system part and the question: evidence, headings, marks, separators.
    `abstention` is the ready answer where nothing supports one: it is non-empty exactly when `evidence` is empty.
    `nearest` holds what came nearest where there is no answer; it is no evidence and is not sent.
    """

    question: str
    messages: tuple[Message, ...]
    evidence: tuple[Evidence, ...]
    bill: ContextBill
    dropped: tuple[Dropped, ...]
    context_tokens: int
    abstention: str = ""
    nearest: tuple[NearestPassage, ...] = ()
