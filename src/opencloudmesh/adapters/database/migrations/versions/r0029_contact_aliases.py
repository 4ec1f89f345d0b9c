"""Further addresses of contacts."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0026"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "contact_aliases",
        sa.Column("id", _ID, nullable=False),
        sa.Column("contact_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name="fk_contact_aliases_contact_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_contact_aliases_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_contact_aliases"),
        sa.UniqueConstraint("user_id", "address", name="uq_contact_aliases_user_id_address"),
    )
    op.create_index("ix_contact_aliases_contact_id", "contact_aliases", ["contact_id"])
    op.create_index("ix_contact_aliases_address", "contact_aliases", ["address"])
