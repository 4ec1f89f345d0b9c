"""App passwords: what a WebDAV client or a script logs in with instead of its user's own password."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table."""
    identifier = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "app_passwords",
        sa.Column("id", identifier, nullable=False),
        sa.Column("user_id", identifier, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("last_used_at", sa.Double),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_app_passwords_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_app_passwords"),
        sa.UniqueConstraint("secret_hash", name="uq_app_passwords_secret_hash"),
    )
    op.create_index("ix_app_passwords_user_id", "app_passwords", ["user_id"])
