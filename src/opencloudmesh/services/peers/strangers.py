"""What servers leave behind with which nobody here has anything to do: any owner of a domain makes as many as there are names.

Rules kept here: of servers without a decision, a pin or a share so many are kept, those that were heard of last, each with its
documents and keys; of the alerts that the server itself noted in the audit log the newest are kept, and all that people did.
"""

from opencloudmesh.services.ports import Transaction
from opencloudmesh.services.records import SERVER

_BATCH = 200
_MOST_ALERTS = 10_000


class Strangers:
    """Forgets them, oldest first, in small batches (see `services.lifecycle.Sweeper`)."""

    def __init__(self, most: int = 5000) -> None:
        self._most = most
        self._look_at = most

    def sweep(self, tx: Transaction, now: float) -> int:
        """Forget a batch of servers beyond the number. Where all have shares, it is looked again when there are more of them."""
        number = tx.peers.number()
        if number <= self._look_at:
            return 0
        gone = tx.peers.remove_strangers(self._most, _BATCH)
        for host in gone:
            tx.peer_keys.remove(host)
        if len(gone) < _BATCH:
            self._look_at = number - len(gone) + max(1, self._most // 10)
        return len(gone)

    @staticmethod
    def sweep_alerts(tx: Transaction, now: float) -> int:
        """Forget a batch of the server's own acts beyond the number."""
        return tx.audit.remove_beyond(SERVER, _MOST_ALERTS, _BATCH)
