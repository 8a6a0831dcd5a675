"""A table of questions in, the same table with answers out, safe against a kill at any moment: `fovea batch`.

Every finished row goes to a journal beside the output (`OUTPUT.journal`: one JSON line a row, flushed to disk). A run
that starts again reads the journal and asks only what is missing. When all rows are there, the output is written whole
under a temporary name, renamed into place, and the journal goes. A torn last line, the mark of a kill, is dropped.

Questions that differ in case, width or white space only are asked once. A run that comes to its ceiling of tokens
writes the output too, with the reason in the rows that were not asked, and keeps the journal: the same command with a
higher ceiling goes on from there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from domain.answers import Answer
from domain.errors import FoveaError, UsageError
from service.answer_strings import folded
from service.batches.columns import (
    ANSWER_COLUMNS,
    NO_QUESTION,
    Row,
    answer_columns,
    error_columns,
    repeated_columns,
)
from service.batches.formulas import disarmed
from service.batches.journal import Journal, put_in_place
from service.batches.spending import CEILING_CODE, Spending
from service.batches.tables import FORMATS, find_question_column, question_of, read_rows, table_bytes

_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

AnswerMany = Callable[[Iterable[str]], Iterator[Answer | FoveaError]]


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """One batch run: rows in all, answered earlier and taken from the journal, abstained, failed, and of those the ones
    beyond the ceiling. `total_tokens` are those of the calls for all rows, prompt and answer.
    """

    rows: int
    resumed: int
    abstained: int
    failed: int
    beyond_ceiling: int
    context_tokens: int
    total_tokens: int
    output: str

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def run_batch(
    source: Path,
    output: Path,
    answer_many: AnswerMany,
    *,
    question_column: str | None = None,
    max_total_tokens: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    options: Mapping[str, Any] = _NO_OPTIONS,
) -> BatchSummary:
    """Answer every row of `source` into `output`; see the module's text for what a kill leaves behind.

    `options` are those that `answer_many` asks with: an interrupted run goes on under the same ones only.

    Raises UsageError for an unreadable table, a missing question column, or an `output` that holds something else.
    """
    for path in (source, output):
        if path.suffix.lower() not in FORMATS:
            raise UsageError(f"{str(path)!r} is not .csv, .jsonl or .xlsx; save the table in one of these formats.")
    _check_place(output)
    rows = read_rows(source)
    sheet_name = _sheet_name(source, output)
    column = find_question_column(rows, question_column)
    questions = [question_of(row, column) for row in rows]
    journal = Journal(output.with_name(output.name + ".journal"), _fingerprint(column, questions, options))
    if output.exists() and not journal.path.exists() and not overwrite:
        return _already_done(output, rows, column)
    done = journal.read()
    resumed = len(done)
    spending = Spending(max_total_tokens, *_tokens_of(done.values()))
    with journal:
        missing = [index for index in range(len(rows)) if index not in done]
        known = {folded(questions[index]): columns for index, columns in done.items()}
        answers = _answer_rows(missing, questions, known, answer_many, spending)
        for index, columns in zip(missing, answers, strict=True):
            journal.append(index, columns)
            done[index] = columns
            if progress:
                progress(len(done), len(rows))
    write_rows(output, [row | done[index] for index, row in enumerate(rows)], sheet_name)
    summary = _summary([done[index] for index in range(len(rows))], resumed, output)
    if not summary.beyond_ceiling:
        journal.remove()
    return summary


def write_rows(path: Path, rows: Sequence[Row], sheet_name: str | None = None) -> None:
    """Write all rows under a temporary name, then rename: the file is whole or it is not there."""
    put_in_place(path, table_bytes(rows, path.suffix.lower(), sheet_name))


def _sheet_name(source: Path, output: Path) -> str | None:
    """What the sheet of a workbook is to be named: like the one that the questions stand on, if they do."""
    if {source.suffix.lower(), output.suffix.lower()} != {".xlsx"}:
        return None
    from service.batches.xlsx import first_sheet

    return first_sheet(source)


def _check_place(output: Path) -> None:
    """Raise UsageError where the output could not be written, before anything is asked."""
    if output.is_dir():
        raise UsageError(f"{str(output)!r} is a folder; name a file in it.")
    if not output.parent.is_dir():
        raise UsageError(f"The folder {str(output.parent)!r} does not exist; create it first.")
    if not os.access(output.parent, os.W_OK):
        raise UsageError(f"The folder {str(output.parent)!r} cannot be written to; choose another place.")


def _answer_rows(
    indexes: Sequence[int],
    questions: Sequence[str],
    known: dict[str, Row],
    answer_many: AnswerMany,
    spending: Spending,
) -> Iterator[Row]:
    """Answer columns for each index, in order; equal questions are asked once, `known` ones not at all."""
    ready: dict[str, Row] = {"": error_columns(NO_QUESTION)}
    known = {question: repeated_columns(columns) for question, columns in known.items()}
    firsts: dict[str, str] = {}
    for index in indexes:
        firsts.setdefault(folded(questions[index]), questions[index])
    fresh = [question for key, question in firsts.items() if key not in known and key not in ready]
    answers = _within_ceiling(fresh, answer_many, spending)
    for index in indexes:
        key = folded(questions[index])
        while key not in known and key not in ready:
            answered, columns = next(answers)
            ready[folded(answered)] = columns
        if key in ready:
            known[key] = repeated_columns(ready[key])
        yield ready.pop(key, known[key])


def _within_ceiling(questions: Sequence[str], answer_many: AnswerMany, spending: Spending) -> Iterator[tuple[str, Row]]:
    """Each question with its columns, asked in runs that the ceiling has room for; the rest gets the reason."""
    left = list(questions)
    while left and (count := spending.room(0, len(left))):
        for question, answer in zip(left[:count], answer_many(left[:count]), strict=True):
            columns = answer_columns(answer)
            spending.add(_tokens_of([columns])[0])
            yield question, columns
        left = left[count:]
    for question in left:
        yield question, error_columns(spending.error)


def _tokens_of(rows: Iterable[Row]) -> tuple[int, int]:
    tokens = [int(row["prompt_tokens"] or 0) + int(row["completion_tokens"] or 0) for row in rows]
    return sum(tokens), max(tokens, default=0)


def _already_done(output: Path, rows: Sequence[Row], column: str) -> BatchSummary:
    finished = read_rows(output)
    same = [str(row.get(column)) for row in finished] == [_as_written(row.get(column), output) for row in rows]
    if not same or not set(ANSWER_COLUMNS) <= set(finished[0]):
        raise UsageError(f"{str(output)!r} exists and holds something else; name another file or give --overwrite.")
    return _summary(finished, len(rows), output)


def _as_written(value: Any, output: Path) -> str:
    """A cell of the input as the output's format brings it back."""
    if output.suffix.lower() == ".jsonl":
        return str(value)
    empty = "None" if output.suffix.lower() == ".xlsx" else ""
    return empty if value in (None, "") else str(disarmed(value))


def _summary(rows: Sequence[Row], resumed: int, output: Path) -> BatchSummary:
    return BatchSummary(
        rows=len(rows),
        resumed=resumed,
        abstained=sum(str(row["abstained"]).lower() == "true" for row in rows),
        failed=sum(bool(row["error"]) for row in rows),
        beyond_ceiling=sum(str(row["error"] or "").endswith(f"[{CEILING_CODE}]") for row in rows),
        context_tokens=sum(int(row["context_tokens"] or 0) for row in rows),
        total_tokens=_tokens_of(rows)[0],
        output=str(output),
    )


def _fingerprint(column: str, questions: Sequence[str], options: Mapping[str, Any]) -> str:
    given = sorted((name, value) for name, value in options.items() if value)
    return hashlib.sha256(orjson.dumps([column, *questions, *([given] if given else [])])).hexdigest()
