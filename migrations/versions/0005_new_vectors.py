"""Vectors of another encoder, kept aside until a collection has them all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; no collection is being encoded anew."""
    op.create_table(
        "new_vectors",
        sa.Column("collection_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("encoder", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("tokens", sa.LargeBinary()),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name="fk_new_vectors_collection_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("collection_id", "key", name="pk_new_vectors"),
    )


def downgrade() -> None:
    """Drop what was kept aside."""
    op.drop_table("new_vectors")
