"""Availability of received shares: down is not gone (design decision 14).

How it works

- `Marks` is the one place that knows which servers and shares cannot be reached, since when and why. What it knows stands in the
  database, so that it survives a restart; a listing shows it and asks nobody.
- A user's request that fails marks its own share, and has the prober look at once. Until the prober has confirmed the fault,
  others are let through to try for themselves; from then on they fail at once, with the reason and since when, and whoever
  waited for that server is let go. So a black-holed server holds a bounded number of requests, for one connect time-out.
- `Prober` looks after the servers of unavailable shares: one probe per server at a time, a fixed number of servers at once,
  back-off with jitter. A probe fetches the discovery document anew. Where that fails, all shares of the server are marked.
  Where it succeeds, shares are looked at (PROPFIND of the root); the first success marks all of them available again, but for
  those that were found out of order one by one; the others are verified when they are used.
- It looks at once when a user wants a share of that server, when the server sends a verified message, when a message is
  delivered to it, and when an exchange with it fails. Deliveries that wait hear of a server that is back.
- Only the prober counts refusals: at that moment the discovery document was fetched, and in order. The rule is that of
  `protocol.availability`; a share that is gone is marked as revoked (reason `gone`) through the table of states.
- `Lookout` looks at servers that messages wait for, whether or not they gave shares: to one that comes back in silence nothing
  would be sent before the back-off of the deliveries has passed.
- `Questions` asks servers that refused us whether they deal with us again.
- `SeenRoots` remembers the root of each share (size, time, etag) for listings; it writes in the background, and only changes.
"""

from opencloudmesh.services.availability.lookout import Lookout
from opencloudmesh.services.availability.marks import Marks, Outage
from opencloudmesh.services.availability.prober import Prober
from opencloudmesh.services.availability.questions import Questions
from opencloudmesh.services.availability.seen_roots import SeenRoots

__all__ = ["Lookout", "Marks", "Outage", "Prober", "Questions", "SeenRoots"]
