"""What is sent to the language model, what it cost, and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from domain.documents import Span
from domain.search import Evidence

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str

    def to_dict(self) -> dict[str, str]:
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Constraint:
    """Something the answer must obey, for example "Answer in one sentence."; restated where it cannot be missed."""

    text: str


@dataclass(frozen=True, slots=True)
class AskOptions:
    """How one question is to be answered.

    `max_tokens` is the ceiling on context tokens: everything between the system part and the question. It is a
    ceiling, not a
    target. `role` replaces the default role text; `think` asks for step-by-step reasoning.
    """

    max_tokens: int | None = None
    constraints: tuple[Constraint, ...] = ()
    role: str | None = None
    think: bool = False
    history: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class ContextBill:
    """Tokens of the prompt by part, in the tokenizer named; `reserve` is kept free for the answer.

    `total` = system + constraints + history + evidence + question, and total + reserve <= limit.
    `baseline` is what plain top-10 chunks would have cost; `avoided` = max(0, baseline - evidence).
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

    @property
    def total(self) -> int:
        return self.system + self.constraints + self.history + self.evidence + self.question

    @property
    def avoided(self) -> int:
        return max(0, self.baseline - self.evidence)

    def to_dict(self) -> dict[str, Any]:
        names = ("system", "constraints", "history", "evidence", "question", "reserve", "total", "limit", "avoided")
        return {name: getattr(self, name) for name in (*names, "baseline", "tokenizer")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ContextBill:
        return cls(**{name: value for name, value in data.items() if name not in ("total", "avoided")})


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
class Context:
    """A prompt, ready to send, with the account of how it came about.

    `context_tokens` counts everything between the system part and the question: evidence, headings, marks, separators.
    `abstention` is the ready answer where nothing supports one: it is non-empty exactly when `evidence` is empty.
    """

    question: str
    messages: tuple[Message, ...]
    evidence: tuple[Evidence, ...]
    bill: ContextBill
    dropped: tuple[Dropped, ...]
    context_tokens: int
    abstention: str = ""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Evidence for a question, without an answer."""

    context: Context
    timings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))  # stage -> milliseconds

    @property
    def question(self) -> str:
        return self.context.question

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        return self.context.evidence

    @property
    def bill(self) -> ContextBill:
        return self.context.bill

    @property
    def context_tokens(self) -> int:
        return self.context.context_tokens

    def to_dict(self) -> dict[str, Any]:
        return {
            "question": self.question,
            "evidence": [item.to_dict() for item in self.evidence],
            "context_tokens": self.context.context_tokens,
            "bill": self.bill.to_dict(),
            "dropped": [item.to_dict() for item in self.context.dropped],
            "timings": dict(self.timings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SearchResult:
        """The inverse of `to_dict`, for results that arrive over HTTP; the prompt's messages do not travel."""
        context = Context(
            question=data["question"],
            messages=(),
            evidence=tuple(Evidence.from_dict(item) for item in data["evidence"]),
            bill=ContextBill.from_dict(data["bill"]),
            dropped=tuple(Dropped.from_dict(item) for item in data["dropped"]),
            context_tokens=data["context_tokens"],
        )
        return cls(context, dict(data["timings"]))


@dataclass(frozen=True, slots=True)
class Citation:
    """A mark in an answer, resolved: `document.text[span] == quote` always.

    `verified` is True when the sentence of the answer that carries the mark is supported by the quote.
    """

    mark: int
    document_id: str
    source: str
    title: str
    span: Span
    page: int | None
    quote: str
    verified: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "mark": self.mark,
            "document_id": self.document_id,
            "source": self.source,
            "title": self.title,
            "page": self.page,
            "start": self.span.start,
            "end": self.span.end,
            "quote": self.quote,
            "verified": self.verified,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Citation:
        rest = {name: value for name, value in data.items() if name not in ("start", "end")}
        return cls(span=Span(data["start"], data["end"]), **rest)


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    completion_tokens: int

    def to_dict(self) -> dict[str, int]:
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its citations, the evidence it was made from and what it cost.

    `abstained`: nothing in the documents supports an answer, and the text says so.
    `degraded`: the configured model failed and the extractive answer stands in for it.
    """

    text: str
    citations: tuple[Citation, ...]
    search: SearchResult
    model: str
    usage: Usage
    timings: Mapping[str, float]
    abstained: bool = False
    degraded: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "question": self.search.question,
            "answer": self.text,
            "abstained": self.abstained,
            "degraded": self.degraded,
            "citations": [item.to_dict() for item in self.citations],
            "search": self.search.to_dict(),
            "model": self.model,
            "usage": self.usage.to_dict(),
            "timings": dict(self.timings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Answer:
        """The inverse of `to_dict`, for answers that arrive over HTTP."""
        return cls(
            text=data["answer"],
            citations=tuple(Citation.from_dict(item) for item in data["citations"]),
            search=SearchResult.from_dict(data["search"]),
            model=data["model"],
            usage=Usage(**data["usage"]),
            timings=dict(data["timings"]),
            abstained=data["abstained"],
            degraded=data["degraded"],
        )
