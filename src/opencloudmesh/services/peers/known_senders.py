"""Whom a user knows at other servers, and which user another server means (section Decision to Discard; criterion must-invite).

Rules kept here: a user knows contacts (whose share is accepted becomes one), whom a share of the user gives access, and who was
asked for a share and has not given it, or whose share then waits. That ends with it: who was removed from the contacts, or
removed the user, and has no share, is a stranger again, whatever there was before. A share that a public link gave to whoever
came makes nobody known. Nobody is known to a user who does not exist, and that takes as long to find out. A user is meant by the
login name, or by an identifier that other servers were told in an invite.
"""

from opencloudmesh.protocol.address import OCMAddress
from opencloudmesh.services.ports import Transaction
from opencloudmesh.services.records import User

_NOBODY = 0


def recipient_of(tx: Transaction, identifier: str) -> User | None:
    """The user whom the identifier of an OCM Address of ours means."""
    user = tx.users.by_name(identifier)
    if user is None and (user_id := tx.identifiers.user_of(identifier)) is not None:
        user = tx.users.by_id(user_id)
    return user


def is_known(tx: Transaction, user_id: int, address: str) -> bool:
    """Whether the user has this OCM Address (canonical) as contact, shares something with it, or has asked it for a share."""
    is_contact = tx.contacts.by_address(user_id, address) is not None
    is_asked = tx.sent_requests.has_asked(user_id, address)
    return tx.outgoing_shares.gives_to(user_id, address) or is_contact or is_asked


def knows_sender(tx: Transaction, recipient: OCMAddress, sender: OCMAddress, known_as: OCMAddress | None = None) -> bool:
    """Whether the recipient of a message knows its sender, by either address; False too where there is no such recipient."""
    user = recipient_of(tx, recipient.identifier)
    user_id = user.id if user else _NOBODY
    return is_known(tx, user_id, str(sender)) or (known_as is not None and is_known(tx, user_id, str(known_as)))
