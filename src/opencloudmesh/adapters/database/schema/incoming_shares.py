"""Shares received."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    and_,
    false,
    literal_column,
)

from opencloudmesh.adapters.database.schema.columns import Identifier, metadata, text, time, word

incoming_shares = Table(
    "incoming_shares",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False),
    text("peer"),
    text("provider_id"),
    text("owner"),
    text("sender"),
    text("owner_display_name"),
    text("sender_display_name"),
    text("recipient"),
    text("share_type"),
    text("resource_type"),
    text("name"),
    text("description"),
    text("mount_name"),
    text("permissions"),
    Column("sealed_protocol", LargeBinary, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    time("expires_at", nullable=True),
    text("state"),
    text("reason"),
    time("unavailable_since", nullable=True),
    time("created_at"),
    time("changed_at"),
    Column("quarantined", Boolean, nullable=False, server_default=false()),  # its sender is unknown to the recipient
    Column("refusals", Integer, nullable=False, server_default="0"),  # authoritative ones in a row (design decision 14)
    time("refused_since", nullable=True),
    Column("seen_size", BigInteger),  # the root as it was last seen, for listings that ask nobody
    time("seen_modified_at", nullable=True),
    Column("seen_etag", Text),
    Column("unavailable_reason", Text, nullable=False, server_default=""),
    time("refused_at", nullable=True),  # when the last refusal was counted
    time("accepted_at", nullable=True),  # kept whatever becomes of the share: it was answered
    Column("signed", Boolean, nullable=False, server_default=false()),  # by the sender's server
    UniqueConstraint("peer", "provider_id", "user_id", "secret_hash"),
    Index(None, "provider_id"),
    Index(None, "user_id", "id"),
    Index(None, "peer", "state"),
)

incoming_living = incoming_shares.c.state.in_([word("pending"), word("accepted")])
"""Only living shares hold their mount name; what was declined, left, revoked or has expired gives it back."""
incoming_accepted = incoming_shares.c.state == word("accepted")
incoming_unavailable = and_(incoming_accepted, incoming_shares.c.unavailable_since.is_not(None))
incoming_expirable = and_(incoming_shares.c.expires_at.is_not(None), incoming_living)
Index(
    "uq_incoming_shares_mount",
    incoming_shares.c.user_id,
    incoming_shares.c.mount_name,
    unique=True,
    sqlite_where=incoming_living,
    postgresql_where=incoming_living,
)
Index(
    "ix_incoming_shares_accepted",
    incoming_shares.c.user_id,
    incoming_shares.c.mount_name,
    sqlite_where=incoming_accepted,
    postgresql_where=incoming_accepted,
)
Index(
    "ix_incoming_shares_unavailable",
    incoming_shares.c.peer,
    incoming_shares.c.id,
    sqlite_where=incoming_unavailable,
    postgresql_where=incoming_unavailable,
)

incoming_apart = literal_column("quarantined", Boolean)
Index(
    "ix_incoming_shares_apart",
    incoming_shares.c.user_id,
    incoming_shares.c.sender,
    sqlite_where=incoming_apart,
    postgresql_where=incoming_apart,
)
Index(
    "ix_incoming_shares_expirable",
    incoming_shares.c.expires_at,
    sqlite_where=incoming_expirable,
    postgresql_where=incoming_expirable,
)

incoming_unanswered = and_(
    incoming_shares.c.state.in_([word("pending"), word("revoked"), word("expired")]), incoming_shares.c.accepted_at.is_(None)
)
"""Their recipient never did anything about them: whoever may send can make as many."""
incoming_withdrawn = and_(
    incoming_shares.c.state.in_([word("revoked"), word("expired")]), incoming_shares.c.accepted_at.is_(None)
)
for _name, _column, _whose in (
    ("ix_incoming_shares_unanswered", incoming_shares.c.user_id, incoming_unanswered),
    ("ix_incoming_shares_withdrawn", incoming_shares.c.changed_at, incoming_withdrawn),
):
    Index(_name, _column, sqlite_where=_whose, postgresql_where=_whose)
