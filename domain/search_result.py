"""What a search found: the evidence for a question, and the form of the question that found it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from domain.context import Context, ContextBill, Dropped, NearestPassage
from domain.search import Evidence


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
