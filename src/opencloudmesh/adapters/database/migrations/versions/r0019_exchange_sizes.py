"""How many bytes each row of the exchange log takes, so that the log can be bounded by bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0015"


def upgrade() -> None:
    """Add the column, and an index that sums it up without reading the rows."""
    op.add_column("exchanges", sa.Column("size", sa.Integer, nullable=False, server_default="1000"))
    op.create_index(op.f("ix_exchanges_peer_size"), "exchanges", ["peer", "size"])
