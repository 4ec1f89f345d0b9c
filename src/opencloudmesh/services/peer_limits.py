"""How much one server may tell us, once we know that it is that server.

Rules kept here: nothing is counted for a server before its signature is verified, or strangers could use up what is its own; over
the rate it is told 429, over the number at once 503, both with Retry-After, so that a server with thousands of messages waiting
gets rid of all of them in time; who names tokens of invites that are none is told 429 too, long before chance helps: that counts
what is wrong, and never stands in the way of what is right.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opencloudmesh.protocol.errors import RateLimited, TemporarilyUnavailable
from opencloudmesh.services.limits import AtOnce, RateLimiter, retry_after
from opencloudmesh.services.measures import NO_MEASURES, Measures
from opencloudmesh.services.ports import Clock


class PeerLimits:
    """Messages of verified servers."""

    def __init__(
        self,
        *,
        clock: Clock,
        messages_a_minute: int = 6000,
        at_once: int = 64,
        guesses_an_hour: int = 100,
        measures: Measures = NO_MEASURES,
    ) -> None:
        self._clock = clock
        self._measures = measures
        self._messages = RateLimiter(messages_a_minute / 60.0, messages_a_minute)
        self._at_once = AtOnce(at_once)
        self._guesses = RateLimiter(guesses_an_hour / 3600.0, guesses_an_hour)

    @contextmanager
    def message(self, host: str) -> Iterator[None]:
        """One message that `host` has signed, while it is worked on.

        Raises `RateLimited` (rate-limited), `TemporarilyUnavailable` (too-many-at-once).
        """
        if wait := self._messages.take(host, self._clock()):
            self._measures.rate_limited("messages-of-peer")
            raise RateLimited("Too many messages from your server.", retry_after=retry_after(wait))
        if not self._at_once.enter(host):
            self._messages.give_back(host, self._clock())
            self._measures.rate_limited("messages-of-peer-at-once")
            raise TemporarilyUnavailable("Too many messages at once from your server.", retry_after=1, code="too-many-at-once")
        try:
            yield
        finally:
            self._at_once.leave(host)

    def guesses_too_often(self, host: str) -> bool:
        """Whether `host` named so many tokens that are none of ours that one more is refused."""
        return self._guesses.wait(host, self._clock()) > 0.0

    def guessed_wrong(self, host: str) -> None:
        """`host` named a token that is none of ours; raises `RateLimited` (rate-limited) where it did so too often."""
        if wait := self._guesses.take(host, self._clock()):
            self._measures.rate_limited("invite-guesses")
            raise RateLimited("Too many invites from your server that are none.", retry_after=retry_after(wait))
