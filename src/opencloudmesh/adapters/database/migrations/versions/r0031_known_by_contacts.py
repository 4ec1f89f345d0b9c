"""No index over the senders of accepted shares: whose share was accepted is known as a contact only."""

from alembic import op

revision = "0031"
down_revision = "0027"


def upgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_incoming_shares_known", "incoming_shares")
