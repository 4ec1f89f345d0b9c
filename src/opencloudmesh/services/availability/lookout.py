"""Looks at servers that messages wait for and that were not reached: who comes back in silence is found soon (see the package).

Rules kept here: a look is the discovery document, a few at once, and at each server once in `every` seconds at most, with jitter;
a server that named a time is left alone until then. A look says something of a fault only where it meets the same: of a
connection that could not be made, and of whatever an earlier look met, too. Where discovery answers all the while, and messages
do not get through, nothing follows from it. Looks are known to their process only, as breakers are.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from opencloudmesh.protocol.errors import OCMError, PeerRefused, PeerUnreachable
from opencloudmesh.services.delivery import Breaker
from opencloudmesh.services.patience import within
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Clock

_log = structlog.get_logger(__name__)
_AT_ONCE = 16
_MOST_WITHIN = 300
"""With more servers than these the time from look to look grows: they would fill the exchange log."""
_LEAST_PART = 2 / 3
"""Of `every`: the shortest time from look to look."""
_TURNS = 10
"""So often within `every` it is seen which looks are due."""
_LOOK_SECONDS = 30.0
_LONGEST_ASKED = 6 * 3600.0
_TOO_MANY = 429
_NOT_CONNECTED = ("dns", "tcp-refused", "tcp-timeout", "tls", "tls-untrusted", "tls-name", "tls-expired")


@dataclass(slots=True)
class _Look:
    """A server that is not reached: when it is looked at next, and whether it answered last; None where no look has ended yet."""

    due_at: float
    answered: bool | None = None


class Lookout:
    """`breakers` are those of the deliveries; `on_answer(peer)` is called where a look is a sign that the server is back."""

    def __init__(
        self,
        *,
        peers: Peers,
        breakers: Callable[[], Sequence[Breaker]],
        on_answer: Callable[[str], None],
        clock: Clock,
        every: float,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._peers = peers
        self._breakers = breakers
        self._on_answer = on_answer
        self._clock = clock
        self._every = every
        self._pause = pause
        self._pace = every
        self._looks: dict[str, _Look] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                _log.exception("lookout-failed")
            await self._pause(self._every / _TURNS)

    async def look(self) -> None:
        """Look at the servers that are due, a few at once."""
        due = iter(self._due(self._clock()))

        async def some() -> None:
            for breaker in due:
                await self._look_at(breaker, self._looks[breaker.peer])

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))

    def _due(self, now: float) -> Sequence[Breaker]:
        failing = [breaker for breaker in self._breakers() if breaker.failures]
        self._pace = self._every * max(1.0, len(failing) / _MOST_WITHIN)
        self._looks = {one.peer: self._looks.get(one.peer) or _Look(self._next(now)) for one in failing}
        return [one for one in failing if one.state == "open" and one.asked_until <= now and self._is_due(one.peer, now)]

    def _is_due(self, peer: str, now: float) -> bool:
        due_at = self._looks[peer].due_at
        return due_at <= now or due_at > now + max(self._pace, _LONGEST_ASKED)  # the latter: the clock was set back

    def _next(self, now: float) -> float:
        return now + self._pace * random.uniform(_LEAST_PART, 1.0)  # noqa: S311 - jitter, no secret

    async def _look_at(self, breaker: Breaker, look: _Look) -> None:
        before, asked = look.answered, 0.0
        try:
            async with within(_LOOK_SECONDS):
                await self._peers.discover(breaker.peer, fresh=True)
            look.answered = True
        except (PeerUnreachable, TimeoutError):
            look.answered = False
        except PeerRefused as error:
            asked = min(error.retry_after or 0.0, _LONGEST_ASKED)
            look.answered = False if error.status != _TOO_MANY else before
        except OCMError as error:  # nothing that the server did
            _log.debug("not-looked-at", peer=breaker.peer, reason=error.code)
        look.due_at = max(self._next(self._clock()), self._clock() + asked)
        if look.answered and (before is False or (before is None and breaker.reason in _NOT_CONNECTED)):
            _log.info("peer-answers", peer=breaker.peer)
            self._on_answer(breaker.peer)
