"""A Receiving Server that asks for access to a share which has ended, or accepts it, is told so once more (see the package)."""

from collections import OrderedDict

import structlog

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.delivery import Deliveries
from opencloudmesh.services.ports import Clock, Database, Transaction
from opencloudmesh.services.reconciliation.telling import forgotten_end, tell_end
from opencloudmesh.services.records import Delivery, OutgoingShare

_log = structlog.get_logger(__name__)
_PAUSE = 300.0
"""A share that was looked at is not looked at again within so many seconds, however often it is asked for."""
_MOST = 10_000


class Reminders:
    """Called where a server proved that it was given the share, by the share's own secret or by its signature."""

    def __init__(self, *, database: Database, deliveries: Deliveries, clock: Clock) -> None:
        self._db = database
        self._deliveries = deliveries
        self._clock = clock
        self._asked: OrderedDict[tuple[int, bool], float] = OrderedDict()

    async def refused(self, share: OutgoingShare) -> None:
        """Tell the server of the share that it has ended, if it has, and that was not told lately. Raises nothing."""
        await self._look(share, at_once=False)

    async def answered(self, share: OutgoingShare, is_accepted: bool) -> None:
        """The same where it answers the share: one that accepts it after it was told of the end has forgotten that."""
        await self._look(share, at_once=is_accepted)

    async def _look(self, share: OutgoingShare, *, at_once: bool) -> None:
        now, asked = self._clock(), (share.id, at_once)
        if 0 <= now - self._asked.get(asked, -_PAUSE) < _PAUSE:
            return
        self._asked[asked] = now
        self._asked.move_to_end(asked)
        if len(self._asked) > _MOST:
            self._asked.popitem(last=False)
        try:
            if await self._db.read(lambda tx: _due(tx, share, now, at_once)[0]) and await self._db.write(
                lambda tx: self._queued(tx, share.id, now, at_once)
            ):
                self._deliveries.wake(share.peer)
        except OCMError as error:  # the answer to what was asked for stands without it
            _log.warning("end-not-told", share=share.id, reason=error.code)

    def _queued(self, tx: Transaction, share_id: int, now: float, at_once: bool) -> bool:
        share = tx.outgoing_shares.by_id(share_id)
        is_due, dead = _due(tx, share, now, at_once) if share is not None else (False, None)
        if share is None or not is_due:
            return False
        tell_end(tx, self._deliveries, share, dead, now)
        _log.info("end-told-again", share=share.id, peer=share.peer)
        return True


def _due(tx: Transaction, share: OutgoingShare, now: float, at_once: bool) -> tuple[bool, Delivery | None]:
    return forgotten_end(tx, share, now, first=0.0) if at_once else forgotten_end(tx, share, now)
