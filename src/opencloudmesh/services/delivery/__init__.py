"""Delivery: what another server must be told reaches it, or is visibly failed.

How it works (design decision 5)

- A use case writes its state and a delivery row in one transaction, then calls `wake(peer)`. Nothing is sent before COMMIT.
- One task per peer that has work leases due rows (oldest first, a few at a time) and sends each in a task of its own. A row is
  held back while an older open row of the same share exists, so that one share's messages arrive in order; different shares and
  different peers do not wait for each other. Peers that fail share a smaller number of places than those that do not.
- The message is built from the share at each try; its providerId never changes, so that the peer can recognise a repeat.
- The share's new state and the end of the delivery are written in one transaction.
- A lease carries the holder's word. After kill -9 the only process of a SQLite database releases all leases at its start; with
  several processes a lease that ran out counts as queued. Either counts as a try: the message may have been sent.
- A peer that cannot be reached, or answers 5xx, opens its breaker: nothing is sent to it until the back-off has passed, then one
  message tries (half-open). An answer closes it and makes the waiting rows due at once. A verified message from the peer does
  not wait for the back-off: it makes the rows due and lets one try.
- Answers: 2xx is success. 400, 403, 404, 405, 410, 413, 415, 422 and 501 are final. Everything else, every network fault and
  every fault of our own database is tried again with back-off and jitter, `Retry-After` honoured, until the row's time to live
  has passed.
"""

from opencloudmesh.services.delivery.deliveries import Deliveries
from opencloudmesh.services.delivery.messages import Handler, Overtaken
from opencloudmesh.services.delivery.peer_queue import RetryPolicy

__all__ = ["Deliveries", "Handler", "Overtaken", "RetryPolicy"]
