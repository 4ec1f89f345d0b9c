"""Peers that said that they do not deal with us, and when what that ended is sent again (see the package).

Rules kept here: such a refusal ends the message, and its share says so; what it ended goes out by itself when the peer deals with
us again, as when a denial of ours is lifted. A sign of that is a verified message from the peer, a message that it took, and a
look of ours that it answered; a clear one is its answer to a question (`availability.Questions`), or to a command. At a sign the
oldest message is tried alone, for the peer may mean something else; what it takes brings back all others. After each time in vain
the next sign counts a while later. Which peers these are is in the database.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opencloudmesh.services.delivery.peer_queue import RetryPolicy
from opencloudmesh.services.records import Delivery

_FIRST_PAUSE = 60.0


@dataclass(slots=True)
class _Refusing:
    """One peer: when it refused last, when it was asked again, how often in vain, with which message, and whether it is to be
    asked, or took that."""

    refused_at: float = -math.inf
    asked_at: float = -math.inf
    vain: int = 0
    probe: int | None = None
    is_due: bool = False
    takes: bool = False


class Refusals:
    """What this process knows of peers that refuse us."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._peers: dict[str, _Refusing] = {}

    def keep_to(self, peers: Iterable[str], now: float) -> None:
        """Know those, which the database named; and for a while those that refused since, or whose only message is under way."""
        lately = {peer: found for peer, found in self._peers.items() if self._is_lately(found, now)}
        self._peers = lately | {peer: self._peers.get(peer) or _Refusing() for peer in peers}

    def refused(self, peer: str, now: float) -> None:
        """A message ended because its peer does not deal with us."""
        self._peers.setdefault(peer, _Refusing()).refused_at = now

    def heard_of(self, peer: str, now: float, *, is_clear: bool = False) -> bool:
        """A sign of the peer; True where it is to be asked again. A clear sign counts, however often others were in vain."""
        found = self._peers.get(peer)
        if found is None or found.takes or not self._is_over(found, now, vain=0 if is_clear else found.vain):
            return False
        found.is_due = True
        return True

    def taken(self, delivery: Delivery, now: float) -> bool:
        """The peer took a message; True where others are to be sent again."""
        found = self._peers.get(delivery.peer)
        if found is not None and found.probe == delivery.id:
            found.takes, found.vain = True, 0
            return True
        return self.heard_of(delivery.peer, now)

    def due(self) -> Sequence[tuple[str, bool]]:
        """The peers that are to be asked now, and whether with all that they refused."""
        return [(peer, found.takes) for peer, found in self._peers.items() if found.is_due or found.takes]

    def asked(self, peer: str, with_all: bool, queued: Sequence[int], now: float) -> None:
        """So many messages to the peer were queued again."""
        found = self._peers.get(peer)
        if found is None:
            return
        if not queued:  # nothing of it is refused any longer
            del self._peers[peer]
            return
        found.is_due = found.takes = False
        found.asked_at, found.probe = now, None if with_all else queued[0]
        found.vain += 1 if found.probe is not None else 0

    def _is_lately(self, found: _Refusing, now: float) -> bool:
        return 0 <= now - found.refused_at < _FIRST_PAUSE or not self._is_over(found, now, vain=found.vain)

    def _is_over(self, found: _Refusing, now: float, *, vain: int) -> bool:
        """Whether the pause after the last time has passed; a time to come is that of a clock that was set back."""
        pause = min(_FIRST_PAUSE * 2.0 ** min(vain, 30), self._policy.longest)
        return not now - pause < found.asked_at <= now
