"""What may be sent as a batch, made into its items.

Tables (questions, rows, JSONL, CSV) share one set of options; each line of an OpenAI batch file carries its own, in the
form of a chat completion request:

    {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [...]}}
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domain.batches import BatchForm, BatchItem, NewBatch
from domain.errors import UsageError
from service.answer_strings import folded
from service.batches.columns import NO_QUESTION, Row
from service.batches.tables import (
    MAX_ROWS,
    check_repeated,
    columns_of,
    find_question_column,
    parse_rows,
    question_of,
    width_of,
)

CHAT_URL = "/v1/chat/completions"

ReadChat = Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]
"""Reads the body of a chat completion request: the question, and the engine's options as plain JSON. Raises UsageError
or ValueError.
"""


def batch_of_questions(
    questions: Sequence[str], options: Mapping[str, Any], max_total_tokens: int | None = None
) -> NewBatch:
    """A batch of bare questions."""
    return batch_of_rows([{"question": question} for question in questions], options, "question", max_total_tokens)


def batch_of_rows(
    rows: Sequence[Row],
    options: Mapping[str, Any],
    question_column: str | None = None,
    max_total_tokens: int | None = None,
) -> NewBatch:
    """A batch of a table's rows; the rows come back with their answers. Raises UsageError without a question column."""
    _check_size(len(rows))
    column = find_question_column(rows, question_column)
    check_repeated("The columns' names have", width_of(columns_of(rows)), len(rows))
    check_repeated("The options have", len(json.dumps(options, ensure_ascii=False)), len(rows))
    items = [_table_item(ordinal, row, column, options) for ordinal, row in enumerate(rows)]
    return NewBatch(BatchForm.ROWS, tuple(items), max_total_tokens)


def batch_of_file(
    data: bytes,
    suffix: str,
    options: Mapping[str, Any],
    question_column: str | None = None,
    max_total_tokens: int | None = None,
    read_chat: ReadChat | None = None,
) -> NewBatch:
    """A batch of a file's bytes: ".csv", or ".jsonl", which may be a batch file of OpenAI where `read_chat` reads one.

    Raises UsageError that names the line.
    """
    rows = parse_rows(data, suffix, "The file")
    if suffix == ".jsonl" and read_chat is not None and rows and _is_openai(rows[0]):
        return batch_of_requests(rows, read_chat, max_total_tokens)
    return batch_of_rows(rows, options, question_column, max_total_tokens)


def batch_of_requests(lines: Sequence[Row], read_chat: ReadChat, max_total_tokens: int | None = None) -> NewBatch:
    """A batch of the lines of an OpenAI batch file. Raises UsageError that names the line."""
    _check_size(len(lines))
    items = [_request_item(ordinal, line, read_chat) for ordinal, line in enumerate(lines)]
    twice, times = Counter(item.custom_id for item in items).most_common(1)[0]
    if times > 1:
        raise UsageError(f"The custom_id {twice!r} stands in two lines; results are told apart by it.")
    return NewBatch(BatchForm.OPENAI, tuple(items), max_total_tokens)


def _check_size(count: int) -> None:
    if not count:
        raise UsageError("The batch is empty: there is nothing to ask.")
    if count > MAX_ROWS:
        raise UsageError(f"The batch has {count:,} questions; at most {MAX_ROWS:,} are taken. Split it.")


def _table_item(ordinal: int, row: Row, column: str, options: Mapping[str, Any]) -> BatchItem:
    question = question_of(row, column)
    error = None if question else NO_QUESTION
    return BatchItem(ordinal, question, _fingerprint(question, options), dict(options), row, error=error)


def _is_openai(line: Row) -> bool:
    return "custom_id" in line and "body" in line


def _request_item(ordinal: int, line: Row, read_chat: ReadChat) -> BatchItem:
    where = f"Line {ordinal + 1}"
    name, body = line.get("custom_id"), line.get("body")
    if not isinstance(name, str) or not isinstance(body, dict):
        raise UsageError(f"{where}: `custom_id` (a text) and `body` (an object) are wanted.")
    if (line.get("method", "POST"), line.get("url", CHAT_URL)) != ("POST", CHAT_URL):
        raise UsageError(f"{where}: only POST {CHAT_URL} can be batched here.")
    try:
        question, options = read_chat(body)
    except ValueError as error:
        raise UsageError(f"{where}: the body is no chat completion request ({error}).") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", code=error.code) from error
    return BatchItem(ordinal, question, _fingerprint(question, options), options, {}, custom_id=name)


def _fingerprint(question: str, options: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([folded(question), options], sort_keys=True).encode()).hexdigest()
