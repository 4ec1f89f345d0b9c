"""How many requests for shares are taken.

Rules kept here: counted by what the message says, before anything is looked up, so that who asks learns nothing by it; what one
server, and all strangers together, may leave before an owner is bounded; a visitor is counted by the source address.
"""

from dataclasses import dataclass

from opencloudmesh.protocol.errors import RateLimited, TemporarilyUnavailable
from opencloudmesh.services.callers import CurrentCaller, current_caller
from opencloudmesh.services.limits import RateLimiter, retry_after
from opencloudmesh.services.measures import NO_MEASURES, Measures
from opencloudmesh.services.ports import Clock, Transaction

_HOUR = 3600.0
_PART_OF_ONE_SERVER = 4
_AT_ONCE_AN_HOUR = 60
_OF_STRANGERS_AN_HOUR = 300
_TRY_AGAIN_WHEN_FULL = 3600


@dataclass(frozen=True, slots=True)
class RequestBounds:
    """An hour: requests of one server to one owner, and of one address through links. `pending`: unanswered, before one owner."""

    per_owner: int = 60
    pending: int = 1000
    per_address: int = 20


class RequestLimits:
    """Asked for every request that comes in."""

    def __init__(
        self,
        *,
        clock: Clock,
        bounds: RequestBounds = RequestBounds(),
        caller: CurrentCaller = current_caller.get,
        measures: Measures = NO_MEASURES,
    ) -> None:
        self._clock = clock
        self._pending = bounds.pending
        self._caller = caller
        self._measures = measures
        self._for_owner = RateLimiter(bounds.per_owner / _HOUR, bounds.per_owner)
        self._of_address = RateLimiter(bounds.per_address / _HOUR, bounds.per_address)
        self._of_strangers = RateLimiter(_OF_STRANGERS_AN_HOUR / _HOUR, _OF_STRANGERS_AN_HOUR)
        self._at_once = RateLimiter(_AT_ONCE_AN_HOUR / _HOUR, _AT_ONCE_AN_HOUR)

    def offer(self, peer: str, owner: str) -> None:
        """A server asks an owner, who may not exist, for something; raises `RateLimited` (recipient-limited)."""
        self._take(self._for_owner, (peer, owner), "requests-for-owner", code="recipient-limited")

    def stranger(self, peer: str) -> None:
        """Somebody whom the owner, if there is one, does not know asks; raises `RateLimited` (rate-limited)."""
        for key in (("server", peer), ("address", self._caller().address)):
            self._take(self._of_strangers, key, "requests-of-unknown")

    def visit(self) -> None:
        """A visitor asks through a link, which may not exist; raises `RateLimited` (rate-limited)."""
        self._take(self._of_address, self._caller().address, "requests-of-visitor")

    def share_at_once(self, link_id: int, host: str) -> None:
        """A link is about to share, and so to have us write to a server that a visitor named; raises `RateLimited`."""
        for key in (("link", str(link_id)), ("host", host)):
            self._take(self._at_once, key, "requests-at-once")

    def _take(self, limiter: RateLimiter, key: str | tuple[str, str], rule: str, *, code: str | None = None) -> None:
        if wait := limiter.take(key, self._clock()):
            self._measures.rate_limited(rule)
            raise RateLimited("Too many requests for shares.", retry_after=retry_after(wait), code=code)

    def admit(self, tx: Transaction, *, peer: str, user_id: int, known: bool) -> None:
        """A request was stored in this transaction, which is given up where this raises `TemporarilyUnavailable` (inbox-full)."""
        most = self._pending * 2 if known else self._pending
        of_peer = most if known else max(1, most // _PART_OF_ONE_SERVER)
        if tx.received_requests.open_of(user_id) > most or tx.received_requests.open_of(user_id, peer=peer) > of_peer:
            self._measures.rate_limited("requests-full")
            raise TemporarilyUnavailable(
                "The owner has too many unanswered requests.", retry_after=_TRY_AGAIN_WHEN_FULL, code="inbox-full"
            )
