"""Removals of contacts that other servers are told of, notices for users, and the deliveries that carry removals."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0021"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_SUBJECTS = ("outgoing_share_id", "incoming_share_id", "sent_request_id", "contact_removal_id")
_ONE = " + ".join(f"CASE WHEN {name} IS NULL THEN 0 ELSE 1 END" for name in _SUBJECTS)


def upgrade() -> None:
    """Make the tables; a delivery tells of a removal, too."""
    _tables()
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_deliveries()
    else:
        op.add_column("deliveries", sa.Column("contact_removal_id", _ID))
        op.drop_constraint(op.f("ck_deliveries_one_subject"), "deliveries")
        op.create_check_constraint(op.f("ck_deliveries_one_subject"), "deliveries", f"{_ONE} = 1")
        op.create_foreign_key(
            "fk_deliveries_contact_removal_id",
            "deliveries",
            "contact_removals",
            ["contact_removal_id"],
            ["id"],
            ondelete="CASCADE",
        )
    where = sa.text("contact_removal_id IS NOT NULL")
    op.create_index("ix_deliveries_of_removal", "deliveries", ["contact_removal_id"], sqlite_where=where, postgresql_where=where)


def _tables() -> None:
    op.create_index("ix_contacts_address", "contacts", ["address"])
    op.create_table(
        "contact_removals",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("known_as", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_contact_removals_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_contact_removals"),
    )
    op.create_index("ix_contact_removals_at", "contact_removals", ["at"])
    op.create_table(
        "notices",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("shares", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_notices_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
    )
    op.create_index("ix_notices_user_id_id", "notices", ["user_id", "id"])


def _rebuild_deliveries() -> None:
    """SQLite changes no constraint of a table: make it anew, with all rows; what refers to it goes on doing so by its name."""
    bind = op.get_bind()
    table = bind.scalar(sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'deliveries'"))
    indexes = bind.scalars(
        sa.text("SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'deliveries' AND sql IS NOT NULL")
    ).all()
    columns = ", ".join(bind.scalars(sa.text("SELECT name FROM pragma_table_info('deliveries')")))
    op.execute("PRAGMA legacy_alter_table=ON")
    op.rename_table("deliveries", "deliveries_before")
    op.execute("PRAGMA legacy_alter_table=OFF")
    op.execute(_with_removals(table))
    op.execute(f"INSERT INTO deliveries ({columns}) SELECT {columns} FROM deliveries_before")  # noqa: S608 - names of ours
    op.drop_table("deliveries_before")
    for index in indexes:
        op.execute(index)


def _with_removals(table: str) -> str:
    """The definition of the table, with one column more, which is a subject too."""
    check = r"CONSTRAINT ck_deliveries_one_subject CHECK \(.*\)"
    table = re.sub(check, f"CONSTRAINT ck_deliveries_one_subject CHECK ({_ONE} = 1)", table)
    table = table.replace("CONSTRAINT", "contact_removal_id INTEGER, \n\tCONSTRAINT", 1)
    link = "CONSTRAINT fk_deliveries_contact_removal_id FOREIGN KEY(contact_removal_id) REFERENCES contact_removals (id)"
    return f"{table.rstrip().removesuffix(')').rstrip()}, \n\t{link} ON DELETE CASCADE\n)"
