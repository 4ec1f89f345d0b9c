"""Delivery: what another server must be told reaches it, or is visibly failed.

How it works (design decision 5)

- A use case writes its state and a delivery row in one transaction, then calls `wake(peer)`. Nothing is sent before COMMIT.
- One task per peer that has work leases due rows (oldest first, a few at a time) and sends each in a task of its own. A row is
  held back while an older open row of the same share exists, so that one share's messages arrive in order; different shares and
  different peers do not wait for each other. A peer's first message never waits for a place that another peer's messages have,
  and peers that fail share a smaller number of places than those that do not.
- The message is built from the share at each try; its providerId never changes, so that the peer can recognise a repeat.
- The share's new state and the end of the delivery are written in one transaction.
- A lease carries the word of its holder, a process; every try ends before its lease does. What a process holds that has ended,
  also by kill -9, is released by the next one that starts, or that looks for work twice: with SQLite there is never more than
  one process, with PostgreSQL each holds a lock that ends with its connection (`Processes`). Beside that, a lease that ran out
  counts as queued. Either is recorded as a try with the reason broken-off, for the message may have been sent; it does not
  lengthen the back-off.
- What became pointless is not sent: an unshare overtakes the share that was not delivered, a decline the acceptance. Where an
  earlier try may have reached the peer (`arrival`), the newer message is sent after it, in any case. A try of a share that is
  still in discovery when the share is taken back ends there (`ShareCreation`), and nothing follows it.
- A peer that cannot be reached, or answers 5xx, opens its breaker: nothing is sent to it until the back-off has passed, then
  one message tries (half-open). An answer closes it and makes the waiting rows due at once. A verified message from the peer
  does not wait for the back-off, nor does an authenticated access of its users, or a look of ours that it answers: it makes the
  rows due and lets one try. A silent peer is looked at every quarter of an hour (`availability.Lookout`), but for a time that it
  named itself. `Retry-After` of a 429 or 503 holds the whole peer back, at most for the longest pause; that of a 429 holds also
  when the peer calls us. Where the peer says that it is about one recipient only (recipient-limited, inbox-full), nothing else
  waits for that, and the peer is not down. Breakers are known to their process only: with several, each finds out for itself. One
  that starts tries what waits at once, with one message where the last tries on record tell that the peer was not reached
  (`PeerQueue.recall`), but for what the peer named a time for.
- What waits for a peer that an operator denied ends at once, whatever its breaker says, with the reason; what a mode alone does
  not allow ends when it is due. Both go out when the peer is allowed again, as far as they are still true (`denials`). Whether it
  still is denied is asked in the transaction that ends the message, for a process may know of a decision a moment later.
- What a peer refused because it does not deal with us goes out when there is a sign that it does again (`refusals`).
- A new message whose user waits for the answer lets one message be tried through an open breaker, if the last failure is some
  seconds old and the peer named no time of its own; if that fails, the breaker stays open as long as it would have.
- What is shown as the next try is when that will really be: not before the breaker lets it (`next_try`).
- A user who pushes a message has it tried now, whatever the breaker says, and with a fresh look at a peer that could not be
  discovered a moment ago.
- A handler that raises is a fault of ours: that row is tried again with back-off, and buried at the end of its time.
- Time to live: a row whose time is over is tried once more, unless the peer's breaker is open, and then is dead with the reason
  of the last try. Times that lie further ahead than any pause are those of a clock that was set back, and count as now.

Which answers are final

- 403 of a peer that says that it does not deal with us is final as refused-by-peer, as long as that lasts.
- 2xx is success. 400, 403, 404, 405, 410, 413, 415, 422 and 501 are final, where an Open Cloud Mesh server says them.
- A web page (HTML) is never the word of such a server, but that of a proxy, a portal or a maintenance page: whatever its status,
  the message is tried again.
- 404, 405 and 410 are what a proxy or a router answers while the application behind it is being upgraded, some of them in plain
  text or without a word. They are final with a body of JSON only, which every server that we know sends.
- 401 is tried again: the peer may be without our keys for a while. So are 407, 408, 409, 421, 423, 425, 429, redirects, 5xx but
  501, every network fault, and every fault of our own database.
- 409 in answer to the repeat of a message whose earlier try may have arrived means that the peer has it: that is success.
- All of this with back-off and jitter, `Retry-After` honoured, until the row's time to live has passed.
"""

from opencloudmesh.services.delivery.arrival import may_have_arrived
from opencloudmesh.services.delivery.deliveries import Deliveries
from opencloudmesh.services.delivery.denials import Denials
from opencloudmesh.services.delivery.ended_processes import EndedProcesses, OnlyProcess
from opencloudmesh.services.delivery.everybody import EverybodysDeliveries
from opencloudmesh.services.delivery.messages import Handler, Overtaken
from opencloudmesh.services.delivery.next_try import NextTry
from opencloudmesh.services.delivery.peer_queue import Breaker, RetryPolicy

__all__ = [
    "Breaker",
    "Deliveries",
    "Denials",
    "EndedProcesses",
    "EverybodysDeliveries",
    "Handler",
    "NextTry",
    "OnlyProcess",
    "Overtaken",
    "RetryPolicy",
    "may_have_arrived",
]
