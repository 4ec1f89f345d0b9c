"""Acts and settings of operators."""

from sqlalchemy import Column, Double, Index, Table, Text

from opencloudmesh.adapters.database.schema.columns import Identifier, metadata, text, time

audit = Table(
    "audit",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("at", Double, nullable=False, index=True),
    text("actor"),
    text("action"),
    text("subject"),
    text("before"),
    text("after"),
    text("reason"),
    Index(None, "subject", "id"),
)

runtime_settings = Table(
    "runtime_settings",
    metadata,
    Column("name", Text, primary_key=True),
    text("value"),
    time("changed_at"),
)
