"""What came back from the language model: the answer, its citations, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.documents import Span, with_span
from domain.search_result import SearchResult


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
            **self.span.to_dict(),
            "quote": self.quote,
            "verified": self.verified,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Citation:
        return cls(**with_span(data))


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
            **self.span.to_dict(),
            "marks": list(self.marks),
            "supported": self.supported,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CitedSentence:
        return cls(Span.from_dict(data), tuple(data["marks"]), data["supported"])


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
    `truncated`: the model was stopped at its longest permitted answer; `filtered`: its operator withheld a part.
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
    truncated: bool = False
    filtered: bool = False

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
            "truncated": self.truncated,
            "filtered": self.filtered,
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
            truncated=data.get("truncated", False),
            filtered=data.get("filtered", False),
        )
