"""Guessing passwords is slow, and nobody is locked out by somebody else who guesses.

Rules kept here, for logins and for Basic credentials alike:

- an address has so many failed tries a minute, a user name too; both are asked before the database and before argon2, and before
  it is known whether there is such a user;
- a name without tries left is closed only to networks that failed at it lately: every network (/24, IPv6: /48) has three tries an
  hour at every name, so a stranger who guesses without end keeps out himself and no other;
- an address from which a user logged in during the last 30 days counts by itself for that user: what others do at that
  address, or to that name from elsewhere, does not matter to it;
- so does a device on which that user logged in (`known_devices`), wherever it is: who guesses at that name from the same address
  does not matter to it either;
- a try is taken before the password is looked at, and given back when it was right: a thousand tries at once are as few as one
  after the other;
- one address takes at most half of the queue of passwords to be checked, and strangers together leave a quarter of it to those
  who logged in lately;
- a session that is open is asked for none of this.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from opencloudmesh.protocol.errors import RateLimited, TemporarilyUnavailable, Unauthorized
from opencloudmesh.services.callers import Caller, CurrentCaller, current_caller
from opencloudmesh.services.limits import AtOnce, Key, Lately, RateLimiter, retry_after
from opencloudmesh.services.measures import NO_MEASURES, Measures
from opencloudmesh.services.ports import Clock

_KNOWN_SECONDS = 30 * 86400.0
_FREE_TRIES = 3
_FREE_SECONDS = 3600.0
_EVERYBODY = ""


class LoginLimits:
    """What a try to log in has to pass."""

    def __init__(
        self,
        *,
        clock: Clock,
        per_address: int = 30,
        per_user: int = 10,
        queue: int = 64,
        caller: CurrentCaller = current_caller.get,
        measures: Measures = NO_MEASURES,
    ) -> None:
        self._clock = clock
        self._caller = caller
        self._measures = measures
        self._addresses = RateLimiter(per_address / 60.0, per_address)
        self._names = RateLimiter(per_user / 60.0, per_user)
        self._free = RateLimiter(_FREE_TRIES / _FREE_SECONDS, _FREE_TRIES)
        self._own = RateLimiter(per_user / 60.0, per_user)
        self._known = Lately(_KNOWN_SECONDS)
        self._checks = AtOnce(max(1, queue // 2))
        self._strangers = AtOnce(max(1, queue - queue // 4))

    @contextmanager
    def attempt(self, name: str, device: str = "") -> Iterator[None]:
        """One try at this name; raises `RateLimited` (login-throttled), `TemporarilyUnavailable` (too-many-at-once).

        `device` is one on which this user logged in before, or "". The block verifies the password, and raises `Unauthorized`
        where it is wrong.
        """
        caller, now = self._caller(), self._clock()
        who = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        pair = (caller.address, who)
        is_known = bool(device) or self._known.has(pair, now)
        own = (f"device {device}", who) if device else pair
        taken = self._take_own(own, now) if is_known else self._take(caller, who, now)
        place: Key = own if is_known else caller.address
        try:
            self._enter(place, is_known=is_known)
            try:
                yield
            finally:
                self._leave(place, is_known=is_known)
        except Unauthorized:
            raise
        except BaseException:  # it was not looked at
            _give_back(taken, now)
            raise
        _give_back(taken, now)
        self._known.add(pair, now)

    def _take_own(self, pair: tuple[str, str], now: float) -> list[tuple[RateLimiter, Key]]:
        if wait := self._own.take(pair, now):
            raise self._throttled(wait)
        return [(self._own, pair)]

    def _take(self, caller: Caller, who: str, now: float) -> list[tuple[RateLimiter, Key]]:
        free = (caller.network, who)
        wait = self._addresses.wait(caller.address, now)
        if not wait and (name_wait := self._names.wait(who, now)):
            wait = min(name_wait, self._free.wait(free, now))
        if wait:
            raise self._throttled(wait)
        taken: list[tuple[RateLimiter, Key]] = [(self._addresses, caller.address), (self._names, who), (self._free, free)]
        for limiter, key in taken:
            limiter.charge(key, now)
        return taken

    def _enter(self, place: Key, *, is_known: bool) -> None:
        if not self._checks.enter(place):
            raise self._busy()
        if not is_known and not self._strangers.enter(_EVERYBODY):
            self._checks.leave(place)
            raise self._busy()

    def _leave(self, place: Key, *, is_known: bool) -> None:
        self._checks.leave(place)
        if not is_known:
            self._strangers.leave(_EVERYBODY)

    def _throttled(self, wait: float) -> RateLimited:
        self._measures.rate_limited("logins")
        seconds = retry_after(wait)
        return RateLimited(
            "Too many failed logins.",
            retry_after=seconds,
            code="login-throttled",
            hint=f"Wait {seconds} s, then try again with the right password.",
        )

    def _busy(self) -> TemporarilyUnavailable:
        self._measures.rate_limited("logins-at-once")
        return TemporarilyUnavailable(
            "Too many passwords are being checked.", retry_after=1, code="too-many-at-once", hint="Try again in a moment."
        )


def _give_back(taken: list[tuple[RateLimiter, Key]], now: float) -> None:
    for limiter, key in taken:
        limiter.give_back(key, now)
