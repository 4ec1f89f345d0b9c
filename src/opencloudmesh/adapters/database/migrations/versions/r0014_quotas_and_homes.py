"""Quotas of users, and folders outside of the data directory that hold their files."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("users", sa.Column("quota", sa.BigInteger))
    op.add_column("users", sa.Column("home", sa.Text, nullable=False, server_default=""))
