"""Why a received share is unavailable, and when the last refusal was counted; the unavailable ones are found by their peer."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns and the index."""
    op.add_column("incoming_shares", sa.Column("unavailable_reason", sa.Text(), nullable=False, server_default=""))
    op.add_column("incoming_shares", sa.Column("refused_at", sa.Double()))
    unavailable = sa.text("state = 'accepted' AND unavailable_since IS NOT NULL")
    op.create_index(
        "ix_incoming_shares_unavailable",
        "incoming_shares",
        ["peer", "id"],
        sqlite_where=unavailable,
        postgresql_where=unavailable,
    )
