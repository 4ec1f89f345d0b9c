"""Users with one home have one set of locks and dead properties: those of the first of them are kept."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0018"

_TABLES = ("locks", "dead_properties", "dead_property_bytes")


def upgrade() -> None:
    """Name the trees of homes after their folders."""
    connection = op.get_bind()
    first: dict[str, int] = {}
    for user_id, home in connection.execute(sa.text("SELECT id, home FROM users WHERE home <> '' ORDER BY id")):
        first.setdefault(home, user_id)
    for home, user_id in first.items():
        tree = f"home:{hashlib.sha256(home.encode('utf-8', 'surrogateescape')).hexdigest()}"
        for table in _TABLES:
            update = sa.text(f"UPDATE {table} SET tree = :tree WHERE tree = :before")  # noqa: S608 - the names are ours
            connection.execute(update, {"tree": tree, "before": f"user:{user_id}"})
