"""Shares given."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, LargeBinary, Table, Text, UniqueConstraint, and_, false

from opencloudmesh.adapters.database.schema.columns import Identifier, metadata, text, time, word

outgoing_shares = Table(
    "outgoing_shares",
    metadata,
    Column("id", Identifier, primary_key=True),
    text("provider_id"),
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False),
    text("owner"),
    text("sender_display_name"),
    text("path"),
    text("name"),
    text("resource_type"),
    text("share_with"),
    text("peer"),
    text("permissions"),
    Column("requirements", Text),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    time("expires_at", nullable=True),
    text("state"),
    text("reason"),
    time("created_at"),
    time("changed_at"),
    Column("of_visitor", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("provider_id"),
    UniqueConstraint("secret_hash"),
    Index(None, "user_id", "id"),
    Index(None, "user_id", "share_with", "path"),
    Index(None, "peer", "state"),
)

outgoing_expirable = and_(
    outgoing_shares.c.expires_at.is_not(None),
    outgoing_shares.c.state.in_([word("pending"), word("sent"), word("accepted")]),
)

Index(
    "ix_outgoing_shares_expirable",
    outgoing_shares.c.expires_at,
    sqlite_where=outgoing_expirable,
    postgresql_where=outgoing_expirable,
)
