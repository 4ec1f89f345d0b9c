"""How many shares may come for one recipient, and from people whom nobody knows.

Rules kept here:

- one server gives one recipient so many new shares an hour, counted before it is looked up whether there is such a recipient; the
  same share once more is not counted;
- shares of unknown senders are counted for their server, and for the address that they came from, whatever domains it has;
- an inbox holds so many unanswered shares; senders whom the recipient knows are still let in when strangers have filled it. All
  inboxes together hold so many; beyond that no stranger is let in. What was withdrawn unanswered counts until it is forgotten, or
  taking shares back would make room for more of them.
"""

from dataclasses import dataclass

from opencloudmesh.protocol.errors import RateLimited, TemporarilyUnavailable
from opencloudmesh.services.callers import CurrentCaller, current_caller
from opencloudmesh.services.limits import RateLimiter, retry_after
from opencloudmesh.services.measures import NO_MEASURES, Measures
from opencloudmesh.services.ports import Clock, Transaction

_HOUR = 3600.0
_COUNTED_FOR = 60.0
_ALL_COUNTED_FOR = 600.0
_MOST_USERS = 10_000
_TRY_AGAIN_WHEN_FULL = 3600


@dataclass(slots=True)
class _Counted:
    """The unanswered shares of one inbox as they were counted, and those added since."""

    number: int
    until: float


class InboxLimits:
    """Asked for every new share."""

    def __init__(
        self,
        *,
        clock: Clock,
        per_recipient: int = 600,
        of_unknown: int = 5000,
        pending: int = 10_000,
        in_all: int = 200_000,
        caller: CurrentCaller = current_caller.get,
        measures: Measures = NO_MEASURES,
    ) -> None:
        self._clock = clock
        self._caller = caller
        self._measures = measures
        self._pending = pending
        self._in_all = in_all
        self._for_recipient = RateLimiter(per_recipient / _HOUR, per_recipient)
        self._of_unknown = RateLimiter(of_unknown / _HOUR, of_unknown)
        self._counted: dict[int, _Counted] = {}
        self._all = _Counted(0, 0.0)

    def offer(self, peer: str, recipient: str) -> None:
        """A server offers a share to a recipient, who may not exist; raises `RateLimited` (recipient-limited)."""
        if wait := self._for_recipient.take((peer, recipient), self._clock()):
            self._measures.rate_limited("shares-for-recipient")
            sentence = "Too many shares from your server for this recipient."
            raise RateLimited(sentence, retry_after=retry_after(wait), code="recipient-limited")

    def repeated(self, peer: str, recipient: str) -> None:
        """The share was not new."""
        self._for_recipient.give_back((peer, recipient), self._clock())

    def admit(self, tx: Transaction, *, peer: str, user_id: int, known: bool) -> None:
        """A share was stored in this transaction, which is given up where this raises `RateLimited` or
        `TemporarilyUnavailable` (inbox-full)."""
        now = self._clock()
        self._count_all(tx, now)
        if not known:
            self._admit_stranger(peer, now)
        most = self._pending * 2 if known else self._pending
        counted = self._counted.get(user_id)
        if counted is None or counted.until <= now or counted.number >= most:
            counted = self._count(tx, user_id, now)
        else:
            counted.number += 1
        if counted.number > most:
            raise self._full("inbox-full", "The recipient has too many unanswered shares.")

    def _full(self, rule: str, sentence: str) -> TemporarilyUnavailable:
        self._measures.rate_limited(rule)
        return TemporarilyUnavailable(sentence, retry_after=_TRY_AGAIN_WHEN_FULL, code="inbox-full")

    def _admit_stranger(self, peer: str, now: float) -> None:
        for key in (("server", peer), ("address", self._caller().address)):
            if wait := self._of_unknown.take(key, now):
                self._measures.rate_limited("shares-of-unknown")
                raise RateLimited("Too many shares of unknown senders.", retry_after=retry_after(wait))
        if self._all.number > self._in_all:
            raise self._full("inboxes-full", "There are too many unanswered shares here.")

    def _count_all(self, tx: Transaction, now: float) -> None:
        """Count one more; what is there is looked up now and then only, for that reads an index as long as they are many."""
        if self._all.until <= now:
            number = tx.incoming_shares.unanswered(most=self._in_all + 1)
            self._all = _Counted(number, now + (_COUNTED_FOR if number > self._in_all else _ALL_COUNTED_FOR))
        else:
            self._all.number += 1

    def _count(self, tx: Transaction, user_id: int, now: float) -> _Counted:
        if len(self._counted) >= _MOST_USERS:
            self._counted.clear()
        number = tx.incoming_shares.unanswered(user_id, most=self._pending * 2 + 1)
        counted = self._counted[user_id] = _Counted(number, now + _COUNTED_FOR)
        return counted
