"""The signatures that counted already; and of refused ones, in the exchange log, why."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the table and the column."""
    op.create_table(
        "seen_signatures",
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("period", "digest", name="pk_seen_signatures"),
        sqlite_with_rowid=False,
    )
    op.add_column("exchanges", sa.Column("diagnosis", sa.Text(), nullable=False, server_default=""))
