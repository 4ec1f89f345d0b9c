"""Whether the server of a share's sender signed it: of the shares that are there nobody knows any more."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0022"


def upgrade() -> None:
    """Add the column."""
    op.add_column("incoming_shares", sa.Column("signed", sa.Boolean, nullable=False, server_default=sa.false()))
