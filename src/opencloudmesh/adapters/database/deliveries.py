"""The store of messages that peers must get, and of every try (design decision 5).

Rules: a delivery is held back while an older one of the same share is open (queued or leased). That is kept in the column
`first`, written whenever a delivery of the share opens or ends, so that leasing reads an index over exactly those rows that
may be sent, whatever number of others is queued.
"""

from collections.abc import Sequence
from typing import Any

from opencloudmesh.adapters.database import delivery_statements as sql
from opencloudmesh.adapters.database.connection import Connection
from opencloudmesh.services.records import BROKEN_OFF, Delivery, DeliveryAttempt, WaitingDeliveries

_BROKEN_OFF_DETAIL = "This server ended in the middle of the try; the message may have arrived."
_BELOW_SHARES, _BELOW_REQUESTS = -(2**62), -(2**62) - 2**61


class Deliveries:
    """Implements `ports.DeliveryStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        *,
        peer: str,
        kind: str,
        user_id: int,
        outgoing_share_id: int | None = None,
        incoming_share_id: int | None = None,
        sent_request_id: int | None = None,
        contact_removal_id: int | None = None,
        due_at: float,
        expires_at: float,
        at: float,
        trace_id: str = "",
    ) -> Delivery:
        """Queue one (state queued)."""
        share_key = _share_key(outgoing_share_id, incoming_share_id, sent_request_id, contact_removal_id)
        row = self._connection.row(
            sql.ADD,
            peer=peer,
            kind=kind,
            user_id=user_id,
            outgoing_share_id=outgoing_share_id,
            incoming_share_id=incoming_share_id,
            sent_request_id=sent_request_id,
            contact_removal_id=contact_removal_id,
            state="queued",
            attempts=0,
            due_at=due_at,
            expires_at=expires_at,
            lease="",
            lease_until=0.0,
            reason="",
            detail="",
            http_status=0,
            created_at=at,
            changed_at=at,
            trace_id=trace_id,
            share_key=share_key,
            share=share_key,
        )
        assert row is not None  # noqa: S101  RETURNING of an INSERT that did not raise
        return Delivery(*row)

    def by_id(self, delivery_id: int) -> Delivery | None:
        """The delivery with this id."""
        row = self._connection.row(sql.BY_ID, which=delivery_id)
        return Delivery(*row) if row else None

    def of_user(
        self, user_id: int, *, peer: str | None = None, failed: bool = False, after_id: int = 0, limit: int = 1000
    ) -> Sequence[Delivery]:
        """Ascending ids greater than `after_id`; with `failed` those given up, or waiting after a failed try."""
        values = {"user_id": user_id, "after": after_id, "most": limit} | ({} if peer is None else {"which_peer": peer})
        return [Delivery(*row) for row in self._connection.rows(sql.OF_USER[peer is not None, failed], **values)]

    def undelivered(self, user_id: int, peer: str, *, after_id: int = 0, limit: int = 1000) -> Sequence[Delivery]:
        """The user's deliveries to this peer that are not done: ascending ids greater than `after_id`."""
        rows = self._connection.rows(sql.NOT_DONE, user_id=user_id, which_peer=peer, after=after_id, most=limit)
        return [Delivery(*row) for row in rows]

    def untried(self, user_id: int, peer: str, *, after_id: int = 0, limit: int = 1000) -> Sequence[Delivery]:
        """The user's queued deliveries to this peer of which no try has failed: ascending ids greater than `after_id`."""
        rows = self._connection.rows(sql.UNTRIED, user_id=user_id, which_peer=peer, after=after_id, most=limit)
        return [Delivery(*row) for row in rows]

    def of_outgoing_share(self, share_id: int) -> Sequence[Delivery]:
        """All of this share, oldest first."""
        return [Delivery(*row) for row in self._connection.rows(sql.OF_SHARE, share=_share_key(share_id))]

    def untold_ends(self, user_id: int, first: int, last: int) -> Sequence[Delivery]:
        """Undelivered messages that shares of the user, from one id to another, were taken back; oldest first."""
        return [Delivery(*row) for row in self._connection.rows(sql.ENDS, user_id=user_id, first=first, last=last)]

    def of_incoming_share(self, share_id: int) -> Sequence[Delivery]:
        """All of this share, oldest first."""
        return [Delivery(*row) for row in self._connection.rows(sql.OF_SHARE, share=_share_key(None, share_id, None))]

    def of_sent_request(self, request_id: int) -> Sequence[Delivery]:
        """All of this request, oldest first."""
        return [Delivery(*row) for row in self._connection.rows(sql.OF_SHARE, share=_share_key(None, None, request_id))]

    def peers_with_work(self) -> Sequence[tuple[str, float]]:
        """(peer, earliest due_at) over queued deliveries; a leased one counts from the moment its lease runs out."""
        return [(row[0], row[1]) for row in self._connection.rows(sql.PEERS_WITH_WORK)]

    def next_due(self, peer: str) -> float | None:
        """Earliest due_at of a queued delivery of this peer that no older open one of the same share holds back."""
        row = self._connection.row(sql.NEXT_DUE, which_peer=peer)
        return row[0] if row else None

    def lease(self, peer: str, *, holder: str, now: float, until: float, limit: int) -> Sequence[Delivery]:
        """Lease up to `limit` due deliveries of a peer, those due longest first, that no older open one of the same share
        holds back. Leases that ran out, or end later than one given now could, count as queued, and as broken-off tries."""
        self._note_broken_off(self._connection.rows(sql.RELEASE_RUN_OUT, which_peer=peer, now=now, latest=until + (until - now)))
        rows = self._connection.rows(
            sql.LEASE, which_peer=peer, now=now, most=limit, lease=holder, lease_until=until, changed_at=now
        )
        return sorted((Delivery(*row) for row in rows), key=lambda delivery: (delivery.due_at, delivery.id))

    def complete(self, delivery_id: int, *, holder: str, at: float, http_status: int) -> bool:
        """leased -> done, one attempt more; False if the lease is not ours any more."""
        row = self._connection.row(sql.COMPLETE, which=delivery_id, holder=holder, http_status=http_status, changed_at=at)
        if row is None:
            return False
        self._connection.change(sql.SET_FIRST, share=row[0])
        return True

    def requeue(
        self, delivery_id: int, *, holder: str, due_at: float, reason: str, detail: str, http_status: int, at: float
    ) -> bool:
        """leased -> queued again, one attempt more; False if the lease is not ours any more."""
        changed = self._connection.change(
            sql.REQUEUE,
            which=delivery_id,
            holder=holder,
            due_at=due_at,
            reason=reason,
            detail=detail,
            http_status=http_status,
            changed_at=at,
        )
        return changed == 1

    def bury(self, delivery_id: int, *, reason: str, detail: str, http_status: int, at: float) -> None:
        """An open one -> dead, with the reason; of a leased one that was one attempt more."""
        row = self._connection.row(
            sql.BURY, which=delivery_id, reason=reason, detail=detail, http_status=http_status, changed_at=at
        )
        if row:
            self._connection.change(sql.SET_FIRST, share=row[0])

    def holders(self) -> Sequence[str]:
        """Who holds a lease, in order."""
        return [row[0] for row in self._connection.rows(sql.HOLDERS)]

    def release(self, holder: str) -> int:
        """leased -> queued for all that it holds, one attempt more, which is recorded as broken off: its process has ended."""
        return self._note_broken_off(self._connection.rows(sql.RELEASE, holder=holder))

    def _note_broken_off(self, released: Sequence[Sequence[Any]]) -> int:
        for delivery_id, leased_at in released:
            self.add_attempt(DeliveryAttempt(delivery_id, leased_at, 0.0, BROKEN_OFF, _BROKEN_OFF_DETAIL, 0))
        return len(released)

    def hasten(self, *, peer: str | None = None, delivery_id: int | None = None, at: float, unasked: bool = False) -> int:
        """Make queued deliveries due now; returns how many that changed. With `unasked` (for all peers) those whose peer named no
        time.

        A dead one named by id is queued again (attempts kept); if its time to live is over, that begins anew.
        """
        if delivery_id is not None:
            row = self._connection.row(sql.REVIVE, which=delivery_id, now=at, due_at=at, changed_at=at)
            if row:
                self._connection.change(sql.SET_FIRST, share=row[0])
                return 1
            return self._connection.change(sql.HASTEN_ONE, which=delivery_id, now=at, due_at=at)
        if peer is not None:
            return self._connection.change(sql.HASTEN_PEER, which_peer=peer, now=at, due_at=at)
        return self._connection.change(sql.HASTEN_UNASKED if unasked else sql.HASTEN, now=at, due_at=at)

    def add_attempt(self, attempt: DeliveryAttempt) -> None:
        """Record one try."""
        self._connection.change(
            sql.ADD_ATTEMPT,
            delivery_id=attempt.delivery_id,
            at=attempt.at,
            duration=attempt.duration,
            reason=attempt.reason,
            detail=attempt.detail,
            http_status=attempt.http_status,
        )

    def waiting_for(self, peer: str) -> WaitingDeliveries:
        """What this peer must still be told."""
        row = self._connection.row(sql.OPEN_OF_PEER, which_peer=peer)
        number, oldest_at, next_try_at = row or (0, None, None)
        reason = self._connection.row(sql.LAST_REASON, which_peer=peer) if number else None
        return WaitingDeliveries(number, oldest_at or 0.0, next_try_at, reason[0] if reason else "")

    def attempts(self, delivery_id: int) -> Sequence[DeliveryAttempt]:
        """Every try, oldest first."""
        return [DeliveryAttempt(*row) for row in self._connection.rows(sql.ATTEMPTS, which=delivery_id)]

    def last_tries(self, peer: str, limit: int) -> Sequence[tuple[DeliveryAttempt, float]]:
        """The last tries, newest first, of what waits for a peer, each with the moment at which that is due."""
        rows = self._connection.rows(sql.LAST_TRIES, which_peer=peer, most=limit)
        return [(DeliveryAttempt(*row[:-1]), row[-1]) for row in rows]

    def keep_attempts(self, delivery_id: int, kept: int) -> None:
        """Forget all tries but the last `kept`."""
        self._connection.change(sql.KEEP_ATTEMPTS, which=delivery_id, kept=kept)

    def remove_done(self, before: float, limit: int) -> int:
        """Delete up to `limit` done deliveries (with their attempts) that changed before `before`; returns how many."""
        return self._connection.change(sql.REMOVE_DONE, before=before, most=limit)

    def remove_dead(self, before: float, limit: int, *, denied: bool = False) -> int:
        """Delete up to `limit` dead deliveries (with their attempts) that died before `before`; returns how many.

        Those that a denial ended stay, unless `denied` says otherwise.
        """
        return self._connection.change(sql.REMOVE_DEAD[denied], before=before, most=limit)

    def dead_beyond(self, newest: int) -> float | None:
        """When the newest dead delivery died that is not among so many newest ones; None where there are not more."""
        row = self._connection.row(sql.DEAD_BEYOND, most=newest)
        return row[0] if row else None

    def queued(self, peer: str, *, limit: int) -> Sequence[Delivery]:
        """Queued ones to this peer, as they become due."""
        return [Delivery(*row) for row in self._connection.rows(sql.QUEUED, which_peer=peer, most=limit)]

    def peers_denied(self) -> Sequence[str]:
        """The peers of dead deliveries that a denial ended."""
        return [row[0] for row in self._connection.rows(sql.PEERS_DENIED)]

    def denied(self, peer: str, *, after_id: int = 0, limit: int = 200) -> Sequence[Delivery]:
        """Dead deliveries of this peer that a denial ended: ascending ids greater than `after_id`."""
        return [Delivery(*row) for row in self._connection.rows(sql.DENIED, which_peer=peer, after=after_id, most=limit)]

    def peers_refused(self) -> Sequence[str]:
        """The peers of dead deliveries that ended because the peer did not deal with us."""
        return [row[0] for row in self._connection.rows(sql.PEERS_REFUSED)]

    def refused(self, peer: str, *, after_id: int = 0, limit: int = 200) -> Sequence[Delivery]:
        """Dead deliveries of this peer that ended because it did not deal with us: ascending ids greater than `after_id`."""
        return [Delivery(*row) for row in self._connection.rows(sql.REFUSED, which_peer=peer, after=after_id, most=limit)]

    def revive(self, delivery_id: int, *, expires_at: float, at: float) -> bool:
        """A dead one -> queued, due now, with a new end of its time to live (attempts kept); False where it is not dead."""
        row = self._connection.row(sql.REVIVE_UNTIL, which=delivery_id, expires_at=expires_at, due_at=at, changed_at=at)
        if row:
            self._connection.change(sql.SET_FIRST, share=row[0])
        return row is not None

    def unreached(self, peer: str, *, after_id: int = 0, limit: int = 200) -> Sequence[Delivery]:
        """Dead deliveries whose peer was not reached until their end, or which a fault of ours ended: ascending ids."""
        rows = self._connection.rows(sql.UNREACHED, which_peer=peer, after=after_id, most=limit)
        return [Delivery(*row) for row in rows]

    def given_up(self, peer: str) -> Sequence[tuple[str, int]]:
        """Why this peer will not get messages, and how many, the last reason first; without those that somebody cancelled."""
        return [(row[0], row[1]) for row in self._connection.rows(sql.GIVEN_UP, which_peer=peer)]

    def peers_given_up(self) -> Sequence[str]:
        """The peers that a dead delivery was for."""
        return [row[0] for row in self._connection.rows(sql.PEERS_GIVEN_UP)]


def _share_key(outgoing: int | None, incoming: int | None = None, request: int | None = None, removal: int | None = None) -> int:
    """One number for what a delivery tells of: shares given, minus shares received, and far below these requests and removals."""
    if outgoing is not None:
        return outgoing
    if incoming is not None:
        return -incoming
    if request is not None:
        return _BELOW_SHARES - request
    assert removal is not None, "a delivery tells of one thing"  # noqa: S101
    return _BELOW_REQUESTS - removal
