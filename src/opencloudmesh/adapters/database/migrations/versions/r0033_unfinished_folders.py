"""What a copy from one tree to another is about to make, so that it can be removed after whatever ends this process."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0030"


def upgrade() -> None:
    """Make the table."""
    identifier = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "unfinished_folders",
        sa.Column("user_id", identifier, nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("share_id", identifier),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "path", name="pk_unfinished_folders"),
    )
