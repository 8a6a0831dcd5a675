"""CORPUS files: one document a line, `{"id", "title", "text"}` in JSON, plain or compressed with gzip.

They are streamed: a line is read when its turn comes, decompression is counted as it goes, and a bad line is reported
with its number while the others are read.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

import orjson

from domain.documents import LoadedDocument
from domain.errors import LoadError
from ingestion.loaders.assembly import clean_metadata, tidy_title
from ingestion.loaders.plain import paragraph_blocks
from ingestion.regular_file import open_regular
from ingestion.text_gate import clean, removal_warnings

_MAX_LINE = 64 * 1024 * 1024
_MAX_RATIO = 200  # decompressed to compressed; text reaches 3 to 10, a bomb 1000
_RATIO_FROM = 64 * 1024 * 1024
_COUNTED_BYTES = 64 * 1024 * 1024  # a larger file takes too long to count for the sake of a progress bar
_DAMAGE = (OSError, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class CorpusRecord:
    """One line: its document under the id it states, or what is wrong with it under "file:line"."""

    source: str
    outcome: LoadedDocument | LoadError
    content_hash: str = ""


def is_corpus(path: str) -> bool:
    """True for a .jsonl or .jsonl.gz file whose first filled line is an object with a string "id" and a string
    "text".
    """
    if not path.lower().endswith((".jsonl", ".jsonl.gz")):
        return False
    try:
        with _lines(path) as lines:
            return _is_record(orjson.loads(next((line for line in lines if line.strip()), b"")))
    except (*_DAMAGE, LoadError, orjson.JSONDecodeError):
        return False


def count_records(path: str) -> int:
    """How many filled lines the file has, for a progress bar; 1 when it is too large or too damaged to count."""
    try:
        if os.path.getsize(path) > _COUNTED_BYTES:
            return 1
        with _lines(path) as lines:
            return sum(1 for line in lines if line.strip())
    except (*_DAMAGE, LoadError):
        return 1


def corpus_records(path: str) -> Iterator[CorpusRecord]:
    """The records of a CORPUS file in order. Damage ends the stream with a record that names the line."""
    number = 0
    try:
        with _lines(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _record(line, f"{path}:{number}")
    except _DAMAGE as error:
        message = f"{path} is damaged after line {number} ({error}); get a complete copy."
        yield CorpusRecord(f"{path}:{number + 1}", LoadError(message, code="corrupt_document"))
    except LoadError as error:
        yield CorpusRecord(f"{path}:{number + 1}", error)


def _record(line: bytes, place: str) -> CorpusRecord:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        message = f"{place} is not valid JSON ({error}); correct the line."
        return CorpusRecord(place, LoadError(message, code="invalid_json"))
    if not _is_record(record) or not clean(record["id"]).text.strip():
        message = f'{place} is not an object with a string "id" and a string "text"; correct the line.'
        return CorpusRecord(place, LoadError(message, code="invalid_json"))
    source = clean(record["id"]).text.strip()
    document = _document(record, source)
    if not document.text.strip():
        message = f"{place} ({source!r}) has no text; there is nothing to index."
        return CorpusRecord(source, LoadError(message, code="empty_document"))
    return CorpusRecord(source, document, _hash(record))


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("id"), str) and isinstance(value.get("text"), str)


def _document(record: Mapping[str, Any], source: str) -> LoadedDocument:
    cleaned = clean(record["text"])
    title, metadata = record.get("title"), record.get("metadata")
    return LoadedDocument(
        title=tidy_title(title if isinstance(title, str) else "") or tidy_title(source),
        text=cleaned.text,
        media_type="text/plain",
        blocks=paragraph_blocks(cleaned.text),
        metadata=clean_metadata(metadata) if isinstance(metadata, dict) else {},
        warnings=removal_warnings(cleaned.removed),
    )


def _hash(record: Mapping[str, Any]) -> str:
    """The sha256 of everything that becomes part of the document."""
    parts = [record.get("title"), record["text"], record.get("metadata")]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


@contextmanager
def _lines(path: str) -> Iterator[Iterator[bytes]]:
    """The lines of the file, decompressed as they are read and never more than the limits allow."""
    with open_regular(path) as file:
        if path.lower().endswith(".gz"):
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield _counted(cast("IO[bytes]", unpacked), path, os.fstat(file.fileno()).st_size)
        else:
            yield _counted(file, path, os.fstat(file.fileno()).st_size)


def _counted(stream: IO[bytes], path: str, size: int) -> Iterator[bytes]:
    total = 0
    while line := stream.readline(_MAX_LINE + 1):
        total += len(line)
        if len(line) > _MAX_LINE:
            raise LoadError(f"{path} has a line over {_MAX_LINE // 2**20} MB; split it.", code="too_large")
        if total > _RATIO_FROM and total > _MAX_RATIO * size:
            message = f"{path} unpacks to more than {_MAX_RATIO} times its size: this looks like a decompression bomb."
            raise LoadError(message, code="decompression_limit")
        yield line.removeprefix(b"\xef\xbb\xbf") if total == len(line) else line
