"""Which request of ours a share that comes is the answer to.

Rules kept here: only a share of the very owner who was asked counts; the draft gives nothing to tell for which request it was
made, so the name of the resource decides, and where only one request waits for this owner, that one.
"""

from opencloudmesh.protocol.errors import Conflict
from opencloudmesh.protocol.lifecycle import GRANT, SENT_REQUEST, next_state
from opencloudmesh.services.ports import Transaction
from opencloudmesh.services.records import IncomingShare, SentRequest


def note_granted(tx: Transaction, share: IncomingShare, at: float) -> None:
    """A share was stored in this transaction: the request that asked for it is granted."""
    request = _answered(tx, share)
    if request is None:
        return
    try:
        state = next_state(SENT_REQUEST, request.state, GRANT)
    except Conflict:
        return
    tx.sent_requests.set_state(request.id, state, at, share_id=share.id)


def _answered(tx: Transaction, share: IncomingShare) -> SentRequest | None:
    owners = dict.fromkeys((share.owner, share.sender))
    waiting = [one for owner in owners for one in tx.sent_requests.waiting(share.user_id, owner)]
    named = [one for one in waiting if share.name == _name(one.resource) or share.provider_id == one.resource]
    if named:
        return named[0]
    return waiting[0] if len(waiting) == 1 else None


def _name(resource: str) -> str:
    return resource.rstrip("/").rpartition("/")[2]
