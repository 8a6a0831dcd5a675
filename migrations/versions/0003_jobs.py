"""Jobs with leases and places in line, batches of questions with their results, idempotency keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Existing jobs keep their order; one that was running goes back into the line, for its worker is gone."""
    op.add_column("jobs", sa.Column("collection", _IDENTIFIER))
    op.add_column("jobs", sa.Column("place", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("node", sa.Text()))
    op.add_column("jobs", sa.Column("lease", sa.Text()))
    op.add_column("jobs", sa.Column("beats", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE jobs SET place = number")
    op.execute("UPDATE jobs SET status = 'queued' WHERE status = 'running'")
    op.create_index("ix_jobs_status_kind_tenant_id_place", "jobs", ["status", "kind", "tenant_id", "place"])
    op.create_index("ix_jobs_place", "jobs", ["place"])
    _create_batches()
    _create_idempotency_keys()


def downgrade() -> None:
    """Forget batches and idempotency keys; a job that runs goes back into the line."""
    for table in ("idempotency_keys", "batch_results", "batch_items"):
        op.drop_table(table)
    op.execute("DELETE FROM jobs WHERE kind = 'batch'")
    op.execute("UPDATE jobs SET status = 'queued' WHERE status = 'running'")
    op.execute("UPDATE jobs SET status = 'failed' WHERE status = 'cancelled'")
    op.drop_index("ix_jobs_place", "jobs")
    op.drop_index("ix_jobs_status_kind_tenant_id_place", "jobs")
    for column in ("beats", "lease", "node", "place", "collection"):
        op.drop_column("jobs", column)


def _create_batches() -> None:
    op.create_table(
        "batch_items",
        sa.Column("job_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("custom_id", sa.Text()),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_message", sa.Text()),
        _reference("batch_items", "jobs.number", "job_number"),
        sa.PrimaryKeyConstraint("job_number", "ordinal", name="pk_batch_items"),
    )
    op.create_table(
        "batch_results",
        sa.Column("job_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("asked", sa.Boolean(), nullable=False),
        sa.Column("content", sa.Text()),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("created_at", sa.Text(), nullable=False),
        _reference("batch_results", "jobs.number", "job_number"),
        sa.PrimaryKeyConstraint("job_number", "ordinal", name="pk_batch_results"),
    )


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", _IDENTIFIER, nullable=False),
        sa.Column("key", _IDENTIFIER, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def _reference(table: str, target: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete="CASCADE")
