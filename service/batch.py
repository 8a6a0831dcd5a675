"""A table of questions in, the same table with answers out, safe against a kill at any moment.

Every finished row goes to a journal beside the output (`OUTPUT.journal`: one JSON line a row, flushed to disk). A run
that starts again reads the journal and asks only what is missing. When all rows are there, the output is written whole
under a temporary name, renamed into place, and the journal goes. A torn last line, the mark of a kill, is dropped.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from domain.answers import Answer
from domain.errors import FoveaError, UsageError

Row = dict[str, Any]
AnswerMany = Callable[[Iterable[str]], Iterator[Answer | FoveaError]]

ANSWER_COLUMNS = (
    "answer", "abstained", "degraded", "citations", "context_tokens", "prompt_tokens", "completion_tokens", "model",
    "error",
)  # fmt: skip
_QUESTION_NAMES = ("question", "query", "问题", "問題")
_FORMATS = (".csv", ".jsonl")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")  # ASVS 1.2.10


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """One batch run: rows in all, answered earlier and taken from the journal, abstained, failed."""

    rows: int
    resumed: int
    abstained: int
    failed: int
    context_tokens: int
    output: str

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def run_batch(
    source: Path,
    output: Path,
    answer_many: AnswerMany,
    *,
    question_column: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> BatchSummary:
    """Answer every row of `source` into `output`; see the module's text for what a kill leaves behind.

    Raises UsageError for an unreadable table, a missing question column, or an `output` that holds something else.
    """
    for path in (source, output):
        if path.suffix.lower() not in _FORMATS:
            raise UsageError(f"{str(path)!r} is not .csv or .jsonl; save the table in one of these formats.")
    _check_place(output)
    rows = read_rows(source)
    column = find_question_column(rows, question_column)
    questions = [str(row.get(column) or "").strip() for row in rows]
    journal = Journal(output.with_name(output.name + ".journal"), _fingerprint(column, questions))
    if output.exists() and not journal.path.exists() and not overwrite:
        return _already_done(output, rows, column)
    done = journal.read()
    resumed = len(done)
    with journal:
        missing = [index for index in range(len(rows)) if index not in done]
        known = {questions[index]: columns for index, columns in done.items()}
        for index, columns in zip(missing, _answer_rows(missing, questions, known, answer_many), strict=True):
            journal.append(index, columns)
            done[index] = columns
            if progress:
                progress(len(done), len(rows))
    write_rows(output, [row | done[index] for index, row in enumerate(rows)])
    journal.remove()
    return _summary([done[index] for index in range(len(rows))], resumed, output)


def _check_place(output: Path) -> None:
    """Raise UsageError where the output could not be written, before anything is asked."""
    if output.is_dir():
        raise UsageError(f"{str(output)!r} is a folder; name a file in it.")
    if not output.parent.is_dir():
        raise UsageError(f"The folder {str(output.parent)!r} does not exist; create it first.")
    if not os.access(output.parent, os.W_OK):
        raise UsageError(f"The folder {str(output.parent)!r} cannot be written to; choose another place.")


def _answer_rows(
    indexes: Sequence[int], questions: Sequence[str], known: dict[str, Row], answer_many: AnswerMany
) -> Iterator[Row]:
    """Answer columns for each index, in order; equal questions are asked once, `known` ones not at all."""
    known = known | {"": _error_columns("The row has no question.")}
    fresh = dict.fromkeys(questions[index] for index in indexes if questions[index] not in known)
    answers = zip(fresh, answer_many(fresh), strict=True)
    for index in indexes:
        while questions[index] not in known:
            question, answer = next(answers)
            known[question] = answer_columns(answer)
        yield known[questions[index]]


def answer_columns(answer: Answer | FoveaError) -> Row:
    """The columns that a row gains."""
    if isinstance(answer, FoveaError):
        return _error_columns(f"{answer.message} [{answer.code}]")
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


def _error_columns(message: str) -> Row:
    return dict.fromkeys(ANSWER_COLUMNS) | {"error": message}


class Journal:
    """Finished rows on disk, one JSON line each, under a first line that names the table they belong to."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self._fingerprint = fingerprint
        self._file: io.BufferedWriter | None = None

    def read(self) -> dict[int, Row]:
        """The rows answered so far without an error, by index; rows that failed are asked again."""
        if not self.path.exists():
            return {}
        advice = "move it away or name another output file."
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]  # what follows the last line end is torn
            table = orjson.loads(lines[0])["table"] if lines else self._fingerprint
            entries = dict(map(_journal_entry, lines[1:])) if table == self._fingerprint else {}
        except OSError as error:
            raise UsageError(f"{str(self.path)!r} cannot be read: {error.strerror}; {advice}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{str(self.path)!r} is not the journal of a batch run; {advice}") from error
        if table != self._fingerprint:
            raise UsageError(f"{str(self.path)!r} belongs to a run over other questions; {advice}")
        return {row: columns for row, columns in entries.items() if not columns["error"]}

    def append(self, index: int, columns: Row) -> None:
        assert self._file is not None, "the journal is open only inside its with block"
        self._file.write(orjson.dumps({"row": index, "columns": columns}) + b"\n")
        self._flush()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        kept = [{"row": index, "columns": columns} for index, columns in self.read().items()]
        lines = [orjson.dumps(entry) + b"\n" for entry in [{"table": self._fingerprint}, *kept]]
        _put_in_place(self.path, b"".join(lines))
        self._file = open(self.path, "ab", opener=_open_no_link)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _flush(self) -> None:
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())


