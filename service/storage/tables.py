"""The tables, as SQLAlchemy Core sees them; `migrations/` is what creates them.

    collections ─┬─ documents ─┬─ chunks
                 │             └─ document_metadata
                 ├─ tombstones
                 ├─ new_vectors
                 └─ calibrations
    jobs ─┬─ job_blobs
          ├─ batch_items
          └─ batch_results
    idempotency_keys
    index_snapshots
    tenants ─── api_keys
    token_usage

A tenant owns collections, documents, jobs, idempotency keys and snapshots by a `tenant_id` of their own; the rest hangs
on one of these.
A key is either live (a row of `chunks`) or retired (a row of `tombstones`), never both; `generation` says since when.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

SCHEMA_VERSION = "0005"  # the newest file of migrations/versions; a database at it needs no Alembic at start

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class StoredText(TypeDecorator[str]):
    """Text that every database accepts.

    PostgreSQL refuses NUL and no database can encode a lone surrogate. Each becomes U+FFFD, one character for one, so
    that offsets into a text stay true. It applies to comparisons too: what was written is found again.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return value if value is None else storable(value)


def storable(text: str) -> str:
    """`text` with each NUL and each lone surrogate replaced by U+FFFD; the length does not change."""
    return _UNSTORABLE.sub("\ufffd", text) if _UNSTORABLE.search(text) else text


