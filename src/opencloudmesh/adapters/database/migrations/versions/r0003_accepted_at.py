"""When a received share was accepted: it makes its sender known to the recipient, whatever becomes of the share."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; of shares that were lost meanwhile nobody knows whether they had been accepted."""
    op.add_column("incoming_shares", sa.Column("accepted_at", sa.Double()))
    op.execute("UPDATE incoming_shares SET accepted_at = changed_at WHERE state IN ('accepted', 'left')")
