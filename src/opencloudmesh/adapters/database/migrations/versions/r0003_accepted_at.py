"""Trust: when a received share was accepted, which makes its sender known; an index over the decisions about servers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add both; of shares that were lost meanwhile nobody knows whether they had been accepted."""
    op.add_column("incoming_shares", sa.Column("accepted_at", sa.Double()))
    op.execute("UPDATE incoming_shares SET accepted_at = changed_at WHERE state IN ('accepted', 'left')")
    trusted = sa.text("decision != '' OR pinned")
    op.create_index(
        "ix_peers_trusted",
        "peers",
        ["host"],
        sqlite_where=sa.text("decision != '' OR pinned = 1"),
        postgresql_where=trusted,
    )
