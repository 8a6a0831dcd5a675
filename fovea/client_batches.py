"""Batches as the server runs them: handed in, waited for, read. `Client.batch` asks from here instead, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from domain.batches import BatchInfo
from domain.errors import UsageError
from domain.search import DEFAULT_COLLECTION
from fovea.client_calls import Call, Pause, Plan

_POLL_SECONDS = 0.5
_LARGEST_PAGE = 1000  # the server's limit

Row = Mapping[str, Any]


def create_batch(
    questions: Iterable[str] | None = None,
    *,
    rows: Iterable[Row] | None = None,
    requests: Iterable[Row] | None = None,
    question_column: str | None = None,
    max_tokens: int | None = None,
    collection: str = DEFAULT_COLLECTION,
    constraints: Sequence[str] = (),
    role: str | None = None,
    think: bool = False,
    document_ids: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    max_total_tokens: int | None = None,
    idempotency_key: str | None = None,
) -> Plan[BatchInfo]:
    """Hand in a batch: bare questions, `rows` of a table, or `requests` in the form of OpenAI's batch files.

    Equal questions are asked once. `max_total_tokens` is a ceiling for prompts and answers of the whole batch. With an
    `idempotency_key`, a batch that is handed in again within 24 hours is the same batch.
    """
    given = {"questions": questions, "rows": rows, "requests": requests}
    body: dict[str, Any] = {name: list(items) for name, items in given.items() if items is not None}
    if len(body) != 1:
        raise UsageError("Give one of `questions`, `rows` and `requests`.")
    body |= {
        "question_column": question_column,
        "max_tokens": max_tokens,
        "collection": collection,
        "constraints": list(constraints),
        "role": role,
        "think": think,
        "document_ids": list(document_ids),
        "metadata": dict(metadata) if metadata is not None else None,
        "max_total_tokens": max_total_tokens,
    }
    headers = {"idempotency-key": idempotency_key} if idempotency_key is not None else {}
    accepted = yield Call("POST", "/v1/batches", json=body, headers=headers)
    return (yield from get_batch(accepted["id"]))


def get_batch(batch_id: str) -> Plan[BatchInfo]:
    """How far a batch is, and what it has cost. Raises NotFound."""
    return BatchInfo.from_dict((yield Call("GET", _path(batch_id))))


def wait_for_batch(batch_id: str) -> Plan[BatchInfo]:
    """Wait until a batch has ended: ready, failed or cancelled. Raises NotFound."""
    while True:
        info = yield from get_batch(batch_id)
        if info.status.finished:
            return info
        yield Pause(_POLL_SECONDS)


def list_batches(limit: int = 100, before: str | None = None) -> Plan[list[BatchInfo]]:
    """The newest first, at most `limit`, starting behind the batch `before`."""
    found: list[BatchInfo] = []
    while len(found) < limit:
        size = min(limit - len(found), _LARGEST_PAGE)
        page = yield Call("GET", "/v1/batches", params={"limit": size, "cursor": before})
        found += [BatchInfo.from_dict(item) for item in page["batches"]]
        before = page["next_cursor"]
        if before is None:
            break
    return found


def batch_results(batch_id: str) -> Plan[list[dict[str, Any]]]:
    """The results so far, in order: rows with the columns of their answers, or lines of OpenAI's output file."""
    results: list[dict[str, Any]] = yield Call("GET", f"{_path(batch_id)}/results", lines=True)
    return results


def cancel_batch(batch_id: str) -> Plan[BatchInfo]:
    """Stop a batch: nothing more is asked; what it has answered stays. Raises NotFound."""
    return BatchInfo.from_dict((yield Call("DELETE", _path(batch_id))))


def delete_batch(batch_id: str) -> Plan[None]:
    """Stop a batch and forget it, with its questions and results. Raises NotFound."""
    yield Call("DELETE", _path(batch_id), params={"forget": "true"})


def _path(batch_id: str) -> str:
    return f"/v1/batches/{quote(batch_id, safe='')}"
