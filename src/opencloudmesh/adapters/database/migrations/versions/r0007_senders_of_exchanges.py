"""The exchange log tells a sender that was verified from one that was not, and keeps the address that a request came from."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns, and an index over what strangers were refused."""
    op.add_column("exchanges", sa.Column("verified", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("exchanges", sa.Column("source", sa.Text(), nullable=False, server_default=""))
    refused = sa.text("(direction = 'in' AND NOT verified AND status >= 400)")
    op.create_index("ix_exchanges_strangers", "exchanges", ["id"], sqlite_where=refused, postgresql_where=refused)
