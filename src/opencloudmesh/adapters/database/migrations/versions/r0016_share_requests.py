"""Requests for shares, the links by which visitors ask, and the deliveries that carry requests to other servers."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0019"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_ONE = " + ".join(
    f"CASE WHEN {name} IS NULL THEN 0 ELSE 1 END" for name in ("outgoing_share_id", "incoming_share_id", "sent_request_id")
)
_COLUMNS = (
    "id, peer, kind, user_id, outgoing_share_id, incoming_share_id, state, attempts, due_at, expires_at, lease, lease_until, "
    "reason, detail, http_status, created_at, changed_at, trace_id, share_key, first"
)


def upgrade() -> None:
    """Make the tables; a delivery tells of a share or of a request."""
    _requests()
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_deliveries()
    else:
        op.add_column("deliveries", sa.Column("sent_request_id", _ID))
        op.drop_constraint(op.f("ck_deliveries_one_share"), "deliveries")
        op.create_check_constraint(op.f("ck_deliveries_one_subject"), "deliveries", f"{_ONE} = 1")
        op.create_foreign_key(
            "fk_deliveries_sent_request_id", "deliveries", "sent_requests", ["sent_request_id"], ["id"], ondelete="CASCADE"
        )
    _index("deliveries", "ix_deliveries_of_request", ["sent_request_id"], "sent_request_id IS NOT NULL")


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Double(), nullable=False)


def _index(table: str, name: str, columns: list[str], where: str | None = None) -> None:
    condition = {"sqlite_where": sa.text(where), "postgresql_where": sa.text(where)} if where else {}
    op.create_index(name, table, columns, **condition)  # type: ignore[arg-type]


def _requests() -> None:
    op.create_table(
        "sent_requests",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        *map(_text, ("owner", "peer", "resource", "state", "reason")),
        sa.Column("share_id", _ID),
        *map(_time, ("created_at", "changed_at", "expires_at")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sent_requests_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_sent_requests"),
    )
    _index("sent_requests", "ix_sent_requests_expires_at", ["expires_at"])
    _index("sent_requests", "ix_sent_requests_user_id_id", ["user_id", "id"])
    _index("sent_requests", "ix_sent_requests_owner", ["user_id", "owner", "id"], "state != 'withdrawn'")
    op.create_table(
        "received_requests",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        *map(_text, ("owner", "requester", "peer", "resource", "path")),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("link_id", _ID),
        _text("state"),
        sa.Column("share_id", _ID),
        *map(_time, ("created_at", "changed_at", "expires_at")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_received_requests_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_received_requests"),
        sa.UniqueConstraint("user_id", "digest", name="uq_received_requests_user_id_digest"),
    )
    _index("received_requests", "ix_received_requests_expires_at", ["expires_at"])
    _index("received_requests", "ix_received_requests_user_id_id", ["user_id", "id"])
    _index("received_requests", "ix_received_requests_open", ["user_id", "id"], "state = 'open'")
    op.create_table(
        "request_links",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        *map(_text, ("path", "permissions")),
        sa.Column("at_once", sa.Boolean(), nullable=False),
        _text("state"),
        *map(_time, ("created_at", "changed_at", "expires_at")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_request_links_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_request_links"),
        sa.UniqueConstraint("token_hash", name="uq_request_links_token_hash"),
    )
    _index("request_links", "ix_request_links_expires_at", ["expires_at"])
    _index("request_links", "ix_request_links_user_id_id", ["user_id", "id"])


def _rebuild_deliveries() -> None:
    """SQLite changes no constraint of a table: make it anew, with all rows; what refers to it goes on doing so by its name."""
    op.execute("PRAGMA legacy_alter_table=ON")
    op.rename_table("deliveries", "deliveries_before")
    op.execute("PRAGMA legacy_alter_table=OFF")
    op.create_table(
        "deliveries",
        sa.Column("id", _ID, nullable=False),
        *map(_text, ("peer", "kind")),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("outgoing_share_id", _ID),
        sa.Column("incoming_share_id", _ID),
        _text("state"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        *map(_time, ("due_at", "expires_at")),
        _text("lease"),
        _time("lease_until"),
        *map(_text, ("reason", "detail")),
        sa.Column("http_status", sa.Integer(), nullable=False),
        *map(_time, ("created_at", "changed_at")),
        sa.Column("trace_id", sa.Text(), nullable=False, server_default=""),
        sa.Column("share_key", _ID, nullable=False),
        sa.Column("first", sa.Boolean(), nullable=False),
        sa.Column("sent_request_id", _ID),
        sa.CheckConstraint(f"{_ONE} = 1", name=op.f("ck_deliveries_one_subject")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_deliveries_user_id"),
        sa.ForeignKeyConstraint(["outgoing_share_id"], ["outgoing_shares.id"], name="fk_deliveries_outgoing_share_id"),
        sa.ForeignKeyConstraint(["incoming_share_id"], ["incoming_shares.id"], name="fk_deliveries_incoming_share_id"),
        sa.ForeignKeyConstraint(
            ["sent_request_id"], ["sent_requests.id"], name="fk_deliveries_sent_request_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
    )
    op.execute(f"INSERT INTO deliveries ({_COLUMNS}) SELECT {_COLUMNS} FROM deliveries_before")  # noqa: S608 - names of ours
    op.drop_table("deliveries_before")
    dead, failed = "state = 'dead'", "state != 'done' AND (reason NOT IN ('', 'overtaken'))"
    _index("deliveries", "ix_deliveries_share_key_id", ["share_key", "id"])
    _index("deliveries", "ix_deliveries_user_id_id", ["user_id", "id"])
    _index("deliveries", "ix_deliveries_user_id_peer_id", ["user_id", "peer", "id"])
    _index("deliveries", "ix_deliveries_queued", ["peer", "first", "due_at", "id"], "state = 'queued'")
    _index("deliveries", "ix_deliveries_leased", ["peer", "lease_until"], "state = 'leased'")
    _index("deliveries", "ix_deliveries_of_incoming", ["incoming_share_id"], "incoming_share_id IS NOT NULL")
    _index("deliveries", "ix_deliveries_done", ["changed_at"], "state = 'done'")
    _index("deliveries", "ix_deliveries_dead", ["changed_at"], dead)
    _index("deliveries", "ix_deliveries_dead_peer", ["peer", "id"], dead)
    _index("deliveries", "ix_deliveries_failed", ["user_id", "id"], failed)
