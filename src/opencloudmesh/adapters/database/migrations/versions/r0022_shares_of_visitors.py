"""Which shares a visitor of a public link took: they make nobody known to their owner."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0017"


def upgrade() -> None:
    """Add the column, and set it for the shares that links gave at once."""
    op.add_column("outgoing_shares", sa.Column("of_visitor", sa.Boolean, nullable=False, server_default=sa.false()))
    given = "SELECT r.share_id FROM received_requests r JOIN request_links l ON l.id = r.link_id WHERE l.at_once"
    op.execute(f"UPDATE outgoing_shares SET of_visitor = true WHERE id IN ({given})")  # noqa: S608 - words of ours
