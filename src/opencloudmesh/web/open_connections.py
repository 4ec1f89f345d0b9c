"""How many connections are open, in all and of each address.

Rules kept here: what is beyond is told so and closed, and takes no task, no timer and no parser; a trusted proxy is many clients,
so it has no number of its own; the log says once a minute that connections are turned away.
"""

import resource
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network

import structlog

from opencloudmesh.services.limits import AtOnce

log = structlog.get_logger(__name__)
_MINUTE = 60.0
_MOST_LINGERING = 256
_OTHER_DESCRIPTORS = 256


class OpenConnections:
    """Counts connections; `uncounted` are networks (and `unix`) that have no number of their own."""

    def __init__(
        self,
        most: int,
        most_per_address: int,
        uncounted: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._by_address = AtOnce(most_per_address)
        self._networks = tuple(ip_network(text, strict=False) for text in uncounted if text[:1].isdigit() or ":" in text)
        self._others = frozenset(uncounted)
        self._is_uncounted = lru_cache(1024)(self._find)
        self._clock = clock
        self._open = 0
        self._lingering = 0
        self._turned_away = 0
        self._told_at = -_MINUTE

    def enter(self, address: str) -> bool:
        """A connection is made; False where there are too many."""
        if self._open < self._most and (self._is_uncounted(address) or self._by_address.enter(address)):
            self._open += 1
            return True
        self._turned_away += 1
        now = self._clock()
        if now - self._told_at >= _MINUTE:
            log.warning("connections turned away", number=self._turned_away, open=self._open, address=address)
            self._told_at, self._turned_away = now, 0
        return False

    def leave(self, address: str) -> None:
        """It is closed."""
        self._open -= 1
        if not self._is_uncounted(address):
            self._by_address.leave(address)

    def linger(self) -> bool:
        """One that was turned away may take a moment to read its answer; False where too many do."""
        if self._lingering >= _MOST_LINGERING:
            return False
        self._lingering += 1
        return True

    def gone(self) -> None:
        """It has had its moment."""
        self._lingering -= 1

    def _find(self, address: str) -> bool:
        if address in self._others:
            return True
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._networks)


def affordable(connections: int) -> int:
    """So many connections, or as many as this process may open descriptors for, two each; the soft limit is raised for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections * 2 + _OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
        except (OSError, ValueError):
            pass
        if soft < wanted:
            fewer = max(16, (soft - _OTHER_DESCRIPTORS) // 2)
            log.warning("few descriptors", connections=fewer, wanted=connections, hint="Raise the limit of open files (nofile).")
            return fewer
    return connections
