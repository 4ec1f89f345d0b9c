"""Messages that a denial ended, and what becomes of them when it is lifted (see the package).

Rules kept here: a denial ends what waits, with its reason, and nothing of it is lost: when it is lifted, that is queued again in
its order and with a fresh time to live, as far as the other side should still know it; what it need not know ends as overtaken,
and is looked at once. What is under way while a denial is written ends after its try.
"""

from collections.abc import Callable, Mapping

from opencloudmesh.services.delivery.messages import Handler, Overtaken, printable
from opencloudmesh.services.delivery.peer_queue import RetryPolicy
from opencloudmesh.services.ports import Transaction
from opencloudmesh.services.records import POLICY_DENIED, AuditEntry, DeliveryAttempt

ENDED = "messages-ended"
QUEUED_AGAIN = "messages-again"
_BATCH = 200

Handlers = Callable[[], Mapping[str, Handler]]


class Denials:
    """Ends and brings back the messages of servers in a transaction of the caller, who wakes the worker after COMMIT."""

    def __init__(self, *, handlers: Handlers, policy: RetryPolicy) -> None:
        self._handlers = handlers
        self._policy = policy

    def end(self, tx: Transaction, peer: str, sentence: str, at: float) -> int:
        """End what is queued for a peer, with the reason policy-denied; returns how many messages that were."""
        ended = 0
        while batch := tx.deliveries.queued(peer, limit=_BATCH):
            for delivery in batch:
                detail, status = printable(sentence), delivery.http_status
                tx.deliveries.add_attempt(DeliveryAttempt(delivery.id, at, 0.0, POLICY_DENIED, detail, 0))
                tx.deliveries.bury(delivery.id, reason=POLICY_DENIED, detail=detail, http_status=status, at=at)
                if handler := self._handlers().get(delivery.kind):
                    handler.failed(tx, delivery, POLICY_DENIED, at)
            ended += len(batch)
        return ended

    def lift(self, tx: Transaction, is_allowed: Callable[[str], bool], at: float) -> dict[str, int]:
        """Queue again what denials ended of the peers that are allowed now; how many messages that are, by peer."""
        counts = {peer: self._lift_of(tx, peer, at) for peer in tx.deliveries.peers_denied() if is_allowed(peer)}
        return {peer: count for peer, count in counts.items() if count}

    def _lift_of(self, tx: Transaction, peer: str, at: float) -> int:
        again, after_id = 0, 0
        while batch := tx.deliveries.denied(peer, after_id=after_id, limit=_BATCH):
            for delivery in batch:
                handler = self._handlers().get(delivery.kind)
                if handler is None:  # of another version: its user may have it tried
                    continue
                is_wanted = handler.is_wanted(tx, delivery, at)
                tx.deliveries.revive(delivery.id, expires_at=at + self._policy.time_to_live, at=at)
                if is_wanted:
                    handler.retried(tx, delivery, at)
                    again += 1
                else:
                    status = delivery.http_status
                    tx.deliveries.bury(delivery.id, reason=Overtaken.code, detail="", http_status=status, at=at)
            after_id = batch[-1].id
        return again


def count_in_audit(tx: Transaction, actor: str, action: str, subject: str, number: int, at: float) -> None:
    """Keep in the audit log how many messages an act ended, or brought back, where there were any."""
    if number:
        tx.audit.add(AuditEntry(at, actor, action, subject, "", str(number), ""))
