"""Invites that users made, the people they know at other servers, and what those know them by."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make the tables."""
    op.add_column("users", sa.Column("email", sa.Text, nullable=False, server_default=""))
    identifier = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "identifiers",
        sa.Column("identifier", sa.Text, nullable=False),
        sa.Column("user_id", identifier, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_identifiers_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("identifier", name="pk_identifiers"),
        sa.UniqueConstraint("user_id", "purpose", name="uq_identifiers_user_id_purpose"),
    )
    op.create_table(
        "invites",
        sa.Column("id", identifier, nullable=False),
        sa.Column("user_id", identifier, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("identifier", sa.Text, nullable=False),
        sa.Column("accepted_by", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_invites_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_invites"),
        sa.UniqueConstraint("token_hash", name="uq_invites_token_hash"),
    )
    op.create_index("ix_invites_user_id", "invites", ["user_id"])
    op.create_index("ix_invites_expires_at", "invites", ["expires_at"])
    op.create_table(
        "contacts",
        sa.Column("id", identifier, nullable=False),
        sa.Column("user_id", identifier, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("trusted", sa.Boolean, nullable=False),
        sa.Column("verified", sa.Boolean, nullable=False),
        sa.Column("own_identifier", sa.Text, nullable=False),
        sa.Column("added_at", sa.Double, nullable=False),
        sa.Column("last_seen_at", sa.Double),
        sa.Column("folded", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_contacts_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_contacts"),
        sa.UniqueConstraint("user_id", "address", name="uq_contacts_user_id_address"),
    )
