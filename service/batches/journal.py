"""Finished rows of a run on disk, so that a kill costs nothing that was answered; and files put in place whole."""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path

import orjson

from domain.errors import UsageError
from service.batches.columns import ANSWER_COLUMNS, Row


class Journal:
    """Finished rows, one JSON line each, under a first line that names the table they belong to."""

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
            raise UsageError(
                f"{str(self.path)!r} belongs to a run over other questions, or with other options; {advice}"
            )
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
        put_in_place(self.path, b"".join(lines))
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


def put_in_place(path: Path, data: bytes) -> None:
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


def _journal_entry(line: bytes) -> tuple[int, Row]:
    """A finished row. Raises ValueError, TypeError or KeyError for a line that is no journal's."""
    entry = orjson.loads(line)
    index, columns = entry["row"], entry["columns"]
    if not isinstance(index, int) or not isinstance(columns, dict) or not set(ANSWER_COLUMNS) <= set(columns):
        raise ValueError("no row of a batch run")
    return index, columns
