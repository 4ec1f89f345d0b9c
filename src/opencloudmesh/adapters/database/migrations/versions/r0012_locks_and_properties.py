"""WebDAV locks and dead properties."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "locks",
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("tree", sa.Text, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("exclusive", sa.Boolean, nullable=False),
        sa.Column("infinite", sa.Boolean, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_locks"),
    )
    op.create_index("ix_locks_tree", "locks", ["tree"])
    op.create_index("ix_locks_expires_at", "locks", ["expires_at"])
    op.create_table(
        "dead_properties",
        sa.Column("tree", sa.Text, nullable=False),
        sa.Column("folder", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("local", sa.Text, nullable=False),
        sa.Column("element", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tree", "folder", "name", "namespace", "local", name="pk_dead_properties"),
    )
    op.create_table(
        "dead_property_bytes",
        sa.Column("tree", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tree", name="pk_dead_property_bytes"),
    )
