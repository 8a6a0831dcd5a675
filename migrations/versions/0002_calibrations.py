"""Calibrations: what `fovea calibrate` found out about a collection."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; no collection is calibrated yet."""
    op.create_table(
        "calibrations",
        sa.Column("collection_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name="fk_calibrations_collection_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("collection_id", name="pk_calibrations"),
    )


def downgrade() -> None:
    """Forget all calibrations."""
    op.drop_table("calibrations")
