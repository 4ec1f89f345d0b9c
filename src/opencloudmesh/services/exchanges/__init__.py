"""The exchange log: every exchange with another server, in and out, as `ocm log` shows it.

How it works

- Whoever has an exchange with a peer (the HTTP client, the endpoints for peers) calls `Exchanges.note`. That costs a few
  microseconds, and never waits: what was seen goes into a queue of bounded length and size, and what finds no place there is
  counted and forgotten.
- In the background the queue is emptied twice a second. In a thread, secrets are taken out (`protocol.redaction`) and the sender
  is named; then all of it is written, a hundred rows at a time, with rests that leave the processor to the requests: after a
  flood the log follows some seconds later. At the end of the server what waits is written too.
- A peer is verified where its signature, its credentials or its TLS certificate said who it is. Else the log shows whom the
  request claims to come from, and that nobody has proved it.
- Strangers cannot fill the log: of refused requests of unverified senders at most 10 a minute are kept of one address, and 60 of
  all together; the rest is counted, and said in one line a minute. In the same way at most 120 WebDAV requests a minute are kept
  that succeed with one peer. Failures of known peers are always kept.
- Of a signature that was refused the row also says why (`explaining`): what was covered and asked for, the base as we built it,
  and the one component that differs, where a bounded search finds one.
- Rows end after `exchange_log.days`. Refused requests of unverified senders take at most a tenth of `exchange_log.rows`. Where
  there are more rows than that, those of strangers go first, then the oldest of the peer that has most of them. A row is bounded,
  too: its URL, its headers, its bodies (`exchange_log.body_bytes` each, 1 KiB for strangers).
"""

from opencloudmesh.services.exchanges.exchanges import NO_EXCHANGES, Exchanges, NotesExchanges
from opencloudmesh.services.exchanges.inbound import Inbound, because, holds, refused_by, refused_with, sender_is, take_inbound
from opencloudmesh.services.exchanges.seen import Seen

__all__ = [
    "NO_EXCHANGES",
    "Exchanges",
    "Inbound",
    "NotesExchanges",
    "Seen",
    "because",
    "holds",
    "refused_by",
    "refused_with",
    "sender_is",
    "take_inbound",
]
