"""Messages that a denial ended, ours or theirs, and what becomes of them when it is lifted (see the package).

Rules kept here: a denial ends what waits, with its reason, and nothing of it is lost: when it is lifted, that is queued again in
its order and with a fresh time to live, as far as the other side should still know it; what it need not know ends as overtaken,
and is looked at once. What is under way while a denial is written ends after its try. However much it is, one transaction takes
a batch, so that nobody waits for long who writes something else; a process that ends in between leaves the rest to the worker.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from opencloudmesh.services.delivery.messages import Handler, Overtaken, printable
from opencloudmesh.services.delivery.peer_queue import RetryPolicy
from opencloudmesh.services.ports import Transaction
from opencloudmesh.services.records import POLICY_DENIED, AuditEntry, Delivery, DeliveryAttempt

ENDED = "messages-ended"
QUEUED_AGAIN = "messages-again"
BATCH = 500
"""So many messages are ended, or brought back, in one transaction."""

Handlers = Callable[[], Mapping[str, Handler]]


class Denials:
    """Ends and brings back the messages of servers in a transaction of the caller, who wakes the worker after COMMIT."""

    def __init__(self, *, handlers: Handlers, policy: RetryPolicy) -> None:
        self._handlers = handlers
        self._policy = policy

    def end(self, tx: Transaction, peer: str, sentence: str, at: float, most: int = BATCH) -> int:
        """End what is queued for a peer, with the reason policy-denied; returns how many messages that were, at most `most`."""
        batch = tx.deliveries.queued(peer, limit=most)
        for delivery in batch:
            detail, status = printable(sentence), delivery.http_status
            tx.deliveries.add_attempt(DeliveryAttempt(delivery.id, at, 0.0, POLICY_DENIED, detail, 0))
            tx.deliveries.bury(delivery.id, reason=POLICY_DENIED, detail=detail, http_status=status, at=at)
            if handler := self._handlers().get(delivery.kind):
                handler.failed(tx, delivery, POLICY_DENIED, at)
        return len(batch)

    def lift(self, tx: Transaction, is_allowed: Callable[[str], bool], at: float) -> tuple[dict[str, int], bool]:
        """Queue again what denials ended of the peers that are allowed now, a batch of it.

        Returns how many messages that are, by peer, and whether there may be more.
        """
        left, counts = BATCH, dict[str, int]()
        for peer in tx.deliveries.peers_denied():
            if not is_allowed(peer):
                continue
            seen, again = self._again(tx, partial(_page, tx.deliveries.denied, peer), left, at)
            left -= seen
            if again:
                counts[peer] = len(again)
            if left <= 0:
                break
        return counts, left <= 0

    def ask_again(self, tx: Transaction, peer: str, at: float, *, with_all: bool) -> tuple[Sequence[int], bool]:
        """Queue again what the peer refused because it did not deal with us: a batch, or the oldest that is still true.

        Returns the ids of those messages, and whether there may be more.
        """
        most, again, seen = BATCH if with_all else 1, list[int](), BATCH
        while seen and not again:  # what is no longer true is no question to the peer
            seen, again = self._again(tx, partial(_page, tx.deliveries.refused, peer), most, at)
            if with_all:
                break
        return again, seen >= most

    def _again(
        self, tx: Transaction, page: Callable[[int, int], Sequence[Delivery]], most: int, at: float
    ) -> tuple[int, list[int]]:
        """Queue again what is wanted of a batch of dead messages; how many were looked at, and which are queued."""
        seen, after_id, again = 0, 0, list[int]()
        while seen < most and (batch := page(after_id, most - seen)):
            for delivery in batch:
                handler = self._handlers().get(delivery.kind)
                if handler is None:  # of another version: its user may have it tried
                    continue
                seen += 1
                is_wanted = handler.is_wanted(tx, delivery, at)
                if not tx.deliveries.revive(delivery.id, expires_at=at + self._policy.time_to_live, at=at):
                    continue  # another process was faster
                if is_wanted:
                    handler.retried(tx, delivery, at)
                    again.append(delivery.id)
                else:
                    status = delivery.http_status
                    tx.deliveries.bury(delivery.id, reason=Overtaken.code, detail="", http_status=status, at=at)
                    handler.failed(tx, delivery, Overtaken.code, at)  # what was said of its state is true no longer
            after_id = batch[-1].id
        return seen, again


def _page(pages: Callable[..., Sequence[Delivery]], peer: str, after_id: int, limit: int) -> Sequence[Delivery]:
    return pages(peer, after_id=after_id, limit=limit)


def count_in_audit(tx: Transaction, actor: str, action: str, subject: str, number: int, at: float) -> None:
    """Keep in the audit log how many messages an act ended, or brought back, where there were any."""
    if number:
        tx.audit.add(AuditEntry(at, actor, action, subject, "", str(number), ""))
