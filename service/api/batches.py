"""A caller's batches: what it may ask, what it may see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from domain.batches import BatchInfo, BatchItem, ItemResult, NewBatch
from domain.errors import NotFound, UsageError
from domain.job_protocols import BatchStore
from domain.jobs import JobStatus, Receipt
from service.api.conversation import question_of_chat
from service.api.idempotency import receipt_of
from service.api.schemas import BatchOptions, BatchRequest, ChatRequest
from service.batches.requests import batch_of_file, batch_of_questions, batch_of_requests, batch_of_rows
from service.bound_engine import BoundEngine

_SUFFIX_OF_TYPE = {
    "text/csv": ".csv",
    "application/csv": ".csv",
    "application/jsonl": ".jsonl",
    "application/x-jsonlines": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "application/jsonlines": ".jsonl",
}
FILE_TYPES = tuple(_SUFFIX_OF_TYPE)


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file of questions as it came over the wire."""

    name: str
    media_type: str
    data: bytes

    @property
    def suffix(self) -> str:
        """Its format, ".csv" or ".jsonl": by the name's end, else by the media type. Raises UsageError."""
        name = self.name.lower()
        by_name = next((suffix for suffix in (".csv", ".jsonl") if name.endswith(suffix)), None)
        suffix = by_name or _SUFFIX_OF_TYPE.get(self.media_type.partition(";")[0].strip().lower())
        if suffix is None:
            raise UsageError("A file of questions is .jsonl or .csv; save the table in one of these formats.")
        return suffix


class Batches:
    """Accepts a caller's batches and tells how far they are. Others of its tenant see them as far as they see the
    collections that the batch is about.
    """

    def __init__(self, store: BatchStore, engine: BoundEngine) -> None:
        self._store = store
        self._engine = engine

    def of_json(self, request: BatchRequest) -> NewBatch:
        options, ceiling = self._options(request), request.max_total_tokens
        if request.requests is not None:
            return batch_of_requests(request.requests, self._read_chat, ceiling)
        if request.rows is not None:
            return batch_of_rows(request.rows, options, request.question_column, ceiling)
        return batch_of_questions(request.questions or [], options, ceiling)

    def of_file(self, file: BatchFile, request: BatchOptions) -> NewBatch:
        options = self._options(request)
        return batch_of_file(
            file.data, file.suffix, options, request.question_column, request.max_total_tokens, self._read_chat
        )

    def create(self, batch: NewBatch, key: str | None) -> tuple[Mapping[str, Any], Receipt | None]:
        """Commit a batch: (the reply, the receipt where the request was here before)."""
        batch = replace(batch, key_id=self._engine.principal.key_id)
        response = {"id": batch.id, "status": JobStatus.QUEUED.value, "total": len(batch.items)}
        earlier = self._store.create(batch, receipt_of(key, ["batches", _content(batch)], response))
        return (earlier.response if earlier else response), earlier

    def info(self, batch_id: str) -> BatchInfo:
        """Raises NotFound."""
        info = self._store.info(batch_id)
        if not self._sees(info):
            raise NotFound(f"There is no batch '{batch_id}'.")
        return info

    def page(self, limit: int, before: str | None) -> tuple[list[BatchInfo], str | None]:
        """The newest first, and what the next page begins behind."""
        if before is not None and not self._is_visible(before):
            return [], None
        seen: list[BatchInfo] = []
        while len(seen) <= limit and (found := self._store.list_batches(limit + 1, before)):
            seen += [info for info in found if self._sees(info)]
            before = found[-1].id
        page = seen[:limit]
        return page, page[-1].id if len(seen) > limit else None

    def results(self, batch_id: str) -> Iterator[tuple[BatchItem, ItemResult | None]]:
        """Call `info` first, which refuses what is not the caller's."""
        return self._store.results(batch_id)

    def cancel(self, batch_id: str) -> BatchInfo:
        self.info(batch_id)
        return self._store.cancel(batch_id)

    def remove(self, batch_id: str) -> None:
        self.info(batch_id)
        self._store.remove(batch_id)

    def _is_visible(self, batch_id: str) -> bool:
        try:
            self.info(batch_id)
        except NotFound:
            return False
        return True

    def _sees(self, info: BatchInfo) -> bool:
        return all(self._engine.principal.sees(name) for name in info.collections)

    def _options(self, request: BatchOptions) -> dict[str, Any]:
        return {**request.options(), "collection": self._engine.collection(request.collection)}

    def _read_chat(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The question and options of a chat completion request, as plain JSON. Raises UsageError, ValueError."""
        try:
            request = ChatRequest.model_validate(body)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:3])
            raise UsageError(wrong) from None
        question, options = question_of_chat(request)
        collection = self._engine.collection(options["collection"])
        return question, {
            **options,
            "collection": collection,
            "history": [turn.to_dict() for turn in options["history"]],
        }


def _content(batch: NewBatch) -> list[Any]:
    """What a batch asks for, as a digest of each item: equal for equal requests."""
    items = [[item.question, item.options, item.row, item.custom_id] for item in batch.items]
    return [batch.form.value, batch.max_total_tokens, _digest(items)]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
