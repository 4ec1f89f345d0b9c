"""Indexes over received shares that their recipients never answered: they are counted, and forgotten after their end."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the indexes."""
    for name, table, column, condition in (
        ("unanswered", "incoming_shares", "user_id", "state IN ('pending', 'revoked', 'expired') AND accepted_at IS NULL"),
        ("withdrawn", "incoming_shares", "changed_at", "state IN ('revoked', 'expired') AND accepted_at IS NULL"),
        ("of_incoming", "deliveries", "incoming_share_id", "incoming_share_id IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(f"ix_{table}_{name}", table, [column], sqlite_where=where, postgresql_where=where)
