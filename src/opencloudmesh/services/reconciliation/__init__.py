"""Reconciliation: now and then two servers compare what they think of their shares, and what one should know is told again.

Sections "Share Acceptance Notification" and "Share Deletion"; design decisions 5 and 14. Rules kept here:

- In the background (`Reconciler`): every `delivery.reconcile_hours`, with jitter, only towards servers that answer, a few servers
  at a time and one request at a time to each. Accepted shares are looked at (the availability rules decide what that means).
  Messages whose server was not reached during their time to live are sent again where they are still true: that a share was
  taken back, accepted, declined or left. A Share Creation Notification is never sent again by itself,
  but where its server did not deal with ours, and does again (`delivery.refusals`).
- A server that asks for a token, or for access, with the secret of a share that has ended, or accepts it, does not know of the
  end: it brought an older backup back, or missed the message. It is told again, at most once a day (`Reminders`). So is one that
  accepts what it declined before: who declined has no access until its owner shares anew.
- On a user's request (`Repair`): the same for his own shares, with a line for each about what was found and what was done. A
  message that was refused is tried again, too. With `resend` the notifications of living shares are sent again, with the same
  providerId, for a server that came back without its data, and that shares ended lately is told again; failed shares are pushed
  again. An accepted share counts as sent until it is answered: a server that has no memory of it asks its recipient anew, one
  that has tells the answer once more.
- A dry run looks, and changes nothing, here or there.
"""

from opencloudmesh.services.reconciliation.reconciler import Reconciler
from opencloudmesh.services.reconciliation.reminders import Reminders
from opencloudmesh.services.reconciliation.repair import Repair
from opencloudmesh.services.reconciliation.report import Line, Place

__all__ = ["Line", "Place", "Reconciler", "Reminders", "Repair"]
