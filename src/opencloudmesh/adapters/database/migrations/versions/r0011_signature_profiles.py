"""Which kinds of signatures are taken from a server, where its operator decided that."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column, and make the index of what was decided anew."""
    op.add_column("peers", sa.Column("profiles", sa.Text, nullable=False, server_default=""))
    op.drop_index("ix_peers_trusted", "peers")
    op.create_index(
        "ix_peers_trusted",
        "peers",
        ["host"],
        sqlite_where=sa.text("decision != '' OR pinned = 1 OR profiles != ''"),
        postgresql_where=sa.text("decision != '' OR pinned OR profiles != ''"),
    )
