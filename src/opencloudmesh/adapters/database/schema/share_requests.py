"""Requests for shares, sent and received, and the public links by which visitors ask."""

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, LargeBinary, Table, UniqueConstraint

from opencloudmesh.adapters.database.schema.columns import Identifier, metadata, text, time, word

sent_requests = Table(
    "sent_requests",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    text("owner"),
    text("peer"),
    text("resource"),
    text("state"),
    text("reason"),
    Column("share_id", Identifier),  # of a received share, which may be forgotten before
    time("created_at"),
    time("changed_at"),
    Column("expires_at", Double, nullable=False, index=True),
    Index(None, "user_id", "id"),
)
sent_request_open = sent_requests.c.state.in_([word("pending"), word("sent")])
sent_request_kept = sent_requests.c.state != word("withdrawn")
Index(
    "ix_sent_requests_owner",
    sent_requests.c.user_id,
    sent_requests.c.owner,
    sent_requests.c.id,
    sqlite_where=sent_request_kept,
    postgresql_where=sent_request_kept,
)

received_requests = Table(
    "received_requests",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of who asks, and for what: texts are too long for an index
    text("owner"),
    text("requester"),
    text("peer"),
    text("resource"),
    text("path"),
    Column("verified", Boolean, nullable=False),
    Column("link_id", Identifier),  # of a link that may be forgotten before
    text("state"),
    Column("share_id", Identifier),
    time("created_at"),
    time("changed_at"),
    Column("expires_at", Double, nullable=False, index=True),
    Index(None, "user_id", "id"),
    UniqueConstraint("user_id", "digest"),
)
received_request_open = received_requests.c.state == word("open")
Index(
    "ix_received_requests_open",
    received_requests.c.user_id,
    received_requests.c.id,
    sqlite_where=received_request_open,
    postgresql_where=received_request_open,
)

request_links = Table(
    "request_links",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("token_hash", LargeBinary, nullable=False),
    text("path"),
    text("permissions"),
    Column("at_once", Boolean, nullable=False),
    text("state"),
    time("created_at"),
    time("changed_at"),
    Column("expires_at", Double, nullable=False, index=True),
    Index(None, "user_id", "id"),
    UniqueConstraint("token_hash"),
)
