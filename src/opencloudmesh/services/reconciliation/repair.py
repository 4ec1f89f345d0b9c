"""`ocm shares repair`: a user's shares are compared with what the other servers say, and put right (see the package)."""

import asyncio
from collections.abc import Sequence

from opencloudmesh.protocol.availability import Away
from opencloudmesh.protocol.lifecycle import ACCEPTED, FAILED, OFFER_AGAIN, OUTGOING_SHARE, PENDING, SENT, next_state
from opencloudmesh.services.delivery import Deliveries
from opencloudmesh.services.ports import Clock, Database, Transaction
from opencloudmesh.services.reconciliation.report import (
    ANNOUNCE,
    GIVEN,
    NOTE,
    NOTHING,
    RECEIVED,
    TELL_ANSWER,
    TELL_END,
    Line,
    Place,
    Probe,
    said_by,
)
from opencloudmesh.services.reconciliation.telling import (
    last_word,
    may_be_announced,
    recent_end,
    tell_end,
    untold_answer,
    untold_end,
)
from opencloudmesh.services.records import Delivery, IncomingShare, OutgoingShare, User
from opencloudmesh.services.share_creation import SHARE_CREATION, creations

_PEERS_AT_ONCE = 8
_AWAY_IN_A_ROW = 3
_DAY = 86400.0
_LISTED = frozenset({PENDING, SENT, ACCEPTED, FAILED})


class Repair:
    """Goes through a user's shares, page by page."""

    def __init__(
        self, *, database: Database, deliveries: Deliveries, probe: Probe, clock: Clock, ended_days: float = 14.0
    ) -> None:
        self._db = database
        self._deliveries = deliveries
        self._probe = probe
        self._clock = clock
        self._ended_days = ended_days

    async def page(
        self,
        user: User,
        *,
        dry_run: bool,
        resend: bool = False,
        ended_days: float | None = None,
        peer: str | None = None,
        after: Place | None = None,
        limit: int = 100,
    ) -> tuple[Sequence[Line], Place | None]:
        """Look at the next `limit` shares; lines about those that are alive or were put right, and where to go on, if at all.

        With `resend` also the end of shares that ended within so many days (`ended_days`) is told again.
        """
        place = after or Place()
        if place.direction == GIVEN:
            given = await self._db.read(lambda tx: tx.outgoing_shares.of_user(user.id, after_id=place.after_id, limit=limit))
            chosen = [share for share in given if peer in (None, share.peer)]
            lines = await self._given(chosen, dry_run=dry_run, ended_since=self._ended_since(ended_days) if resend else None)
            return lines, Place(GIVEN, given[-1].id) if len(given) == limit else Place(RECEIVED)
        received = await self._db.read(lambda tx: tx.incoming_shares.of_user(user.id, after_id=place.after_id, limit=limit))
        lines = await self._received([share for share in received if peer in (None, share.peer)], dry_run=dry_run)
        return lines, Place(RECEIVED, received[-1].id) if len(received) == limit else None

    def _ended_since(self, days: float | None) -> float:
        return self._clock() - (self._ended_days if days is None else days) * _DAY

    # ------------------------------------------------------------ shares given
    async def _given(self, shares: Sequence[OutgoingShare], *, dry_run: bool, ended_since: float | None) -> Sequence[Line]:
        """`ended_since` is None where nothing is sent again that was taken."""
        now = self._clock()

        def work(tx: Transaction) -> list[Line]:
            lines = [self._one_given(tx, share, now, dry_run=dry_run, ended_since=ended_since) for share in shares]
            return [line for line in lines if line.act or line.state in _LISTED]

        lines = await (self._db.read(work) if dry_run else self._db.write(work))
        if not dry_run:
            self._wake(lines)
        return lines

    def _one_given(self, tx: Transaction, share: OutgoingShare, now: float, *, dry_run: bool, ended_since: float | None) -> Line:
        announced = creations(tx, share.id)
        resend = ended_since is not None
        end = untold_end(tx, share)
        is_forgotten, dead = recent_end(tx, share, now, ended_since) if ended_since is not None else (False, None)
        if end is not None or is_forgotten:
            if not dry_run:
                tell_end(tx, self._deliveries, share, end or dead, now)
            return Line.of_given(share, end.reason if end is not None else "", TELL_END)
        said = last_word(share, announced)
        lost = share.state == PENDING and not announced
        if not (resend or lost) or not may_be_announced(share, announced, now):
            return Line.of_given(share, said, NOTHING)
        if not dry_run:
            self._announce(tx, share, announced, now)
        return Line.of_given(share, said, ANNOUNCE)

    def _announce(self, tx: Transaction, share: OutgoingShare, announced: Sequence[Delivery], now: float) -> None:
        state = next_state(OUTGOING_SHARE, share.state, OFFER_AGAIN)
        if state != share.state:  # who has no memory of it answers anew; who has tells the answer once more
            tx.outgoing_shares.set_state(share.id, state, "", now)
        last = announced[-1] if announced else None
        if last is not None and last.state == "dead":
            tx.deliveries.hasten(delivery_id=last.id, at=now)
        else:
            self._deliveries.queue(tx, peer=share.peer, kind=SHARE_CREATION, user_id=share.user_id, outgoing=share.id)

    # ------------------------------------------------------------ shares received
    async def _received(self, shares: Sequence[IncomingShare], *, dry_run: bool) -> Sequence[Line]:
        said = await self._said([share for share in shares if share.state == ACCEPTED], note=not dry_run)
        now = self._clock()

        def work(tx: Transaction) -> list[Line]:
            lines = [self._one_received(tx, share, said.get(share.id), now, dry_run=dry_run) for share in shares]
            return [line for line in lines if line.act or line.state in _LISTED]

        lines = await (self._db.read(work) if dry_run else self._db.write(work))
        if not dry_run:
            self._wake(lines)
        return lines

    def _one_received(self, tx: Transaction, share: IncomingShare, said: str | None, now: float, *, dry_run: bool) -> Line:
        current = tx.incoming_shares.by_id(share.id) or share
        answer = untold_answer(tx, current)
        if answer is not None:
            if not dry_run:
                tx.deliveries.hasten(delivery_id=answer.id, at=now)
            return Line.of_received(current, said or answer.reason, TELL_ANSWER)
        act = NOTE if said not in (None, "ok") else NOTHING
        return Line.of_received(current, said or "", act)

    async def _said(self, shares: Sequence[IncomingShare], *, note: bool) -> dict[int, str]:
        """What the other servers say of accepted shares.

        Each is asked about one share at a time; a server that is away several times in a row is asked no more.
        """
        by_peer: dict[str, list[IncomingShare]] = {}
        for share in shares:
            by_peer.setdefault(share.peer, []).append(share)
        places = asyncio.Semaphore(_PEERS_AT_ONCE)
        said: dict[int, str] = {}

        async def ask(those: Sequence[IncomingShare]) -> None:
            away = 0
            async with places:
                for share in those:
                    if away < _AWAY_IN_A_ROW:
                        finding = await self._probe.probe(share, note=note)
                        away = away + 1 if isinstance(finding, Away) else 0
                        word = said_by(finding)
                    said[share.id] = word

        await asyncio.gather(*(ask(those) for those in by_peer.values()))
        return said

    def _wake(self, lines: Sequence[Line]) -> None:
        for peer in {line.peer for line in lines if line.act not in (NOTHING, NOTE)}:
            self._deliveries.wake(peer)
