"""The columns of a table of questions: the names it came with, and those that its rows gain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from domain.answers import Answer
from domain.errors import FoveaError, UsageError
from domain.jobs import ErrorInfo

Row = dict[str, Any]

ANSWER_COLUMNS = (
    "answer", "abstained", "degraded", "citations", "context_tokens", "prompt_tokens", "completion_tokens", "model",
    "error",
)  # fmt: skip
NO_QUESTION = ErrorInfo("no_question", "The row has no question.")


def check_names(names: Iterable[str], name: str) -> None:
    """Raise UsageError where two columns have one name: of their cells only the last would be kept."""
    doubled = [column for column, times in Counter(names).items() if column.strip() and times > 1]
    if doubled:
        raise UsageError(f"{name} has two columns of the name {doubled[0][:100]!r}. Rename one of them.")


def answer_columns(answer: Answer | FoveaError) -> Row:
    """The columns of an answer, or of the error in its place."""
    if isinstance(answer, FoveaError):
        return error_columns(ErrorInfo(answer.code, answer.message), answer.spent_tokens)
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
    return {**columns, **dict.fromkeys(("prompt_tokens", "completion_tokens"), None if columns["error"] else 0)}


def error_columns(error: ErrorInfo, spent_tokens: int = 0) -> Row:
    """The columns of a row without an answer; `spent_tokens` went to a model that broke off."""
    spent = {"prompt_tokens": spent_tokens, "completion_tokens": 0} if spent_tokens else {}
    return dict.fromkeys(ANSWER_COLUMNS) | spent | {"error": f"{error.message} [{error.code}]"}
