"""The results of a batch as they go out: JSONL as the batch came (rows, or OpenAI's output lines), or CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from domain.batches import BatchForm, BatchInfo, BatchItem, ItemResult
from domain.jobs import ErrorInfo
from service.batches.columns import ANSWER_COLUMNS, Row, error_columns, repeated_columns
from service.batches.tables import csv_lines, json_line

Results = Iterable[tuple[BatchItem, ItemResult | None]]


def jsonl_results(info: BatchInfo, results: Results) -> Iterator[bytes]:
    """A line for each item that has a result, in order."""
    for item, result in results:
        if result is not None:
            openai = info.form is BatchForm.OPENAI
            yield json_line(_openai_line(info.id, item, result) if openai else _row(item, result))


def csv_results(info: BatchInfo, results: Results) -> Iterator[bytes]:
    """A CSV file with a row for each item that has a result; nothing in it is a formula to a spreadsheet."""
    own = ("custom_id", "question") if info.form is BatchForm.OPENAI else info.columns
    rows = (_table_row(info.form, item, result) for item, result in results if result is not None)
    return csv_lines(rows, list(dict.fromkeys((*own, *ANSWER_COLUMNS))))


def _row(item: BatchItem, result: ItemResult) -> Row:
    return {**item.row, **_columns(result)}


def _table_row(form: BatchForm, item: BatchItem, result: ItemResult) -> Row:
    if form is BatchForm.ROWS:
        return _row(item, result)
    return {"custom_id": item.custom_id, "question": item.question, **_columns_of_completion(result)}


def _columns(result: ItemResult) -> Row:
    if result.content is None:
        return error_columns(_error(result), result.tokens)
    return dict(result.content) if result.asked else repeated_columns(result.content)


def _columns_of_completion(result: ItemResult) -> Row:
    if result.content is None:
        return error_columns(_error(result), result.tokens)
    fovea = result.content["fovea"]
    names = ("answer", "abstained", "degraded", "citations", "context_tokens", "model")
    tokens = {"prompt_tokens": result.prompt_tokens, "completion_tokens": result.completion_tokens}
    return {**{name: fovea[name] for name in names}, **tokens, "error": None}


def _openai_line(batch_id: str, item: BatchItem, result: ItemResult) -> Row:
    """A line of OpenAI's output file. The id of a completion is that of its line: one answer may serve several."""
    name = f"{batch_id}-{item.ordinal}"
    line: Row = {"id": f"batch_req_{name}", "custom_id": item.custom_id, "response": None, "error": None}
    if result.content is None:
        error = _error(result)
        return line | {"error": {"code": error.code, "message": error.message}}
    body = {**result.content, "id": f"chatcmpl-{name}"}
    return line | {"response": {"status_code": 200, "request_id": f"req_{name}", "body": body}}


def _error(result: ItemResult) -> ErrorInfo:
    return result.error or ErrorInfo("internal_error", "The result has neither an answer nor an error.")
