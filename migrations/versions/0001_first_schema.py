"""The first schema: collections, documents, chunks with their vectors, tombstones, snapshot manifests, jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables, those that others point to first."""
    _create_collections()
    _create_documents()
    _create_chunks()
    _create_snapshots()
    _create_jobs()


def downgrade() -> None:
    """Drop everything."""
    for table in (
        "job_blobs",
        "jobs",
        "index_snapshots",
        "tombstones",
        "chunks",
        "document_metadata",
        "documents",
        "collections",
    ):
        op.drop_table(table)


def _create_collections() -> None:
    op.create_table(
        "collections",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", _IDENTIFIER, nullable=False),
        sa.Column("name", _IDENTIFIER, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.Text()),
        sa.Column("dim", sa.Integer()),
        sa.Column("codec_id", sa.Text()),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_collections"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_collections_tenant_id_name"),
        sqlite_autoincrement=True,
    )


def _create_documents() -> None:
    op.create_table(
        "documents",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant_id", _IDENTIFIER, nullable=False),
        sa.Column("id", _IDENTIFIER, nullable=False),
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_hash", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("characters", sa.Integer(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("pages", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        _reference("documents", "collection_id", "collections.id"),
        sa.PrimaryKeyConstraint("number", name="pk_documents"),
        sa.UniqueConstraint("tenant_id", "id", name="uq_documents_tenant_id_id"),
        sa.UniqueConstraint("collection_id", "source_hash", name="uq_documents_collection_id_source_hash"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "document_metadata",
        sa.Column("document_number", sa.Integer(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        _reference("document_metadata", "document_number", "documents.number"),
        sa.PrimaryKeyConstraint("document_number", "entry", name="pk_document_metadata"),
    )
    op.create_index("ix_document_metadata_entry", "document_metadata", ["entry"])


def _create_chunks() -> None:
    op.create_table(
        "chunks",
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", _IDENTIFIER, nullable=False),
        sa.Column("document_number", sa.Integer(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.Column("header_start", sa.Integer()),
        sa.Column("header_end", sa.Integer()),
        sa.Column("sentences", sa.LargeBinary(), nullable=False),
        sa.Column("heading_path", sa.Text(), nullable=False),
        sa.Column("header_text", sa.Text(), nullable=False),
        sa.Column("pages", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("tokens", sa.LargeBinary()),
        _reference("chunks", "collection_id", "collections.id"),
        _reference("chunks", "document_number", "documents.number"),
        sa.PrimaryKeyConstraint("collection_id", "key", name="pk_chunks"),
        sa.UniqueConstraint("collection_id", "id", name="uq_chunks_collection_id_id"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Packed numbers do not compress: trying to would cost a third of the time of an insert.
        for column in ("vector", "tokens"):
            op.execute(f"ALTER TABLE chunks ALTER COLUMN {column} SET STORAGE EXTERNAL")
    op.create_index("ix_chunks_collection_id_generation", "chunks", ["collection_id", "generation"])
    op.create_index("ix_chunks_document_number_key", "chunks", ["document_number", "key"])
    op.create_table(
        "tombstones",
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        _reference("tombstones", "collection_id", "collections.id"),
        sa.PrimaryKeyConstraint("collection_id", "key", name="pk_tombstones"),
    )
    op.create_index("ix_tombstones_collection_id_generation", "tombstones", ["collection_id", "generation"])


def _create_snapshots() -> None:
    op.create_table(
        "index_snapshots",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", _IDENTIFIER, nullable=False),
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_index_snapshots"),
        sa.UniqueConstraint(
            "collection_id",
            "kind",
            "generation",
            "sha256",
            name="uq_index_snapshots_collection_id_kind_generation_sha256",
        ),
        sqlite_autoincrement=True,
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant_id", _IDENTIFIER, nullable=False),
        sa.Column("id", _IDENTIFIER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("document_id", _IDENTIFIER),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_jobs"),
        sa.UniqueConstraint("tenant_id", "id", name="uq_jobs_tenant_id_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_tenant_id_status_number", "jobs", ["tenant_id", "status", "number"])
    op.create_index("ix_jobs_tenant_id_document_id", "jobs", ["tenant_id", "document_id"])
    op.create_table(
        "job_blobs",
        sa.Column("job_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        _reference("job_blobs", "job_number", "jobs.number"),
        sa.PrimaryKeyConstraint("job_number", name="pk_job_blobs"),
    )


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete="CASCADE")
