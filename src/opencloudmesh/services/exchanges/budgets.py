"""How much of what repeats itself is kept one by one: bounded for each source, the rest counted for a line a minute."""

from collections import Counter
from collections.abc import Sequence

from opencloudmesh.services.exchanges.seen import Seen
from opencloudmesh.services.limits import RateLimiter
from opencloudmesh.services.records import Exchange

REFUSALS_OF_ADDRESS = 10
REFUSALS_OF_ALL = 60
WEBDAV_OF_PEER = 120
_MOST_COUNTED = 1000
_REST = "others"


class Budgets:
    """Decides what is kept, and tells now and then what was not. Rates are for a minute."""

    def __init__(self) -> None:
        self._of_address = RateLimiter(REFUSALS_OF_ADDRESS / 60.0, REFUSALS_OF_ADDRESS)
        self._of_all = RateLimiter(REFUSALS_OF_ALL / 60.0, REFUSALS_OF_ALL)
        self._of_peer = RateLimiter(WEBDAV_OF_PEER / 60.0, WEBDAV_OF_PEER)
        self._refusals: Counter[str] = Counter()
        self._webdav: Counter[tuple[str, str]] = Counter()
        self.not_kept = 0

    def keeps(self, seen: Seen) -> bool:
        """Whether this one is kept; if not, it is counted."""
        if seen.is_refused_stranger:
            if self._of_address.take(seen.source, seen.at) == 0 and self._of_all.take("", seen.at) == 0:
                return True
            self._refusals[seen.source if len(self._refusals) < _MOST_COUNTED else _REST] += 1
        elif seen.is_webdav and 0 < seen.status < 400 and not seen.reason:
            key = (seen.direction, seen.peer)
            if self._of_peer.take(key, seen.at) == 0:
                return True
            self._webdav[key if len(self._webdav) < _MOST_COUNTED else (seen.direction, _REST)] += 1
        else:
            return True
        self.not_kept += 1
        return False

    def tell(self, now: float) -> Sequence[Exchange]:
        """Rows of the log that stand for what was not kept since this was asked last."""
        rows = [
            Exchange(now, direction, peer, "", "", 200, 0.0, detail=f"{count} more WebDAV requests that succeeded", verified=True)
            for (direction, peer), count in self._webdav.items()
        ]
        if self._refusals:
            source, most = self._refusals.most_common(1)[0]
            said = f"{self._refusals.total()} more refused requests of unverified senders, {most} of them from {source}"
            rows.append(Exchange(now, "in", "", "", "", 429, 0.0, reason="refusals-not-kept", detail=said, source=source))
        self._webdav.clear()
        self._refusals.clear()
        return rows
