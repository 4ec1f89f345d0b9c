"""People at other servers: identifiers they know users by, invites, contacts."""

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, false

from opencloudmesh.adapters.database.schema.columns import Identifier, metadata, text, time

identifiers = Table(
    "identifiers",
    metadata,
    Column("identifier", Text, primary_key=True),  # random, never used again
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    text("purpose"),  # empty for the one that stands for the user in general
    UniqueConstraint("user_id", "purpose"),
)

invites = Table(
    "invites",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("token_hash", LargeBinary, nullable=False),
    text("note"),
    time("created_at"),
    Column("expires_at", Double, nullable=False, index=True),
    text("state"),
    time("changed_at"),
    text("identifier"),
    text("accepted_by"),
    UniqueConstraint("token_hash"),
)

contacts = Table(
    "contacts",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    text("address"),
    text("name"),
    text("email"),
    text("source"),
    Column("trusted", Boolean, nullable=False),
    Column("verified", Boolean, nullable=False),
    text("own_identifier"),
    time("added_at"),
    time("last_seen_at", nullable=True),
    text("folded"),  # what a search looks into: no database folds the case of all letters
    UniqueConstraint("user_id", "address"),
    Index(None, "address"),
)

contact_aliases = Table(
    "contact_aliases",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("contact_id", Identifier, ForeignKey("contacts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    text("address"),
    Column("verified", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("user_id", "address"),
    Index(None, "address"),
)

contact_removals = Table(
    "contact_removals",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    text("address"),
    text("known_as"),
    Column("at", Double, nullable=False, index=True),
)

notices = Table(
    "notices",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    text("kind"),
    text("address"),
    text("name"),
    Column("shares", Integer, nullable=False),
    time("at"),
    Index(None, "user_id", "id"),
)
