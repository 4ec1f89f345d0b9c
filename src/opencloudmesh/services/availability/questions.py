"""Asks servers that refused us whether they deal with us again: nobody tells when a denial ends, and both may be silent.

Sections "Share Acceptance Notification", "Share Deletion". Rules kept here: discovery is open to all and tells nothing; so the
question is a signed notification about a share that cannot exist, without a sharedSecret, which changes nothing anywhere. It is
asked after `every` seconds at most, and after each refusal twice as long after the last time, at most six hours; of servers that
we deal with only. Who refused is in the database; when it was asked is known to this process only.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from opencloudmesh.protocol.errors import DeniedByPeer, OCMError
from opencloudmesh.protocol.notifications import build_notification
from opencloudmesh.protocol.registries import FILE, SHARE_UNSHARED
from opencloudmesh.services.delivery.messages import of_answer
from opencloudmesh.services.patience import within
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Clock, HttpAnswer, NewToken

_log = structlog.get_logger(__name__)
_AT_ONCE = 16
_LEAST_PART = 2 / 3
_TURNS = 10
_QUESTION_SECONDS = 30.0
_LONGEST = 6 * 3600.0
_MOST_DOUBLED = 30


@dataclass(slots=True)
class _Question:
    """When a server is asked next, and how often it was."""

    due_at: float
    asked: int = 0


class Questions:
    """`refusing` gives the servers that refused us; `on_answer(peer)` is called where one deals with us."""

    def __init__(
        self,
        *,
        peers: Peers,
        refusing: Callable[[], Awaitable[Sequence[str]]],
        on_answer: Callable[[str], None],
        clock: Clock,
        new_token: NewToken,
        every: float,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._peers = peers
        self._refusing = refusing
        self._on_answer = on_answer
        self._clock = clock
        self._new_token = new_token
        self._every = every
        self._pause = pause
        self._questions: dict[str, _Question] = {}

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            try:
                await self.ask()
            except Exception:
                _log.exception("questions-failed")
            await self._pause(self._every / _TURNS)

    async def ask(self) -> None:
        """Ask the servers that are due, a few at once."""
        refusing, now = await self._refusing(), self._clock()
        known = self._questions
        self._questions = {peer: known.get(peer) or _Question(now + self._after(0)) for peer in refusing}
        due = iter([peer for peer, question in self._questions.items() if self._is_due(question, now)])

        async def some() -> None:
            for peer in due:
                await self._ask(peer, self._questions[peer])

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))

    def _is_due(self, question: _Question, now: float) -> bool:
        return question.due_at <= now or question.due_at > now + max(self._every, _LONGEST)  # the latter: the clock was set back

    def _after(self, asked: int) -> float:
        longest = min(self._every * 2.0 ** min(asked, _MOST_DOUBLED), max(self._every, _LONGEST))
        return longest * random.uniform(_LEAST_PART, 1.0)  # noqa: S311 - jitter, no secret

    async def _ask(self, peer: str, question: _Question) -> None:
        deals = False
        try:
            async with within(_QUESTION_SECONDS):
                body = build_question(self._new_token())
                deals = says_that_it_deals(await self._peers.post_message(peer, "/notifications", body), self._clock())
        except (OCMError, TimeoutError) as error:  # it is away, or we do not deal with it
            _log.debug("not-asked", peer=peer, reason=error.code if isinstance(error, OCMError) else "idle-timeout")
        question.asked += 1
        question.due_at = self._clock() + self._after(question.asked)
        if deals:
            _log.info("peer-deals", peer=peer)
            self._on_answer(peer)


def build_question(token: str) -> bytes:
    """A notification about no share; `token` makes it one that cannot be."""
    return build_notification(SHARE_UNSHARED, f"doctor-{token}", FILE, {"message": "A check of the connection."})


def says_that_it_deals(answer: HttpAnswer, now: float) -> bool:
    """Whether a server took the question, or refused it for its content only."""
    outcome = of_answer(answer, now)
    return outcome.is_answered and (outcome.done or outcome.final) and outcome.reason != DeniedByPeer.code
