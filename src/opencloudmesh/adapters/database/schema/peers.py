"""Other servers, their keys, signatures seen, Directory Services."""

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, false, or_

from opencloudmesh.adapters.database.schema.columns import Identifier, metadata, text, time, word

peers = Table(
    "peers",
    metadata,
    Column("host", Text, primary_key=True),
    text("discovery"),
    time("discovered_at"),
    text("key_set"),
    time("key_set_at"),
    time("first_contact"),
    time("last_contact"),
    time("failing_since", nullable=True),
    text("last_reason"),
    Column("decision", Text, nullable=False, server_default=""),  # allow, deny, or none
    Column("decision_reason", Text, nullable=False, server_default=""),
    time("decided_at", nullable=True),
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
    text("host"),
    text("kid"),
    text("thumbprint"),
    text("algorithm"),
    text("jwk"),
    time("first_seen"),
    time("last_seen"),
    time("gone_at", nullable=True),
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

directories = Table(
    "directories",
    metadata,
    Column("url", Text, primary_key=True),
    text("document"),
    time("fetched_at"),
    time("checked_at"),
    text("reason"),
    text("detail"),
)
