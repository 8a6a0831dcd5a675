"""The columns that a row of questions gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.answers import Answer
from domain.errors import FoveaError
from domain.jobs import ErrorInfo

Row = dict[str, Any]

ANSWER_COLUMNS = (
    "answer", "abstained", "degraded", "citations", "context_tokens", "prompt_tokens", "completion_tokens", "model",
    "error",
)  # fmt: skip
NO_QUESTION = ErrorInfo("no_question", "The row has no question.")


def answer_columns(answer: Answer | FoveaError) -> Row:
    """The columns of an answer, or of the error in its place."""
    if isinstance(answer, FoveaError):
        return error_columns(ErrorInfo(answer.code, answer.message))
    return {
        "answer": answer.text,
        "abstained": answer.abstained,
        "degraded": answer.degraded,
        "citations": [item.to_dict() for item in answer.citations],
        "context_tokens": answer.search.context.context_tokens,
        "prompt_tokens": answer.usage.prompt_tokens,
        "completion_tokens": answer.usage.completion_tokens,
        "model": answer.model,
        "error": None,
    }


def repeated_columns(columns: Mapping[str, Any]) -> Row:
    """The same answer for another row that asks the same: it has cost nothing again."""
    free = {} if columns["error"] else {"prompt_tokens": 0, "completion_tokens": 0}
    return {**columns, **free}


def error_columns(error: ErrorInfo) -> Row:
    return dict.fromkeys(ANSWER_COLUMNS) | {"error": f"{error.message} [{error.code}]"}
