"""Users of this server, and what they log in with."""

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, LargeBinary, Table, Text, UniqueConstraint, false

from opencloudmesh.adapters.database.schema.columns import Identifier, metadata, text, time

users = Table(
    "users",
    metadata,
    Column("id", Identifier, primary_key=True),
    text("name"),
    text("display_name"),
    text("password_hash"),
    Column("disabled", Boolean, nullable=False),
    time("created_at"),
    Column("admin", Boolean, nullable=False, server_default=false()),
    Column("quota", BigInteger),
    Column("home", Text, nullable=False, server_default=""),
    Column("email", Text, nullable=False, server_default=""),
    Column("invite_only", Text, nullable=False, server_default="off"),
    UniqueConstraint("name"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False, index=True),
    time("created_at"),
    Column("expires_at", Double, nullable=False, index=True),
)

app_passwords = Table(
    "app_passwords",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    text("name"),
    Column("secret_hash", LargeBinary, nullable=False),
    time("created_at"),
    time("last_used_at", nullable=True),
    UniqueConstraint("secret_hash"),
)
