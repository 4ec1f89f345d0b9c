"""What one try writes: the attempt, the end of the delivery or its next try, and what that means for the share, together."""

from collections.abc import Callable
from dataclasses import dataclass

from opencloudmesh.services.delivery.messages import Handler, Outcome, Overtaken, printable
from opencloudmesh.services.ports import Transaction
from opencloudmesh.services.records import BROKEN_OFF, POLICY_DENIED, Delivery, DeliveryAttempt

KEPT_TRIES = 50
"""So many tries of one delivery stay on record, the last ones."""
TRUST_FOLLOWS = 1.0
"""Seconds in which a process hears of a decision about a peer that another one wrote."""

StillDenied = Callable[[Transaction, str], bool]
"""Whether we do not deal with a peer, as it stands in this transaction: what a process knows can be a moment older."""


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a delivery and what it came to."""

    delivery: Delivery
    outcome: Outcome
    holder: str
    started: float
    ended: float
    due_at: Callable[[int], float]
    """When to try again, after so many tries that failed."""
    still_denied: StillDenied

    def settle(self, tx: Transaction, handler: Handler | None) -> None:
        """Write all of it; without a handler, what the share should have learnt is left out."""
        delivery, outcome = self.delivery, self.outcome
        self._note(tx)
        if outcome.done:
            tx.deliveries.complete(delivery.id, holder=self.holder, at=self.ended, http_status=outcome.status)
            if handler is not None:
                handler.delivered(tx, delivery, self.ended)  # also where it was given up meanwhile: the peer has it
            return
        current = tx.deliveries.by_id(delivery.id)
        if current is None or current.state != "leased" or current.lease != self.holder:
            return
        if outcome.final and outcome.reason == POLICY_DENIED and not self.still_denied(tx, delivery.peer):
            self._requeue(tx, self.ended + TRUST_FOLLOWS)  # that was lifted while this was tried
        elif outcome.final:
            self._bury(tx, handler, outcome.end or outcome.reason)
        elif handler is not None and handler.is_moot(tx, delivery, self.ended):
            self._bury(tx, handler, Overtaken.code)
        else:
            self._requeue(tx, self.due_at(self._failed(tx)))

    def _note(self, tx: Transaction) -> None:
        reason, detail, status = self.outcome.reason, printable(self.outcome.detail), self.outcome.status
        tx.deliveries.add_attempt(
            DeliveryAttempt(self.delivery.id, self.started, self.ended - self.started, reason, detail, status)
        )
        if self.delivery.attempts >= KEPT_TRIES:
            tx.deliveries.keep_attempts(self.delivery.id, KEPT_TRIES)

    def _failed(self, tx: Transaction) -> int:
        """How many tries failed, this one among them: those that ended with our own process say nothing of the peer."""
        if not self.delivery.attempts:
            return 1
        return sum(attempt.reason != BROKEN_OFF for attempt in tx.deliveries.attempts(self.delivery.id))

    def _bury(self, tx: Transaction, handler: Handler | None, reason: str) -> None:
        delivery, outcome = self.delivery, self.outcome
        # what failed before it became pointless is on record with its try
        detail = outcome.detail if reason != Overtaken.code or outcome.reason == reason else ""
        if reason == "time-to-live" and outcome.reason != reason:
            detail = f"At last: {outcome.reason} {detail}".rstrip()
        tx.deliveries.bury(
            delivery.id,
            reason=reason,
            detail=printable(detail),
            http_status=outcome.status or delivery.http_status,
            at=self.ended,
        )
        if handler is not None and reason != Overtaken.code:
            handler.failed(tx, delivery, reason, self.ended)

    def _requeue(self, tx: Transaction, due_at: float) -> None:
        tx.deliveries.requeue(
            self.delivery.id,
            holder=self.holder,
            due_at=due_at,
            reason=self.outcome.reason,
            detail=printable(self.outcome.detail),
            http_status=self.outcome.status,
            at=self.ended,
        )
