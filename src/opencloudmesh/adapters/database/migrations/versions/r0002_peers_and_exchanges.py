"""The registry of peers with keys and decisions, the exchange log, the audit log, what is remembered of received shares."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns with their defaults, and make the new tables."""
    _columns()
    _indexes()
    _peer_keys()
    _operators()
    _exchanges()


def _columns() -> None:
    op.add_column("users", _flag("admin"))
    op.add_column("deliveries", _text("trace_id"))
    for column in (_flag("quarantined"), sa.Column("refusals", sa.Integer(), nullable=False, server_default="0")):
        op.add_column("incoming_shares", column)
    op.add_column("incoming_shares", sa.Column("refused_since", sa.Double()))
    op.add_column("incoming_shares", sa.Column("seen_size", sa.BigInteger()))
    op.add_column("incoming_shares", sa.Column("seen_modified_at", sa.Double()))
    op.add_column("incoming_shares", sa.Column("seen_etag", sa.Text()))
    op.add_column("peers", _text("decision"))
    op.add_column("peers", _text("decision_reason"))
    op.add_column("peers", sa.Column("decided_at", sa.Double()))
    op.add_column("peers", _flag("pinned"))
    op.add_column("peers", _text("alert"))


def _indexes() -> None:
    op.create_index("ix_outgoing_shares_user_id_share_with", "outgoing_shares", ["user_id", "share_with"])
    op.create_index("ix_outgoing_shares_peer_state", "outgoing_shares", ["peer", "state"])
    op.create_index("ix_incoming_shares_user_id_sender", "incoming_shares", ["user_id", "sender"])
    op.create_index("ix_incoming_shares_peer_state", "incoming_shares", ["peer", "state"])


def _peer_keys() -> None:
    op.create_table(
        "peer_keys",
        sa.Column("id", _ID, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("jwk", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("gone_at", sa.Double()),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_peer_keys"),
        sa.UniqueConstraint("host", "kid", "thumbprint", name="uq_peer_keys_host_kid_thumbprint"),
    )


def _operators() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _ID, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_subject_id", "audit", ["subject", "id"])
    op.create_table(
        "runtime_settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_runtime_settings"),
    )


def _exchanges() -> None:
    op.create_table(
        "exchanges",
        sa.Column("id", _ID, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("direction", "peer", "method", "url")),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("duration", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("reason", "detail", "trace_id")),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("request_headers", "request_body", "answer_headers", "answer_body")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_exchanges"),
    )
    op.create_index("ix_exchanges_at", "exchanges", ["at"])
    op.create_index("ix_exchanges_peer_id", "exchanges", ["peer", "id"])
    op.create_index("ix_exchanges_trace_id", "exchanges", ["trace_id"])


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")
