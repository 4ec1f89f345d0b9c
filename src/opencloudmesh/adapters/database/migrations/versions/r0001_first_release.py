"""All tables of the first release."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    """Create them."""
    _people()
    _shares()
    _deliveries()


def _people() -> None:
    op.create_table(
        "peers",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("discovery", sa.Text(), nullable=False),
        sa.Column("discovered_at", sa.Double(), nullable=False),
        sa.Column("key_set", sa.Text(), nullable=False),
        sa.Column("key_set_at", sa.Double(), nullable=False),
        sa.Column("first_contact", sa.Double(), nullable=False),
        sa.Column("last_contact", sa.Double(), nullable=False),
        sa.Column("failing_since", sa.Double(), nullable=True),
        sa.Column("last_reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("host", name="pk_peers"),
    )
    op.create_table(
        "users",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_sessions"),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])


def _shares() -> None:
    op.create_table(
        "incoming_shares",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("owner_display_name", sa.Text(), nullable=False),
        sa.Column("sender_display_name", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("share_type", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("mount_name", sa.Text(), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("sealed_protocol", sa.LargeBinary(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("unavailable_since", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_incoming_shares_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_incoming_shares"),
        sa.UniqueConstraint(
            "peer", "provider_id", "user_id", "secret_hash", name="uq_incoming_shares_peer_provider_id_user_id_secret_hash"
        ),
    )
    op.create_index("ix_incoming_shares_accepted", "incoming_shares", ["user_id", "mount_name"], **_where("state = 'accepted'"))
    op.create_index(
        "ix_incoming_shares_expirable",
        "incoming_shares",
        ["expires_at"],
        **_where("expires_at IS NOT NULL AND state IN ('pending', 'accepted')"),
    )
    op.create_index("ix_incoming_shares_provider_id", "incoming_shares", ["provider_id"])
    op.create_index("ix_incoming_shares_user_id_id", "incoming_shares", ["user_id", "id"])
    op.create_index(
        "uq_incoming_shares_mount",
        "incoming_shares",
        ["user_id", "mount_name"],
        unique=True,
        **_where("state IN ('pending', 'accepted')"),
    )
    op.create_table(
        "outgoing_shares",
        sa.Column("id", _ID, nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("sender_display_name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.Text(), nullable=False),
        sa.Column("share_with", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("requirements", sa.Text(), nullable=True),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_outgoing_shares_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outgoing_shares"),
        sa.UniqueConstraint("provider_id", name="uq_outgoing_shares_provider_id"),
        sa.UniqueConstraint("secret_hash", name="uq_outgoing_shares_secret_hash"),
    )
    op.create_index(
        "ix_outgoing_shares_expirable",
        "outgoing_shares",
        ["expires_at"],
        **_where("expires_at IS NOT NULL AND state IN ('pending', 'sent', 'accepted')"),
    )
    op.create_index("ix_outgoing_shares_user_id_id", "outgoing_shares", ["user_id", "id"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", _ID, nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("outgoing_share_id", _ID, nullable=True),
        sa.Column("incoming_share_id", _ID, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("lease", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("share_key", _ID, nullable=False),
        sa.Column("first", sa.Boolean(), nullable=False),
        sa.CheckConstraint("(outgoing_share_id IS NULL) <> (incoming_share_id IS NULL)", name=op.f("ck_deliveries_one_share")),
        sa.ForeignKeyConstraint(["incoming_share_id"], ["incoming_shares.id"], name="fk_deliveries_incoming_share_id"),
        sa.ForeignKeyConstraint(["outgoing_share_id"], ["outgoing_shares.id"], name="fk_deliveries_outgoing_share_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_deliveries_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_done", "deliveries", ["changed_at"], **_where("state = 'done'"))
    op.create_index("ix_deliveries_leased", "deliveries", ["peer", "lease_until"], **_where("state = 'leased'"))
    op.create_index("ix_deliveries_share_key_id", "deliveries", ["share_key", "id"])
    op.create_index("ix_deliveries_user_id_id", "deliveries", ["user_id", "id"])
    op.create_index("ix_deliveries_queued", "deliveries", ["peer", "first", "due_at", "id"], **_where("state = 'queued'"))
    op.create_table(
        "delivery_attempts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("delivery_id", _ID, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("duration", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name="fk_delivery_attempts_delivery_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_attempts"),
    )
    op.create_index("ix_delivery_attempts_delivery_id_id", "delivery_attempts", ["delivery_id", "id"])
