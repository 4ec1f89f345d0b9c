"""Requests of our users to people at other servers (section Request for a Share).

Rules kept here: the request and its delivery are one transaction; what waits already is not asked for twice; whether the other
server takes such requests at all is found out by asking, for the draft has no word for it in discovery; withdrawing is local, and
always works.
"""

from collections.abc import Sequence

from opencloudmesh.protocol.address import OCMAddress, parse_address
from opencloudmesh.protocol.errors import Conflict, NotFound
from opencloudmesh.protocol.lifecycle import (
    DELIVER,
    FAIL,
    FAILED,
    PENDING,
    QUEUED,
    RETRY,
    SENT,
    SENT_REQUEST,
    WITHDRAW,
    WITHDRAWN,
    next_state,
)
from opencloudmesh.protocol.share_request import build_share_request, is_unsupported, parse_owner, parse_resource
from opencloudmesh.services.delivery import Deliveries, Overtaken
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Clock, Database, HttpAnswer, Transaction
from opencloudmesh.services.records import Delivery, SentRequest, User

SHARE_REQUEST = "SHARE_REQUEST"
PATH = "/request-share"
MOST_OPEN = 1000
"""Requests of one user that wait."""
_DAY = 86400.0
_KEPT = 60 * _DAY
_SWEPT = 200
_WAITS = frozenset({PENDING, SENT})


