"""A Receiving Server that asks for access to a share which has ended is told so once more: it may not know (see the package)."""

from collections import OrderedDict

import structlog

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.protocol.registries import SHARE_UNSHARED
from opencloudmesh.services.delivery import Deliveries
from opencloudmesh.services.ports import Clock, Database, Transaction
from opencloudmesh.services.reconciliation.telling import forgotten_end
from opencloudmesh.services.records import OutgoingShare

_log = structlog.get_logger(__name__)
_PAUSE = 300.0
"""A share that was looked at is not looked at again within so many seconds, however often it is asked for."""
_MOST = 10_000


class Reminders:
    """Called where a server proved, by the share's own secret, that it was given the share, and was refused."""

    def __init__(self, *, database: Database, deliveries: Deliveries, clock: Clock) -> None:
        self._db = database
        self._deliveries = deliveries
        self._clock = clock
        self._asked: OrderedDict[int, float] = OrderedDict()

    async def refused(self, share: OutgoingShare) -> None:
        """Tell the server of the share that it has ended, if it has, and that was not told lately. Raises nothing."""
        now = self._clock()
        if 0 <= now - self._asked.get(share.id, -_PAUSE) < _PAUSE:
            return
        self._asked[share.id] = now
        self._asked.move_to_end(share.id)
        if len(self._asked) > _MOST:
            self._asked.popitem(last=False)
        try:
            if await self._db.read(lambda tx: forgotten_end(tx, share, now)[0]) and await self._db.write(
                lambda tx: self._queued(tx, share.id, now)
            ):
                self._deliveries.wake(share.peer)
        except OCMError as error:  # the refusal is what was asked for
            _log.warning("end-not-told", share=share.id, reason=error.code)

    def _queued(self, tx: Transaction, share_id: int, now: float) -> bool:
        share = tx.outgoing_shares.by_id(share_id)
        is_due, dead = forgotten_end(tx, share, now) if share is not None else (False, None)
        if share is None or not is_due:
            return False
        if dead is not None:
            tx.deliveries.hasten(delivery_id=dead.id, at=now)
        else:
            self._deliveries.queue(tx, peer=share.peer, kind=SHARE_UNSHARED, user_id=share.user_id, outgoing=share.id)
        _log.info("end-told-again", share=share.id, peer=share.peer)
        return True
