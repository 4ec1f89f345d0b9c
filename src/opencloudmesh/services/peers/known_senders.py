"""Whom a user knows at other servers (section Decision to Discard; criterion must-invite).

Rules kept here: until there are contacts, a user knows an address after accepting a share of it, whatever became of that share,
and after giving a share to it; nobody is known to a user who does not exist, and that takes as long to find out.
"""

from opencloudmesh.protocol.address import OCMAddress
from opencloudmesh.services.ports import Transaction

_NOBODY = 0


def is_known(tx: Transaction, user_id: int, address: str) -> bool:
    """Whether the user has dealt with this OCM Address (canonical) before."""
    accepted = tx.incoming_shares.has_accepted_from(user_id, address)
    return tx.outgoing_shares.has_given_to(user_id, address) or accepted


def knows_sender(tx: Transaction, recipient: OCMAddress, sender: OCMAddress) -> bool:
    """Whether the recipient of a message knows its sender; False too where there is no such recipient."""
    user = tx.users.by_name(recipient.identifier)
    return is_known(tx, user.id if user else _NOBODY, str(sender))
