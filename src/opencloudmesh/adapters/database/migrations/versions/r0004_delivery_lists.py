"""Indexes over deliveries: those to one peer, those that failed, and those that were given up."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the indexes."""
    dead, failed = sa.text("state = 'dead'"), sa.text("state != 'done' AND (reason NOT IN ('', 'overtaken'))")
    op.create_index("ix_deliveries_user_id_peer_id", "deliveries", ["user_id", "peer", "id"])
    op.create_index("ix_deliveries_dead", "deliveries", ["changed_at"], sqlite_where=dead, postgresql_where=dead)
    op.create_index("ix_deliveries_dead_peer", "deliveries", ["peer", "id"], sqlite_where=dead, postgresql_where=dead)
    op.create_index("ix_deliveries_failed", "deliveries", ["user_id", "id"], sqlite_where=failed, postgresql_where=failed)
