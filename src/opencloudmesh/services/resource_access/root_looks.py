"""When the roots of received shares are looked at behind: their ETags are what clients know by that something inside has changed.

Rules kept here: whoever polls the folders above waits for no other server; a few roots are looked at each time, those first that
nobody has looked at for longest; one that something was seen to change below is due at once.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from opencloudmesh.services.ports import Clock
from opencloudmesh.services.records import IncomingShare

LOOK_AFTER: Final = 30.0
"""Seconds for which the ETag of a root is taken to be what it was."""
AT_ONCE: Final = 20
"""Roots that one poll has looked at."""
_SOON: Final = 1.0
_MOST: Final = 10_000


class RootLooks:
    """When each share's root was looked at last, and of which shares it is known that something has changed since."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at: OrderedDict[int, float] = OrderedDict()
        self._changed: set[int] = set()

    def looked(self, share_id: int) -> None:
        """Its ETag is known as of now, or is being asked for."""
        self._changed.discard(share_id)
        self._looked_at[share_id] = self._clock()
        self._looked_at.move_to_end(share_id)
        if len(self._looked_at) > _MOST:
            self._looked_at.popitem(last=False)

    def changed(self, share_id: int) -> None:
        """Something below it has changed, so that its ETag must have."""
        if len(self._changed) < _MOST:
            self._changed.add(share_id)

    def due(self, shares: Iterable[IncomingShare]) -> list[IncomingShare]:
        """Those to look at now."""
        now, order = self._clock(), []
        for share in shares:
            at = self._looked_at.get(share.id, -math.inf)
            is_changed = share.id in self._changed
            if not 0 <= now - at < (_SOON if is_changed else LOOK_AFTER):
                order.append((not is_changed, at, share.id, share))
        return [share for _, _, _, share in sorted(order)[:AT_ONCE]]
