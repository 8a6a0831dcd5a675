"""Domain values to rows and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from sqlalchemy import Row

from domain.documents import Chunk, Document, DocumentRef, Page, Sentence, Span
from domain.errors import DomainError
from domain.jobs import DocumentInfo, DocumentStatus, ErrorInfo
from domain.search import FloatArray
from service.storage.tables import storable

UNIT_TOLERANCE = 1e-3


def now() -> str:
    """The time as ISO-8601 in UTC, of fixed width, so that text order is time order."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def digest(text: str) -> str:
    return hashlib.sha256(storable(text).encode()).hexdigest()


# -- documents ---------------------------------------------------------------------------------------------------------


def document_row(document: Document, chunk_count: int) -> dict[str, Any]:
    """The columns that a complete version sets; the error of an earlier attempt goes."""
    return {
        "source": document.source,
        "source_hash": digest(document.source),
        "title": document.title,
        "media_type": document.media_type,
        "content_hash": document.content_hash,
        "recipe": document.recipe,
        "status": DocumentStatus.INDEXED.value,
        "error_code": None,
        "error_message": None,
        "chunk_count": chunk_count,
        "characters": len(document.text),
        "metadata": _json(dict(document.metadata)),
        "warnings": _json(list(document.warnings)),
        "pages": pages_json(document.pages),
        "updated_at": now(),
        "text": document.text,
    }


def failed_row(source: str, error: ErrorInfo) -> dict[str, Any]:
    """The columns of a source that has never been read: something to list, nothing to find."""
    empty = Document(id="", source=source, title=source, text="", media_type="", content_hash="")
    return document_row(empty, 0) | {
        "status": DocumentStatus.FAILED.value,
        "error_code": error.code,
        "error_message": error.message,
    }


def document_from(row: Row[Any]) -> Document:
    return Document(
        id=row.id,
        source=row.source,
        title=row.title,
        text=row.text,
        media_type=row.media_type,
        content_hash=row.content_hash,
        recipe=row.recipe,
        pages=pages_from(row.pages),
        metadata=_mapping(row.metadata),
        warnings=tuple(json.loads(row.warnings)),
    )


def info_from(row: Row[Any]) -> DocumentInfo:
    return DocumentInfo(
        id=row.id,
        source=row.source,
        title=row.title,
        collection=row.collection,
        media_type=row.media_type,
        status=DocumentStatus(row.status),
        chunks=row.chunk_count,
        characters=row.characters,
        updated_at=row.updated_at,
        error=error_from(row),
        metadata=_mapping(row.metadata),
    )


def error_from(row: Row[Any]) -> ErrorInfo | None:
    return None if row.error_code is None else ErrorInfo(row.error_code, row.error_message or "")


def metadata_entries(metadata: Mapping[str, Any]) -> list[str]:
    """One digest a pair of name and value, the unit of the metadata filter.

    Equality is JSON's: 1 and 1.0 are the same number, 1 and true are not the same value.
    """
    try:
        plain = [[name, _plain(value)] for name, value in metadata.items()]
    except RecursionError as error:
        raise DomainError("Metadata is nested too deeply; keep it to a few levels.") from error
    return sorted({digest(_json(pair)) for pair in plain})


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


# -- chunks ------------------------------------------------------------------------------------------------------------


def chunk_row(chunk: Chunk, vector: bytes, tokens: bytes | None) -> dict[str, Any]:
    return {
        "key": chunk.key,
        "id": chunk.id,
        "ordinal": chunk.ordinal,
        "start": chunk.span.start,
        "end": chunk.span.end,
        "token_count": chunk.token_count,
        "header_start": chunk.header.start if chunk.header else None,
        "header_end": chunk.header.end if chunk.header else None,
        "sentences": pack_sentences(chunk.sentences),
        "heading_path": _json(list(chunk.heading_path)),
        "header_text": chunk.header_text,
        "pages": pages_json(chunk.pages),
        "vector": vector,
        "text": chunk.text,
        "tokens": tokens,
    }


def chunk_from(row: Row[Any]) -> Chunk:
    return Chunk(
        id=row.chunk_id,
        key=row.key,
        document_id=row.document_id,
        ordinal=row.ordinal,
        span=Span(row.start, row.end),
        text=row.text,
        sentences=unpack_sentences(row.sentences),
        heading_path=tuple(json.loads(row.heading_path)),
        token_count=row.token_count,
        header=None if row.header_start is None else Span(row.header_start, row.header_end),
        header_text=row.header_text,
        pages=pages_from(row.chunk_pages),
    )


def ref_from(row: Row[Any]) -> DocumentRef:
    return DocumentRef(row.document_id, row.source, row.title, row.media_type, _mapping(row.metadata))


def pack_sentences(sentences: Sequence[Sentence]) -> bytes:
    rows = [(item.span.start, item.span.end, item.is_row) for item in sentences]
    return np.array(rows, dtype="<i4").tobytes()


def unpack_sentences(blob: bytes) -> tuple[Sentence, ...]:
    rows = np.frombuffer(blob, dtype="<i4").reshape(-1, 3).tolist()
    return tuple(Sentence(ordinal, Span(start, end), bool(row)) for ordinal, (start, end, row) in enumerate(rows))


def pack_vectors(vectors: FloatArray, count: int, dim: int | None) -> list[bytes]:
    """One blob a row. Raises DomainError unless `vectors` is (count, dim), finite and of unit rows: a wrong vector that
    got in would be wrong in every answer from then on.
    """
    if vectors.ndim != 2 or len(vectors) != count or (dim is not None and vectors.shape[1] != dim):
        raise DomainError(f"The encoder gave vectors of shape {vectors.shape} for {count} chunks of width {dim}.")
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1.0) <= UNIT_TOLERANCE))  # not <=: NaN counts as wrong
    if wrong.size:
        raise DomainError(
            f"The encoder gave a vector of length {norms[wrong[0]]:.4g} for chunk {wrong[0]}; 1 is required."
        )
    return [row.tobytes() for row in vectors.astype("<f4")]


def unpack_vectors(blobs: Iterable[bytes], dim: int) -> FloatArray:
    """Shape (N, dim), writable, for N blobs."""
    joined = bytearray().join(blobs)
    return np.frombuffer(joined, dtype="<f4").reshape(-1, dim).astype(np.float32, copy=False)


# -- small parts -------------------------------------------------------------------------------------------------------


def pages_json(pages: Sequence[Page]) -> str:
    return _json([[page.number, page.span.start, page.span.end] for page in pages])


def pages_from(text: str) -> tuple[Page, ...]:
    return tuple(Page(number, Span(start, end)) for number, start, end in json.loads(text))


def payload_json(payload: Mapping[str, Any]) -> str:
    return _json(dict(payload))


def payload_from(text: str) -> Mapping[str, Any]:
    return _mapping(text)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DomainError(f"Metadata must be plain JSON (text, finite numbers, lists, objects): {error}.") from error


def _mapping(text: str) -> Mapping[str, Any]:
    return MappingProxyType(json.loads(text))
