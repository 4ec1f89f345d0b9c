"""An index over the deliveries that their peer refused because it did not deal with us, and one over shares that knows paths."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0031"


def upgrade() -> None:
    """Add the one, and put the other in place of that without paths."""
    refused = sa.text("state = 'dead' AND reason = 'refused-by-peer'")
    op.create_index("ix_deliveries_refused", "deliveries", ["peer", "id"], sqlite_where=refused, postgresql_where=refused)
    op.create_index("ix_outgoing_shares_user_id_share_with_path", "outgoing_shares", ["user_id", "share_with", "path"])
    op.drop_index("ix_outgoing_shares_user_id_share_with", "outgoing_shares")
