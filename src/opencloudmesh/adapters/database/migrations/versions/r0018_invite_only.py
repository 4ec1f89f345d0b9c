"""What users demand of people whom they do not know."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0016"


def upgrade() -> None:
    """Add the column."""
    op.add_column("users", sa.Column("invite_only", sa.Text, nullable=False, server_default="off"))
