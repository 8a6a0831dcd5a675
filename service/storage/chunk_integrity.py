"""What may be wrong with a chunk: its key, its vectors, its text and its place in its document."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, select, update

from domain.documents import chunk_key
from domain.errors import FoveaError
from domain.maintenance import Finding
from service.storage.problems import DecodeTokens, Looked, Problem, is_json
from service.storage.repairs import empty_and_mark, lose, rewrite
from service.storage.rows import UNIT_TOLERANCE, unpack_sentences
from service.storage.tables import chunks, documents

_BATCH = 256  # chunks read at a time: some 7 MB with their token vectors


def chunk_problems(connection: Connection, owner: Row[Any], decode: DecodeTokens, looked: Looked) -> Iterator[Problem]:
    # By document, so that each document's text is read once; a whole scan in one query would hold its cursor open
    # while repairs write.
    numbers = select(documents.c.number).where(documents.c.collection_id == owner.id).order_by(documents.c.number)
    for number in connection.execute(numbers).scalars().all():
        body = connection.execute(select(documents.c.text).where(documents.c.number == number)).scalar_one()
        mine = (chunks.c.document_number == number, chunks.c.collection_id == owner.id)
        keys = connection.execute(select(chunks.c.key).where(*mine).order_by(chunks.c.ordinal)).scalars().all()
        looked.counts["chunks"] = looked.counts.get("chunks", 0) + len(keys)
        for start in range(0, len(keys), _BATCH):
            part = (chunks.c.collection_id == owner.id, chunks.c.key.in_(keys[start : start + _BATCH]))
            for row in connection.execute(select(chunks).where(*part).order_by(chunks.c.ordinal)).all():
                yield from _chunk(owner, row, body, decode, looked)


def _chunk(owner: Row[Any], row: Row[Any], body: str, decode: DecodeTokens, looked: Looked) -> Iterator[Problem]:
    place = f"chunk {row.id}"
    reason = _beyond_repair(owner, row)
    if reason is not None:
        mend = partial(lose, row.collection_id, row.key, row.document_number)
        repair = "the chunk is taken out and its document marked to be read again"
        yield Problem(Finding(reason[0], place, reason[1], repair), mend)
        return
    own = update(chunks).where(chunks.c.collection_id == row.collection_id, chunks.c.key == row.key)
    if row.text != body[row.start : row.end]:
        mend = partial(rewrite, row.collection_id, own, body[row.start : row.end])
        detail = "its text is not that of its document at its place"
        yield Problem(Finding("wrong_text", place, detail, "it is taken from the document"), mend)
    if (problem := _tokens_problem(owner, row, decode, looked)) is not None:
        mend = partial(empty_and_mark, row.document_number, own.values(tokens=None))
        repair = "it is found by its sentence vector and its words until its document is read again"
        yield Problem(Finding("bad_tokens", place, problem, repair), mend)


def _beyond_repair(owner: Row[Any], row: Row[Any]) -> tuple[str, str] | None:
    """(kind, reason) why a chunk cannot stay; None when it can."""
    if row.key != chunk_key(row.id):
        return "wrong_hash", "its key is not the one that its id gives"
    if (problem := _vector_problem(row.vector, owner.dim)) is not None:
        return "bad_vector", problem
    if (problem := _row_problem(row)) is not None:
        return "unreadable_row", problem
    return None


def _vector_problem(blob: bytes, dim: int | None) -> str | None:
    if dim is not None and len(blob) != 4 * dim:
        return f"its vector has {len(blob)} bytes instead of {4 * dim}"
    vector = np.frombuffer(blob[: len(blob) // 4 * 4], dtype="<f4").astype(np.float64)
    if not np.isfinite(vector).all():
        return "its vector is not finite"
    norm = float(np.linalg.norm(vector))
    return None if abs(norm - 1.0) <= UNIT_TOLERANCE else f"its vector has length {norm:.6g}"


def _row_problem(row: Row[Any]) -> str | None:
    try:
        spans = [item.span for item in unpack_sentences(row.sentences)]
    except (ValueError, FoveaError):
        return "its sentences cannot be read"
    if any(span.start < row.start or span.end > row.end for span in spans):
        return "its sentences are outside of it"
    if not (is_json(row.heading_path, list) and is_json(row.pages, list)):
        return "its headings or pages cannot be read"
    return None


def _tokens_problem(owner: Row[Any], row: Row[Any], decode: DecodeTokens, looked: Looked) -> str | None:
    if row.tokens is None:
        return None
    try:
        decode(owner.codec_id or "", row.tokens)
    except LookupError:
        looked.unchecked.add(
            f"The token vectors of collection {owner.name} are packed as {owner.codec_id!r}, which the configured "
            "encoder does not read."
        )
    except FoveaError as error:
        return f"its token vectors cannot be read: {error.message}"
    return None
