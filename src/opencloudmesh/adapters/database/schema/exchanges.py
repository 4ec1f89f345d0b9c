"""The exchange log."""

from sqlalchemy import Boolean, Column, Double, Index, Integer, Table, Text, false, literal_column

from opencloudmesh.adapters.database.schema.columns import Identifier, metadata, text, time

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("at", Double, nullable=False, index=True),
    text("direction"),
    text("peer"),
    text("method"),
    text("url"),
    Column("status", Integer, nullable=False),
    time("duration"),
    text("reason"),
    text("detail"),
    text("trace_id"),
    text("request_headers"),
    text("request_body"),
    text("answer_headers"),
    text("answer_body"),
    Column("verified", Boolean, nullable=False, server_default=false()),  # the peer has shown that it is the one
    Column("source", Text, nullable=False, server_default=""),  # the address that a request came from
    Column("diagnosis", Text, nullable=False, server_default=""),  # JSON: why a signature was refused
    Column("size", Integer, nullable=False, server_default="1000"),  # bytes of its texts; of older rows nobody knows
    Index(None, "peer", "id"),
    Index(None, "peer", "size"),
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
