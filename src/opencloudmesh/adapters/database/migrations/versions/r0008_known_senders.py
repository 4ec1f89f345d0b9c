"""Indexes over received shares: whose senders are known to the recipient, and those that are kept apart."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the indexes in place of one that grows with every share."""
    known, apart = sa.text("accepted_at IS NOT NULL"), sa.text("quarantined")
    columns = ["user_id", "sender"]
    op.create_index("ix_incoming_shares_known", "incoming_shares", columns, sqlite_where=known, postgresql_where=known)
    op.create_index("ix_incoming_shares_apart", "incoming_shares", columns, sqlite_where=apart, postgresql_where=apart)
    op.drop_index("ix_incoming_shares_user_id_sender", "incoming_shares")
