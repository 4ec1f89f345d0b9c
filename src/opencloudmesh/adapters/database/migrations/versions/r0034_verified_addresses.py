"""Of each address of a contact whether its own server has signed something of it, which stood at the contact as a whole.

Where a contact has several addresses, those count that a signed share came from, and those that accepted an invite.
"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"

_SIGNED = """
    EXISTS (SELECT 1 FROM incoming_shares
            WHERE incoming_shares.user_id = {0}.user_id AND incoming_shares.sender = {0}.address AND incoming_shares.signed)
"""
_ACCEPTED = """
    EXISTS (SELECT 1 FROM invites WHERE invites.user_id = {0}.user_id AND invites.accepted_by = {0}.address)
"""


def upgrade() -> None:
    """Add the column, and fill it from what came."""
    op.add_column("contact_aliases", sa.Column("verified", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(f"UPDATE contact_aliases SET verified = true WHERE {_SIGNED.format('contact_aliases')}")  # noqa: S608
    op.execute(
        "UPDATE contacts SET verified = false WHERE id IN (SELECT contact_id FROM contact_aliases)"  # noqa: S608
        f" AND NOT {_SIGNED.format('contacts')} AND NOT {_ACCEPTED.format('contacts')}"
    )
