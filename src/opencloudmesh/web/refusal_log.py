"""Refused requests in the log: the first of a kind at once, the others as a number, a minute later.

Rules kept here: a kind is an address and a reason code; a flood of refusals writes one line a minute for each kind, and of kinds
at most so many: what is beyond is counted together.
"""

import asyncio
from collections.abc import Callable

import structlog

from opencloudmesh.services.ports import Clock

_log = structlog.get_logger(__name__)
_MINUTE = 60.0
_MOST_KINDS = 1000


class RefusalLog:
    """Writes refusals down, each kind once a minute."""

    def __init__(self, clock: Clock, *, most_kinds: int = _MOST_KINDS) -> None:
        self._clock = clock
        self._most_kinds = most_kinds
        self._since = clock()
        self._repeated: dict[tuple[str, str], int] = {}
        self._others = 0

    def note(self, *, address: str, path: str, status: int, reason: str) -> None:
        """A request was refused."""
        if self._clock() - self._since >= _MINUTE:
            self.tell()
        kind = (address, reason)
        if kind in self._repeated:
            self._repeated[kind] += 1
        elif len(self._repeated) >= self._most_kinds:
            self._others += 1
        else:
            self._repeated[kind] = 0
            _log.info("request refused", path=path, status=status, reason=reason, address=address)

    def tell(self) -> None:
        """Write down how often each kind was repeated, and begin anew."""
        repeated, others = self._repeated, self._others
        self._since, self._repeated, self._others = self._clock(), {}, 0
        for (address, reason), number in repeated.items():
            if number:
                _log.info("requests refused", number=number, reason=reason, address=address)
        if others:
            _log.info("requests refused", number=others, reason="various", address="various")

    async def run(self, pause: "Callable[[float], object]" = asyncio.sleep) -> None:
        """Tell every minute, until cancelled."""
        while True:
            await pause(_MINUTE)  # type: ignore[misc]
            self.tell()
