"""Batches: many questions as one job, each with one result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from domain.jobs import ErrorInfo, JobStatus, new_job_id

BATCH = "batch"  # the kind of a batch's job


class BatchForm(StrEnum):
    """What a batch came as, and so what its results look like."""

    ROWS = "rows"  # a table: its rows come back with the answer's columns
    OPENAI = "openai"  # a batch file of OpenAI: requests in, responses out


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One question of a batch, the `ordinal`-th from 0.

    `options` are the engine's keyword arguments as JSON. `row` holds the columns that came with the question. Items of
    equal `fingerprint` are asked once. `error` is set for an item that cannot be asked at all.
    """

    ordinal: int
    question: str
    fingerprint: str
    options: Mapping[str, Any] = field(default_factory=dict)
    row: Mapping[str, Any] = field(default_factory=dict)
    custom_id: str | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch that is to be committed. `max_total_tokens` is its ceiling of prompt and completion tokens."""

    form: BatchForm
    items: tuple[BatchItem, ...]
    max_total_tokens: int | None = None
    id: str = field(default_factory=new_job_id)
    key_id: str = ""  # whose account it is asked on; "" for callers without a key

    @property
    def collections(self) -> list[str]:
        """The collections that its questions are about, by name."""
        return sorted({item.options["collection"] for item in self.items})

    @property
    def columns(self) -> list[str]:
        """The columns that came with the questions, in order of appearance."""
        return list(dict.fromkeys(name for item in self.items for name in item.row))


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one item: `content` (JSON) or `error`.

    `asked`: a model was asked for this very item; the tokens are those of that call, and 0 where another item's answer
    serves this one too.
    """

    ordinal: int
    content: Mapping[str, Any] | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: ErrorInfo | None = None
    asked: bool = True

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """How far a batch is: `total` = `answered` + `failed` + those that wait; `asked` counts the calls that were made.

    `collections` are those that its questions are about, `columns` those that came with them.
    """

    id: str
    status: JobStatus
    form: BatchForm
    total: int
    answered: int
    failed: int
    asked: int
    prompt_tokens: int
    completion_tokens: int
    max_total_tokens: int | None
    collections: tuple[str, ...]
    columns: tuple[str, ...]
    created_at: str
    updated_at: str
    error: ErrorInfo | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status.value,
            "form": self.form.value,
            "counts": {
                "total": self.total,
                "answered": self.answered,
                "failed": self.failed,
                "waiting": self.total - self.answered - self.failed,
                "asked": self.asked,
            },
            "usage": {
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": self.completion_tokens,
                "total_tokens": self.prompt_tokens + self.completion_tokens,
            },
            "max_total_tokens": self.max_total_tokens,
            "collections": list(self.collections),
            "columns": list(self.columns),
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "error": self.error.to_dict() if self.error else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BatchInfo:
        counts, usage = data["counts"], data["usage"]
        return cls(
            id=data["id"],
            status=JobStatus(data["status"]),
            form=BatchForm(data["form"]),
            total=counts["total"],
            answered=counts["answered"],
            failed=counts["failed"],
            asked=counts["asked"],
            prompt_tokens=usage["prompt_tokens"],
            completion_tokens=usage["completion_tokens"],
            max_total_tokens=data["max_total_tokens"],
            collections=tuple(data["collections"]),
            columns=tuple(data["columns"]),
            created_at=data["created_at"],
            updated_at=data["updated_at"],
            error=ErrorInfo.from_dict(data["error"]),
        )