# Ids sort by code point on every database: a PostgreSQL locale would order them its own way and shift keyset pages.
Identifier = StoredText().with_variant(StoredText(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _belongs_to(column: str) -> ForeignKey:
    return ForeignKey(column, ondelete="CASCADE")


collections = Table(
    "collections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant_id", Identifier, nullable=False),
    Column("name", Identifier, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("model_id", StoredText),
    Column("dim", Integer),
    Column("codec_id", StoredText),
    Column("created_at", StoredText, nullable=False),
    UniqueConstraint("tenant_id", "name"),
    sqlite_autoincrement=True,  # an id is never used twice, so an old snapshot cannot pass for a new collection's
)

documents = Table(
    "documents",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("tenant_id", Identifier, nullable=False),
    Column("id", Identifier, nullable=False),
    Column("collection_id", Integer, _belongs_to("collections.id"), nullable=False),
    Column("source", StoredText, nullable=False),
    Column(
        "source_hash", StoredText, nullable=False
    ),  # a B-tree of PostgreSQL takes no key over 2,700 bytes: URLs are longer
    Column("title", StoredText, nullable=False),
    Column("media_type", StoredText, nullable=False),
    Column("content_hash", StoredText, nullable=False),
    Column("recipe", StoredText, nullable=False),
    Column("status", StoredText, nullable=False),
    Column("error_code", StoredText),
    Column("error_message", StoredText),
    Column("chunk_count", Integer, nullable=False),
    Column("characters", Integer, nullable=False),
    Column("metadata", StoredText, nullable=False),
    Column("warnings", StoredText, nullable=False),
    Column("pages", StoredText, nullable=False),
    Column("created_at", StoredText, nullable=False),
    Column("updated_at", StoredText, nullable=False),
    Column("text", StoredText, nullable=False),
    UniqueConstraint("tenant_id", "id"),
    UniqueConstraint("collection_id", "source_hash"),
    sqlite_autoincrement=True,
)

document_metadata = Table(
    "document_metadata",
    metadata,
    Column("document_number", Integer, _belongs_to("documents.number"), primary_key=True),
    Column("entry", StoredText, primary_key=True),  # sha256 of a name and its value: equality without JSON dialects
    Index(None, "entry"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("collection_id", Integer, _belongs_to("collections.id"), primary_key=True),
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Identifier, nullable=False),
    Column("document_number", Integer, _belongs_to("documents.number"), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("token_count", Integer, nullable=False),
    Column("header_start", Integer),
    Column("header_end", Integer),
    Column("sentences", LargeBinary, nullable=False),  # int32 triples (start, end, is_row), little-endian
    Column("heading_path", StoredText, nullable=False),
    Column("header_text", StoredText, nullable=False),
    Column("pages", StoredText, nullable=False),
    Column("vector", LargeBinary, nullable=False),  # float32, little-endian
    Column("text", StoredText, nullable=False),
    Column("tokens", LargeBinary),  # last: SQLite reads a row only as far as the columns asked for
    UniqueConstraint("collection_id", "id"),
    Index(None, "collection_id", "generation"),
    Index(None, "document_number", "key"),  # a filter by document reads keys without touching the rows
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("collection_id", Integer, _belongs_to("collections.id"), primary_key=True),
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
    Index(None, "collection_id", "generation"),
)

new_vectors = Table(  # of another encoder, kept until all chunks of the collection have one
    "new_vectors",
    metadata,
    Column("collection_id", Integer, _belongs_to("collections.id"), primary_key=True, autoincrement=False),
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("encoder", StoredText, nullable=False),  # model, width and codec: a run goes on where it has the same
    Column("vector", LargeBinary, nullable=False),
    Column("tokens", LargeBinary),
)

calibrations = Table(
    "calibrations",
    metadata,
    Column("collection_id", Integer, _belongs_to("collections.id"), primary_key=True, autoincrement=False),
    Column("content", StoredText, nullable=False),  # JSON: what a run found out, read and written as a whole
    Column("updated_at", StoredText, nullable=False),
)

index_snapshots = Table(
    "index_snapshots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant_id", Identifier, nullable=False),
    Column(
        "collection_id", Integer, nullable=False
    ),  # no foreign key: it outlives its collection until the file is gone
    Column("kind", StoredText, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", StoredText, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("dim", Integer, nullable=False),
    Column("created_at", StoredText, nullable=False),
    UniqueConstraint("collection_id", "kind", "generation", "sha256"),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True),  # the order of arrival
    Column("tenant_id", Identifier, nullable=False),
    Column("id", Identifier, nullable=False),
    Column("kind", StoredText, nullable=False),
    Column("status", StoredText, nullable=False),
    Column("document_id", Identifier),  # of the payload, where the job is about one document
    Column("collection", Identifier),  # of the payload, where the job writes into one
    Column("payload", StoredText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("place", BigInteger, nullable=False, server_default="0"),  # in the line: the lowest is next
    Column("node", StoredText),  # the installation whose worker holds it
    Column("lease", StoredText),  # who holds it; a worker whose lease is another one may write no more
    Column("beats", BigInteger, nullable=False, server_default="0"),  # signs of life of the holder
    Column("error_code", StoredText),
    Column("error_message", StoredText),
    Column("created_at", StoredText, nullable=False),
    Column("updated_at", StoredText, nullable=False),
    UniqueConstraint("tenant_id", "id"),
    Index(None, "tenant_id", "status", "number"),
    Index(None, "tenant_id", "document_id"),
    Index(None, "status", "kind", "tenant_id", "place"),  # the next of a kind, tenant by tenant
    Index(None, "place"),
    sqlite_autoincrement=True,
)

job_blobs = Table(
    "job_blobs",
    metadata,
    Column("job_number", Integer, _belongs_to("jobs.number"), primary_key=True, autoincrement=False),
    Column("blob", LargeBinary, nullable=False),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("job_number", Integer, _belongs_to("jobs.number"), primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("custom_id", StoredText),  # the sender's own name of an item
    Column("fingerprint", StoredText, nullable=False),  # equal where one answer serves both items
    Column("question", StoredText, nullable=False),
    Column("options", StoredText, nullable=False),  # JSON
    Column("row", StoredText, nullable=False),  # JSON: the columns that came with the question
    Column("error_code", StoredText),  # of an item that cannot be asked
    Column("error_message", StoredText),
)

batch_results = Table(
    "batch_results",
    metadata,
    Column("job_number", Integer, _belongs_to("jobs.number"), primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("asked", Boolean, nullable=False),  # false where another item's answer serves, or nothing was asked
    Column("content", StoredText),  # JSON
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("error_code", StoredText),
    Column("error_message", StoredText),
    Column("created_at", StoredText, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", Identifier, primary_key=True),
    Column("key", Identifier, primary_key=True),
    Column("fingerprint", StoredText, nullable=False),  # sha256 of what was asked for with the key
    Column("response", StoredText, nullable=False),  # JSON
    Column("created_at", StoredText, nullable=False),
    Index(None, "created_at"),
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("limits", StoredText, nullable=False),  # JSON
    Column("created_at", StoredText, nullable=False),
    Column("suspended_at", StoredText),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Identifier, primary_key=True),  # the public half of a key: it finds the row
    Column("tenant_id", Identifier, _belongs_to("tenants.id"), nullable=False),
    Column("name", StoredText, nullable=False),
    Column("secret_hash", StoredText, nullable=False),  # sha256 of the whole key: 256 random bits need no slow hash
    Column("scopes", StoredText, nullable=False),  # JSON, as the next two
    Column("collections", StoredText),  # null: all of the tenant
    Column("origins", StoredText, nullable=False),
    Column("publishable", Boolean, nullable=False),
    Column("limits", StoredText, nullable=False),
    Column("created_at", StoredText, nullable=False),
    Column("expires_at", StoredText),
    Column("revoked_at", StoredText),
    Index(None, "tenant_id"),
)

token_usage = Table(
    "token_usage",
    metadata,
    Column("tenant_id", Identifier, primary_key=True),
    Column("day", StoredText, primary_key=True),  # of UTC
    Column("key_id", Identifier, primary_key=True),  # outlives its key: a revoked one has still spent
    Column("answers", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
)
