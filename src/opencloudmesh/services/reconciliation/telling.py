"""Which messages about a share the other side should have had and has not, and sending them again."""

from collections.abc import Sequence

from opencloudmesh.protocol.lifecycle import (
    ACCEPTED,
    DEAD,
    DECLINED,
    DONE,
    EXPIRED,
    FAILED,
    LEFT,
    PENDING,
    REVOKED,
    SENT,
)
from opencloudmesh.protocol.registries import SHARE_ACCEPTED, SHARE_DECLINED, SHARE_UNSHARED
from opencloudmesh.services.delivery import Deliveries, Overtaken
from opencloudmesh.services.ports import Transaction
from opencloudmesh.services.records import Delivery, IncomingShare, OutgoingShare

_OPEN = frozenset({"queued", "leased"})
_LIVING = frozenset({SENT, ACCEPTED})
_ENDED = frozenset({REVOKED, EXPIRED, DECLINED})
"""States that give no access, of shares that the other server knew. What was declined stays so: an acceptance that comes later,
such as from an older backup, opens nothing without its owner."""
_UNREACHED = frozenset({"time-to-live", "internal"})
_TOLD_TO_ALL = 300.0
"""After so many seconds no request is under way any more that was begun before the end of a share was told."""
_SAME_MOMENT = 60.0
_DAY = 86400.0
_ANSWERS = {ACCEPTED: SHARE_ACCEPTED, DECLINED: SHARE_DECLINED, LEFT: SHARE_DECLINED}


def untold_end(tx: Transaction, share: OutgoingShare) -> Delivery | None:
    """The dead message that this share has ended."""
    return _given_up(tx.deliveries.of_outgoing_share(share.id), SHARE_UNSHARED) if share.state in _ENDED else None


def forgotten_end(
    tx: Transaction, share: OutgoingShare, now: float, *, first: float = _TOLD_TO_ALL, again: float = _DAY
) -> tuple[bool, Delivery | None]:
    """Whether a server that seems to think that this share lives is to be told, once more, that it has ended; and the dead
    message to send for that, if there is one.

    It may have forgotten it with an older backup, or never have known. It is told so `first` seconds after the end itself was
    told, and then every `again` seconds; not where it refused to hear it, or somebody did not want it said.
    """
    deliveries = tx.deliveries.of_outgoing_share(share.id)
    is_over = share.state in _ENDED or _has_run_out(share, now)
    if not is_over or any(delivery.state in _OPEN for delivery in deliveries):
        return False, None
    told = [delivery for delivery in deliveries if delivery.kind == SHARE_UNSHARED]
    if not told:
        return share.state != DECLINED or share.changed_at <= now - first, None  # also where the clock was set back meanwhile
    last = told[-1]
    is_first = share.state == REVOKED and len(told) == 1 and last.created_at <= share.changed_at + _SAME_MOMENT
    if now - (first if is_first else again) < last.changed_at <= now:
        return False, None
    if last.state == DEAD and last.reason != Overtaken.code:
        return last.reason in _UNREACHED, last
    return True, None


def recent_end(tx: Transaction, share: OutgoingShare, now: float, since: float) -> tuple[bool, Delivery | None]:
    """The same for a server that came back with an older backup, of a share that it knew and that ended `since` then.

    Not of one that was declined: that server says first whether it is pending there again.
    """
    ended_at = (share.expires_at or now) if _has_run_out(share, now) else share.changed_at
    if share.state == DECLINED or ended_at < since:
        return False, None
    deliveries = tx.deliveries.of_outgoing_share(share.id)
    told = [delivery for delivery in deliveries if delivery.kind == SHARE_UNSHARED]
    was_offered = not deliveries or any(delivery.state == DONE for delivery in deliveries)
    if (told and told[-1].reason == Overtaken.code) or not (told or was_offered):
        return False, None
    return forgotten_end(tx, share, now, first=0.0, again=0.0)


def tell_end(tx: Transaction, deliveries: Deliveries, share: OutgoingShare, dead: Delivery | None, now: float) -> None:
    """Queue the message that a share has ended: the one that was given up, or another."""
    if dead is not None:
        tx.deliveries.hasten(delivery_id=dead.id, at=now)
    else:
        deliveries.queue(tx, peer=share.peer, kind=SHARE_UNSHARED, user_id=share.user_id, outgoing=share.id)


def _has_run_out(share: OutgoingShare, now: float) -> bool:
    return share.state in _LIVING and share.expires_at is not None and share.expires_at <= now


def untold_answer(tx: Transaction, share: IncomingShare) -> Delivery | None:
    """The dead message with the recipient's answer, as it is now."""
    kind = _ANSWERS.get(share.state)
    return _given_up(tx.deliveries.of_incoming_share(share.id), kind) if kind else None


def _given_up(deliveries: Sequence[Delivery], kind: str) -> Delivery | None:
    """The last message of this kind, where it was given up."""
    if any(delivery.state in _OPEN for delivery in deliveries):
        return None
    last = next((delivery for delivery in reversed(deliveries) if delivery.kind == kind), None)
    return last if last is not None and last.state == DEAD and last.reason != Overtaken.code else None


def is_still_true(tx: Transaction, delivery: Delivery) -> bool:
    """Whether a dead message is what the other side should know now; never so for a Share Creation Notification."""
    meant = None
    if delivery.outgoing_share_id is not None:
        given = tx.outgoing_shares.by_id(delivery.outgoing_share_id)
        meant = untold_end(tx, given) if given else None
    elif delivery.incoming_share_id is not None:
        received = tx.incoming_shares.by_id(delivery.incoming_share_id)
        meant = untold_answer(tx, received) if received else None
    return meant is not None and meant.id == delivery.id


def may_be_announced(share: OutgoingShare, announced: Sequence[Delivery], now: float) -> bool:
    """Whether its Share Creation Notification can be sent again: it gives access, or failed, and none is under way."""
    is_over = share.expires_at is not None and share.expires_at <= now
    waits = any(delivery.state in _OPEN for delivery in announced)
    return share.state in (_LIVING | {PENDING, FAILED}) and not is_over and not waits


def last_word(share: OutgoingShare, told: Sequence[Delivery]) -> str:
    """What the other side said last about a share of ours."""
    if share.state in (ACCEPTED, DECLINED):
        return share.state
    last = told[-1] if told else None
    if last is None:
        return "taken" if share.state == SENT else share.reason
    if last.state == DONE:
        return "taken"
    return last.reason or ("waiting" if last.state in _OPEN else "")