class RequestSending:
    """Ask, look and withdraw; also the delivery handler for what the owner's server is asked."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        deliveries: Deliveries,
        clock: Clock,
        own_host: str,
        lifetime_days: float = 30.0,
        wait_for_first_try: float = 5.0,
    ) -> None:
        self._db = database
        self._peers = peers
        self._deliveries = deliveries
        self._clock = clock
        self._own_host = own_host
        self._lifetime = lifetime_days * _DAY
        self._wait = wait_for_first_try

    # ------------------------------------------------------------ for users
    async def create(self, user: User, *, owner: str, resource: str) -> SentRequest:
        """Ask the owner, an OCM Address, for a share of a resource, and wait a little for the first try.

        What waits already is returned as it is. Raises `InvalidInput` (address-invalid, host-invalid, own-server,
        resource-invalid), `Conflict` (requests-full), `Forbidden` (policy-denied).
        """
        whose, what = parse_owner(owner, own_host=self._own_host), parse_resource(resource)
        self._peers.check_allowed(whose.host)
        now = self._clock()
        new = SentRequest(0, user.id, str(whose), whose.host, what, PENDING, "", None, now, now, now + self._lifetime)

        def work(tx: Transaction) -> tuple[SentRequest, Delivery | None]:
            for earlier in tx.sent_requests.waiting(user.id, new.owner):
                if earlier.resource == what and earlier.state in _WAITS and earlier.expires_at > now:
                    return earlier, None
            if tx.sent_requests.open_of(user.id) >= MOST_OPEN:
                raise Conflict(
                    f"There are {MOST_OPEN} requests that wait already.",
                    code="requests-full",
                    hint="Withdraw some: ocm requests list --sent",
                )
            added = tx.sent_requests.add(new)
            return added, self._deliveries.queue(tx, peer=new.peer, kind=SHARE_REQUEST, user_id=user.id, request=added.id)

        request, delivery = await self._db.write(work)
        if delivery is not None:
            await self._deliveries.first_try(delivery, self._wait)
        return await self.request(user, request.id)

    async def requests(self, user: User, *, after_id: int = 0, limit: int = 1000) -> Sequence[SentRequest]:
        """What the user asked for, by id."""
        return await self._db.read(lambda tx: tx.sent_requests.of_user(user.id, after_id=after_id, limit=limit))

    async def request(self, user: User, request_id: int) -> SentRequest:
        """One of them; raises `NotFound` (request-unknown)."""
        return await self._db.read(lambda tx: _owned(tx, user, request_id))

    async def withdraw(self, user: User, request_id: int) -> SentRequest:
        """Wait for it no longer; what was not sent yet is not sent. The owner, who may have it, is not told: there is no word.

        Raises `NotFound`, `Conflict` (invalid-transition) where the share is there already.
        """
        now = self._clock()

        def work(tx: Transaction) -> SentRequest:
            request = _owned(tx, user, request_id)
            state = next_state(SENT_REQUEST, request.state, WITHDRAW)
            if state != request.state:
                _set_withdrawn(tx, request, now)
            return _owned(tx, user, request_id)

        return await self._db.write(work)

    # ------------------------------------------------------------ delivery handler
    async def send(self, delivery: Delivery) -> HttpAnswer:
        """One try to ask the owner's server (see `delivery.Handler`)."""

        def look(tx: Transaction) -> tuple[SentRequest, OCMAddress] | None:
            request = tx.sent_requests.by_id(delivery.sent_request_id or 0)
            user = tx.users.by_id(delivery.user_id)
            if request is None or user is None or not self._waits(request):
                return None
            contact = tx.contacts.by_address(user.id, request.owner)
            known_as = contact.own_identifier if contact and contact.own_identifier else user.name
            return request, OCMAddress(known_as, self._own_host)

        found = await self._db.read(look)
        if found is None:
            raise Overtaken("The request was withdrawn, or its time is over.")
        request, share_with = found
        body = build_share_request(owner=parse_address(request.owner), share_with=share_with, share=request.resource)
        answer = await self._peers.post_message(request.peer, PATH, body)
        if is_unsupported(answer.status, answer.body):
            raise NotFound(f"{request.peer} takes no requests for shares.", code="request-unsupported")
        if answer.status == 404:
            raise NotFound(f"{request.peer} says: no such resource, or none for you.", code="resource-unknown")
        return answer

    def is_moot(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        """What nobody waits for any more is not asked."""
        request = tx.sent_requests.by_id(delivery.sent_request_id or 0)
        return request is None or not self._waits(request)

    def is_wanted(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        """What the user still waits for, and did not ask anew."""
        request = tx.sent_requests.by_id(delivery.sent_request_id or 0)
        if request is None or request.state != FAILED or request.expires_at <= at:
            return False
        waiting = tx.sent_requests.waiting(request.user_id, request.owner)
        return not any(one.resource == request.resource and one.state in _WAITS for one in waiting)

    def delivered(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """The owner's server took it: pending -> sent, unless the share came first."""
        _advance(tx, delivery, DELIVER, "", at)

    def failed(self, tx: Transaction, delivery: Delivery, reason: str, at: float) -> None:
        """It cannot be delivered, or was refused: failed, with the reason."""
        _advance(tx, delivery, FAIL, reason, at)

    def retried(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """The user has it sent again: failed -> pending."""
        _advance(tx, delivery, RETRY, "", at)

    def _waits(self, request: SentRequest) -> bool:
        return request.state in _WAITS and request.expires_at > self._clock()

    # ------------------------------------------------------------ what runs beside the server
    def sweep_expired(self, tx: Transaction, now: float) -> int:
        """Mark a batch of requests whose time is over."""
        return tx.sent_requests.expire(now, _SWEPT)

    def sweep_ended(self, tx: Transaction, now: float) -> int:
        """Forget a batch of requests that ended long ago."""
        return tx.sent_requests.remove_ended(now - _KEPT, _SWEPT)


def withdraw_all(tx: Transaction, user_id: int, owner: str, at: float) -> None:
    """Withdraw what the user asked this OCM Address (canonical) for, and did not get."""
    while waiting := tx.sent_requests.waiting(user_id, owner):
        for request in waiting:
            _set_withdrawn(tx, request, at)


def _set_withdrawn(tx: Transaction, request: SentRequest, at: float) -> None:
    tx.sent_requests.set_state(request.id, WITHDRAWN, at)
    for each in tx.deliveries.of_sent_request(request.id):
        if each.state == QUEUED:
            tx.deliveries.bury(each.id, reason=Overtaken.code, detail="", http_status=each.http_status, at=at)


def _advance(tx: Transaction, delivery: Delivery, event: str, reason: str, at: float) -> None:
    request = tx.sent_requests.by_id(delivery.sent_request_id or 0)
    if request is None:
        return
    try:
        state = next_state(SENT_REQUEST, request.state, event)
    except Conflict:
        return  # it went on without us
    if state != request.state:
        tx.sent_requests.set_state(request.id, state, at, reason=reason)


def _owned(tx: Transaction, user: User, request_id: int) -> SentRequest:
    request = tx.sent_requests.by_id(request_id)
    if request is None or request.user_id != user.id:
        raise NotFound("There is no such request.", code="request-unknown", hint="See: ocm requests list --sent")
    return request
