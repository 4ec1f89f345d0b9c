"""The tables (design decision 6), one schema for SQLite and PostgreSQL.

Rules: times are float seconds; secrets stand in `sealed_*` columns only, and are found by a keyed `*_hash`; conditions of
partial indexes are written with `word()` literals, because a query uses such an index only where it repeats them literally.
A change here needs a revision under `migrations/versions`; a test compares the two.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    and_,
    false,
    literal_column,
    or_,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Identifier = BigInteger().with_variant(Integer, "sqlite")


def word(text: str) -> ColumnElement[str]:
    """A state word as a literal in the SQL text."""
    return literal_column(f"'{text}'", Text)


def _text(name: str) -> Column[Any]:
    return Column(name, Text, nullable=False)


def _time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Double, nullable=nullable)


users = Table(
    "users",
    metadata,
    Column("id", Identifier, primary_key=True),
    _text("name"),
    _text("display_name"),
    _text("password_hash"),
    Column("disabled", Boolean, nullable=False),
    _time("created_at"),
    Column("admin", Boolean, nullable=False, server_default=false()),
    Column("quota", BigInteger),
    Column("home", Text, nullable=False, server_default=""),
    Column("email", Text, nullable=False, server_default=""),
    UniqueConstraint("name"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False, index=True),
    _time("created_at"),
    Column("expires_at", Double, nullable=False, index=True),
)

app_passwords = Table(
    "app_passwords",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    _text("name"),
    Column("secret_hash", LargeBinary, nullable=False),
    _time("created_at"),
    _time("last_used_at", nullable=True),
    UniqueConstraint("secret_hash"),
)

identifiers = Table(
    "identifiers",
    metadata,
    Column("identifier", Text, primary_key=True),  # random, never used again
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    _text("purpose"),  # empty for the one that stands for the user in general
    UniqueConstraint("user_id", "purpose"),
)

invites = Table(
    "invites",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("token_hash", LargeBinary, nullable=False),
    _text("note"),
    _time("created_at"),
    Column("expires_at", Double, nullable=False, index=True),
    _text("state"),
    _time("changed_at"),
    _text("identifier"),
    _text("accepted_by"),
    UniqueConstraint("token_hash"),
)

contacts = Table(
    "contacts",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    _text("address"),
    _text("name"),
    _text("email"),
    _text("source"),
    Column("trusted", Boolean, nullable=False),
    Column("verified", Boolean, nullable=False),
    _text("own_identifier"),
    _time("added_at"),
    _time("last_seen_at", nullable=True),
    _text("folded"),  # what a search looks into: no database folds the case of all letters
    UniqueConstraint("user_id", "address"),
)

outgoing_shares = Table(
    "outgoing_shares",
    metadata,
    Column("id", Identifier, primary_key=True),
    _text("provider_id"),
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False),
    _text("owner"),
    _text("sender_display_name"),
    _text("path"),
    _text("name"),
    _text("resource_type"),
    _text("share_with"),
    _text("peer"),
    _text("permissions"),
    Column("requirements", Text),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    _time("expires_at", nullable=True),
    _text("state"),
    _text("reason"),
    _time("created_at"),
    _time("changed_at"),
    UniqueConstraint("provider_id"),
    UniqueConstraint("secret_hash"),
    Index(None, "user_id", "id"),
    Index(None, "user_id", "share_with"),
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

incoming_shares = Table(
    "incoming_shares",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False),
    _text("peer"),
    _text("provider_id"),
    _text("owner"),
    _text("sender"),
    _text("owner_display_name"),
    _text("sender_display_name"),
    _text("recipient"),
    _text("share_type"),
    _text("resource_type"),
    _text("name"),
    _text("description"),
    _text("mount_name"),
    _text("permissions"),
    Column("sealed_protocol", LargeBinary, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    _time("expires_at", nullable=True),
    _text("state"),
    _text("reason"),
    _time("unavailable_since", nullable=True),
    _time("created_at"),
    _time("changed_at"),
    Column("quarantined", Boolean, nullable=False, server_default=false()),  # its sender is unknown to the recipient
    Column("refusals", Integer, nullable=False, server_default="0"),  # authoritative ones in a row (design decision 14)
    _time("refused_since", nullable=True),
    Column("seen_size", BigInteger),  # the root as it was last seen, for listings that ask nobody
    _time("seen_modified_at", nullable=True),
    Column("seen_etag", Text),
    Column("unavailable_reason", Text, nullable=False, server_default=""),
    _time("refused_at", nullable=True),  # when the last refusal was counted
    _time("accepted_at", nullable=True),  # kept whatever becomes of the share: its sender is known to the recipient
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
incoming_known = incoming_shares.c.accepted_at.is_not(None)
"""Their senders are known to the recipient."""
incoming_apart = literal_column("quarantined", Boolean)
for _name, _which in (("ix_incoming_shares_known", incoming_known), ("ix_incoming_shares_apart", incoming_apart)):
    Index(_name, incoming_shares.c.user_id, incoming_shares.c.sender, sqlite_where=_which, postgresql_where=_which)
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

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Identifier, primary_key=True),
    _text("peer"),
    _text("kind"),
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False),
    Column("outgoing_share_id", Identifier, ForeignKey("outgoing_shares.id")),
    Column("incoming_share_id", Identifier, ForeignKey("incoming_shares.id")),
    _text("state"),
    Column("attempts", Integer, nullable=False),
    _time("due_at"),
    _time("expires_at"),
    _text("lease"),
    _time("lease_until"),
    _text("reason"),
    _text("detail"),
    Column("http_status", Integer, nullable=False),
    _time("created_at"),
    _time("changed_at"),
    Column("trace_id", Text, nullable=False, server_default=""),
    Column("share_key", Identifier, nullable=False),  # the outgoing share's id, or minus the incoming share's id
    Column("first", Boolean, nullable=False),  # no older delivery of the same share is open
    CheckConstraint("(outgoing_share_id IS NULL) <> (incoming_share_id IS NULL)", name="one_share"),
    Index(None, "share_key", "id"),
    Index(None, "user_id", "id"),
    Index(None, "user_id", "peer", "id"),
)
delivery_queued = deliveries.c.state == word("queued")
delivery_leased = deliveries.c.state == word("leased")
delivery_done = deliveries.c.state == word("done")
delivery_dead = deliveries.c.state == word("dead")
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
    _time("at"),
    _time("duration"),
    _text("reason"),
    _text("detail"),
    Column("http_status", Integer, nullable=False),
    Index(None, "delivery_id", "id"),
)

peers = Table(
    "peers",
    metadata,
    Column("host", Text, primary_key=True),
    _text("discovery"),
    _time("discovered_at"),
    _text("key_set"),
    _time("key_set_at"),
    _time("first_contact"),
    _time("last_contact"),
    _time("failing_since", nullable=True),
    _text("last_reason"),
    Column("decision", Text, nullable=False, server_default=""),  # allow, deny, or none
    Column("decision_reason", Text, nullable=False, server_default=""),
    _time("decided_at", nullable=True),
    Column("pinned", Boolean, nullable=False, server_default=false()),  # only its pinned keys are taken
    Column("alert", Text, nullable=False, server_default=""),  # what the operator should look at, such as a changed key
    Column("profiles", Text, nullable=False, server_default=""),  # kinds of signatures taken, by spaces; empty: as configured
)
peers_trusted = or_(peers.c.decision != word(""), peers.c.pinned, peers.c.profiles != word(""))
"""Hosts and patterns with a decision, a pin, or signature profiles of their own: the trust book is read from them."""
Index("ix_peers_trusted", peers.c.host, sqlite_where=peers_trusted, postgresql_where=peers_trusted)

peer_keys = Table(
    "peer_keys",
    metadata,
    Column("id", Identifier, primary_key=True),
    _text("host"),
    _text("kid"),
    _text("thumbprint"),
    _text("algorithm"),
    _text("jwk"),
    _time("first_seen"),
    _time("last_seen"),
    _time("gone_at", nullable=True),
    Column("pinned", Boolean, nullable=False),
    UniqueConstraint("host", "kid", "thumbprint"),
)

seen_signatures = Table(
    "seen_signatures",
    metadata,
    Column("period", Integer, primary_key=True, autoincrement=False),  # of so many seconds in which it was created
    Column("digest", LargeBinary, primary_key=True),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("at", Double, nullable=False, index=True),
    _text("actor"),
    _text("action"),
    _text("subject"),
    _text("before"),
    _text("after"),
    _text("reason"),
    Index(None, "subject", "id"),
)

runtime_settings = Table(
    "runtime_settings",
    metadata,
    Column("name", Text, primary_key=True),
    _text("value"),
    _time("changed_at"),
)

directories = Table(
    "directories",
    metadata,
    Column("url", Text, primary_key=True),
    _text("document"),
    _time("fetched_at"),
    _time("checked_at"),
    _text("reason"),
    _text("detail"),
)

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("at", Double, nullable=False, index=True),
    _text("direction"),
    _text("peer"),
    _text("method"),
    _text("url"),
    Column("status", Integer, nullable=False),
    _time("duration"),
    _text("reason"),
    _text("detail"),
    _text("trace_id"),
    _text("request_headers"),
    _text("request_body"),
    _text("answer_headers"),
    _text("answer_body"),
    Column("verified", Boolean, nullable=False, server_default=false()),  # the peer has shown that it is the one
    Column("source", Text, nullable=False, server_default=""),  # the address that a request came from
    Column("diagnosis", Text, nullable=False, server_default=""),  # JSON: why a signature was refused
    Index(None, "peer", "id"),
    Index(None, "trace_id"),
)
exchange_of_stranger = literal_column("(direction = 'in' AND NOT verified AND status >= 400)", Boolean)
"""Refused, and nobody knows whose it was."""
Index(
    "ix_exchanges_strangers",
    exchanges.c.id,
    sqlite_where=exchange_of_stranger,
    postgresql_where=exchange_of_stranger,
)

locks = Table(
    "locks",
    metadata,
    Column("token", Text, primary_key=True),
    _text("tree"),
    Column("path", LargeBinary, nullable=False),  # names are bytes
    Column("exclusive", Boolean, nullable=False),
    Column("infinite", Boolean, nullable=False),
    _text("owner"),
    _text("principal"),
    Column("expires_at", Double, nullable=False, index=True),
    Index(None, "tree"),
)

dead_properties = Table(
    "dead_properties",
    metadata,
    Column("tree", Text, primary_key=True),
    Column("folder", LargeBinary, primary_key=True),  # names are bytes; the root has folder and name empty
    Column("name", LargeBinary, primary_key=True),
    Column("namespace", Text, primary_key=True),
    Column("local", Text, primary_key=True),
    _text("element"),
    Column("size", Integer, nullable=False),
)

dead_property_bytes = Table(
    "dead_property_bytes",
    metadata,
    Column("tree", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),  # of all properties of the tree together
)
