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
            "start": self.span.start,
            "end": self.span.end,
            "text": self.text,
            "score": self.score,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NearestPassage:
        rest = {name: value for name, value in data.items() if name not in ("start", "end")}
        return cls(span=Span(data["start"], data["end"]), **rest)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The form of a question that was searched for, and who found it.

    `by` is "none" where the question stands alone. `tokens` is what a model's call cost, prompt and reply; `failed`
    says that such a call gave nothing, so that the rules stood in.
    """

    question: str
    by: Literal["none", "rules", "model"]
    tokens: int = 0
    failed: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {"question": self.question, "by": self.by, "tokens": self.tokens, "failed": self.failed}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rewrite:
        return cls(**data)


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


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Evidence for a question, without an answer."""

    context: Context
    timings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))  # stage -> milliseconds
    rewrite: Rewrite | None = None  # None for a question without a conversation

    @property
    def nearest(self) -> tuple[NearestPassage, ...]:
        return self.context.nearest

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
            "nearest": [item.to_dict() for item in self.context.nearest],
            "rewrite": self.rewrite.to_dict() if self.rewrite else None,
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
            nearest=tuple(NearestPassage.from_dict(item) for item in data.get("nearest", ())),
        )
        rewrite = data.get("rewrite")
        return cls(context, dict(data["timings"]), Rewrite.from_dict(rewrite) if rewrite else None)


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
class CitedSentence:
    """A sentence of an answer: `answer.text[span]`, with the marks that it carries.

    `supported` is True when all that it says stands in the evidence that it cites, False when some of it does not, and
    None when it cites nothing.
    """

    span: Span
    marks: tuple[int, ...]
    supported: bool | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "start": self.span.start,
            "end": self.span.end,
            "marks": list(self.marks),
            "supported": self.supported,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CitedSentence:
        return cls(Span(data["start"], data["end"]), tuple(data["marks"]), data["supported"])


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
    `sentences` says of each sentence of the text whether its evidence supports it; `removed_marks` counts the marks
    that the model wrote without there being such evidence.
    """

    text: str
    citations: tuple[Citation, ...]
    search: SearchResult
    model: str
    usage: Usage
    timings: Mapping[str, float]
    abstained: bool = False
    degraded: bool = False
    sentences: tuple[CitedSentence, ...] = ()
    removed_marks: int = 0

    @property
    def unsupported(self) -> tuple[str, ...]:
        """The sentences that say what their evidence does not."""
        return tuple(item.span.of(self.text) for item in self.sentences if item.supported is False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "question": self.search.question,
            "answer": self.text,
            "abstained": self.abstained,
            "degraded": self.degraded,
            "citations": [item.to_dict() for item in self.citations],
            "sentences": [item.to_dict() for item in self.sentences],
            "removed_marks": self.removed_marks,
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
            sentences=tuple(CitedSentence.from_dict(item) for item in data.get("sentences", ())),
            removed_marks=data.get("removed_marks", 0),
        )
