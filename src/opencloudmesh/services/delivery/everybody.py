"""The messages of all users, for the operator of the server: seen, tried again and given up in their place.

Rule kept here: each act stands in the audit log, in the transaction that does it.
"""

from collections.abc import Sequence

from opencloudmesh.services.delivery.deliveries import Deliveries, unknown
from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import Delivery, DeliveryAttempt, User

_PAGE = 1000


class EverybodysDeliveries:
    """Each message is given with the user whose it is; `actor` is who acts, as the audit log names them."""

    def __init__(self, *, database: Database, deliveries: Deliveries) -> None:
        self._db = database
        self._deliveries = deliveries

    async def all(self, *, peer: str | None = None, failed: bool = False) -> Sequence[tuple[Delivery, User]]:
        """By id; with `peer` those to it only, with `failed` those given up, or waiting after a failed try."""
        found: list[tuple[Delivery, User]] = []
        for user in await self._users():
            after = 0
            while page := await self._deliveries.of_user(user, peer=peer, failed=failed, after_id=after, limit=_PAGE):
                found += [(delivery, user) for delivery in page]
                after = page[-1].id
        return sorted(found, key=lambda each: each[0].id)

    async def of_id(self, delivery_id: int) -> tuple[Delivery, User, Sequence[DeliveryAttempt]]:
        """One message, whose it is, and every try, oldest first; raises `NotFound`."""

        def work(tx: Transaction) -> tuple[Delivery, User, Sequence[DeliveryAttempt]]:
            found = tx.deliveries.by_id(delivery_id)
            user = tx.users.by_id(found.user_id) if found else None
            if found is None or user is None:
                raise unknown()
            return found, user, tx.deliveries.attempts(delivery_id)

        return await self._db.read(work)

    async def retry(self, delivery_id: int, actor: str) -> tuple[Delivery, User]:
        """Make it due now; raises `NotFound`, `Conflict` (delivery-done)."""
        _, user, _ = await self.of_id(delivery_id)
        return await self._deliveries.retry(user, delivery_id, actor=actor), user

    async def retry_all(self, peer: str, actor: str) -> int:
        """Make due now whatever waits for a peer, or failed there and is still true; how many messages that are."""
        return sum([await self._deliveries.retry_all(user, peer, actor=actor) for user in await self._users()])

    async def cancel(self, delivery_id: int, actor: str) -> tuple[Delivery, User]:
        """Give it up; raises `NotFound`, `Conflict` (delivery-done, delivery-dead)."""
        _, user, _ = await self.of_id(delivery_id)
        return await self._deliveries.cancel(user, delivery_id, actor=actor), user

    async def _users(self) -> Sequence[User]:
        return await self._db.read(lambda tx: tx.users.all())
