"""Messages that other servers must get, and the tries."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text, and_

from opencloudmesh.adapters.database.schema.columns import Identifier, metadata, text, time, word

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Identifier, primary_key=True),
    text("peer"),
    text("kind"),
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False),
    Column("outgoing_share_id", Identifier, ForeignKey("outgoing_shares.id")),
    Column("incoming_share_id", Identifier, ForeignKey("incoming_shares.id")),
    text("state"),
    Column("attempts", Integer, nullable=False),
    time("due_at"),
    time("expires_at"),
    text("lease"),
    time("lease_until"),
    text("reason"),
    text("detail"),
    Column("http_status", Integer, nullable=False),
    time("created_at"),
    time("changed_at"),
    Column("trace_id", Text, nullable=False, server_default=""),
    Column("share_key", Identifier, nullable=False),  # what it tells of, as one number
    Column("first", Boolean, nullable=False),  # no older delivery of the same share is open
    Column("sent_request_id", Identifier, ForeignKey("sent_requests.id", ondelete="CASCADE")),
    Column("contact_removal_id", Identifier, ForeignKey("contact_removals.id", ondelete="CASCADE")),
    CheckConstraint(
        "CASE WHEN outgoing_share_id IS NULL THEN 0 ELSE 1 END + CASE WHEN incoming_share_id IS NULL THEN 0 ELSE 1 END + "
        "CASE WHEN sent_request_id IS NULL THEN 0 ELSE 1 END + CASE WHEN contact_removal_id IS NULL THEN 0 ELSE 1 END = 1",
        name="one_subject",
    ),
    Index(None, "share_key", "id"),
    Index(None, "user_id", "id"),
    Index(None, "user_id", "peer", "id"),
)
delivery_queued = deliveries.c.state == word("queued")
delivery_leased = deliveries.c.state == word("leased")
delivery_done = deliveries.c.state == word("done")
delivery_dead = deliveries.c.state == word("dead")
delivery_denied = and_(deliveries.c.state == word("dead"), deliveries.c.reason == word("policy-denied"))
"""Ended by a denial, and sent again when that is lifted."""
delivery_refused = and_(deliveries.c.state == word("dead"), deliveries.c.reason == word("refused-by-peer"))
"""Ended because the peer did not deal with us, and sent again when it does."""
delivery_open = deliveries.c.state.in_([word("queued"), word("leased")])
delivery_failed = and_(deliveries.c.state != word("done"), deliveries.c.reason.not_in([word(""), word("overtaken")]))
"""Given up, or waiting after a failed try."""
Index(
    "ix_deliveries_queued",
    deliveries.c.peer,
    deliveries.c.first,
    deliveries.c.due_at,
    deliveries.c.id,
    sqlite_where=delivery_queued,
    postgresql_where=delivery_queued,
)
Index(
    "ix_deliveries_leased",
    deliveries.c.peer,
    deliveries.c.lease_until,
    sqlite_where=delivery_leased,
    postgresql_where=delivery_leased,
)
delivery_of_incoming = deliveries.c.incoming_share_id.is_not(None)
"""Without it, forgetting a received share reads all deliveries."""
Index(
    "ix_deliveries_of_incoming",
    deliveries.c.incoming_share_id,
    sqlite_where=delivery_of_incoming,
    postgresql_where=delivery_of_incoming,
)
delivery_of_request = deliveries.c.sent_request_id.is_not(None)
Index(
    "ix_deliveries_of_request",
    deliveries.c.sent_request_id,
    sqlite_where=delivery_of_request,
    postgresql_where=delivery_of_request,
)
delivery_of_removal = deliveries.c.contact_removal_id.is_not(None)
Index(
    "ix_deliveries_of_removal",
    deliveries.c.contact_removal_id,
    sqlite_where=delivery_of_removal,
    postgresql_where=delivery_of_removal,
)
Index("ix_deliveries_done", deliveries.c.changed_at, sqlite_where=delivery_done, postgresql_where=delivery_done)
Index("ix_deliveries_dead", deliveries.c.changed_at, sqlite_where=delivery_dead, postgresql_where=delivery_dead)
Index(
    "ix_deliveries_dead_peer",
    deliveries.c.peer,
    deliveries.c.id,
    sqlite_where=delivery_dead,
    postgresql_where=delivery_dead,
)
Index(
    "ix_deliveries_denied",
    deliveries.c.peer,
    deliveries.c.id,
    sqlite_where=delivery_denied,
    postgresql_where=delivery_denied,
)
Index(
    "ix_deliveries_refused",
    deliveries.c.peer,
    deliveries.c.id,
    sqlite_where=delivery_refused,
    postgresql_where=delivery_refused,
)
Index(
    "ix_deliveries_failed",
    deliveries.c.user_id,
    deliveries.c.id,
    sqlite_where=delivery_failed,
    postgresql_where=delivery_failed,
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("delivery_id", Identifier, ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False),
    time("at"),
    time("duration"),
    text("reason"),
    text("detail"),
    Column("http_status", Integer, nullable=False),
    Index(None, "delivery_id", "id"),
)
