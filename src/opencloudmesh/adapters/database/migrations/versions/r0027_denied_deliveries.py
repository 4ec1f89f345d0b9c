"""An index over the deliveries that a denial ended: they are looked up when a denial is lifted."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0029"


def upgrade() -> None:
    """Add the index."""
    denied = sa.text("state = 'dead' AND reason = 'policy-denied'")
    op.create_index("ix_deliveries_denied", "deliveries", ["peer", "id"], sqlite_where=denied, postgresql_where=denied)