def _journal_entry(line: bytes) -> tuple[int, Row]:
    """A finished row. Raises ValueError, TypeError or KeyError for a line that is no journal's."""
    entry = orjson.loads(line)
    index, columns = entry["row"], entry["columns"]
    if not isinstance(index, int) or not isinstance(columns, dict) or not set(ANSWER_COLUMNS) <= set(columns):
        raise ValueError("no row of a batch run")
    return index, columns


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV (any encoding that documents may have) or JSONL file. Raises UsageError that names the line."""
    from ingestion.encoding import decode

    try:
        text = decode(path.read_bytes()).text
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if path.suffix.lower() == ".csv":
        return _read_csv(text, path)
    return [_json_row(line, number, path) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _read_csv(text: str, path: Path) -> list[Row]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[Row] = []
    for row in reader:
        if None in row:
            raise UsageError(f"{str(path)!r} line {reader.line_num}: more cells than the header has columns.")
        rows.append(dict(row))
    return rows


def _json_row(line: str, number: int, path: Path) -> Row:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{str(path)!r} line {number}: not JSON ({error}).") from error
    if isinstance(row, str):
        return {"question": row}
    if not isinstance(row, dict):
        raise UsageError(f"{str(path)!r} line {number}: an object with a question is expected.")
    return row


def find_question_column(rows: Sequence[Row], wanted: str | None) -> str:
    """The column that holds the questions: the one named, else one called question, else the only one."""
    if not rows:
        raise UsageError("The table has no rows: there is nothing to ask.")
    columns = list(rows[0])
    if wanted is not None:
        if wanted not in columns:
            raise UsageError(f"There is no column {wanted!r}. Columns: {', '.join(columns)}.")
        return wanted
    for name in columns:
        if name.strip().lower() in _QUESTION_NAMES:
            return name
    if len(columns) == 1:
        return columns[0]
    raise UsageError(f"Which column holds the questions? Name it with --question-column: {', '.join(columns)}.")


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows under a temporary name, then rename: the file is whole or it is not there."""
    data = _csv_bytes(rows) if path.suffix.lower() == ".csv" else b"".join(orjson.dumps(row) + b"\n" for row in rows)
    _put_in_place(path, data)


def _put_in_place(path: Path, data: bytes) -> None:
    """Write a new file beside `path` and rename it: whole or not at all, and through nobody's link.

    Its name cannot be guessed and it must not exist, so that no link laid out in a shared folder leads the bytes
    elsewhere, and no file of the user's is taken for a temporary one.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb", opener=_open_no_link) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o644)  # Windows has no such flag


def _csv_bytes(rows: Sequence[Row]) -> bytes:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO(newline="")
    # All cells quoted: a delimiter of another locale inside one cannot start a cell, and with it a formula.
    writer = csv.DictWriter(buffer, columns, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(name, value) for name, value in row.items()})
    return buffer.getvalue().encode("utf-8-sig")  # the mark lets spreadsheets read Chinese


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, list | dict):
        return orjson.dumps(value).decode()
    # Our own cells hold text from documents and models: a spreadsheet must not run it as a formula.
    if name in ANSWER_COLUMNS and isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return value


def _already_done(output: Path, rows: Sequence[Row], column: str) -> BatchSummary:
    finished = read_rows(output)
    same = [str(row.get(column)) for row in finished] == [str(row.get(column)) for row in rows]
    if not same or not set(ANSWER_COLUMNS) <= set(finished[0]):
        raise UsageError(f"{str(output)!r} exists and holds something else; name another file or give --overwrite.")
    return _summary(finished, len(rows), output)


def _summary(rows: Sequence[Row], resumed: int, output: Path) -> BatchSummary:
    return BatchSummary(
        rows=len(rows),
        resumed=resumed,
        abstained=sum(str(row["abstained"]).lower() == "true" for row in rows),
        failed=sum(bool(row["error"]) for row in rows),
        context_tokens=sum(int(row["context_tokens"] or 0) for row in rows),
        output=str(output),
    )


def _fingerprint(column: str, questions: Sequence[str]) -> str:
    return hashlib.sha256(orjson.dumps([column, *questions])).hexdigest()
