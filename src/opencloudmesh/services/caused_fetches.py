"""What strangers make us ask other servers: a request that names a server costs us a look at its documents and keys.

Rules kept here: requests of ours, and of our users, are not counted; one address causes so many fetches a minute and so many at
once; all strangers together cause so many at once, which does not hold up the keys of servers that we have dealt with. Who is
over it is told to come back: nothing is remembered against the server that was named.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager

from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.errors import RateLimited, TemporarilyUnavailable
from opencloudmesh.services.callers import CurrentCaller, current_caller
from opencloudmesh.services.limits import AtOnce, RateLimiter, retry_after
from opencloudmesh.services.measures import NO_MEASURES, Measures
from opencloudmesh.services.ports import Clock, HttpAnswer, HttpClient, HttpStream

IsDealtWith = Callable[[str], Awaitable[bool]]
_EVERYBODY = ""


class CausedFetches:
    """`HttpClient` that limits what is fetched on behalf of a peer's request."""

    def __init__(
        self,
        http: HttpClient,
        *,
        clock: Clock,
        is_dealt_with: IsDealtWith,
        a_minute: int = 60,
        at_once: int = 32,
        caller: CurrentCaller = current_caller.get,
        measures: Measures = NO_MEASURES,
    ) -> None:
        self._http = http
        self._clock = clock
        self._is_dealt_with = is_dealt_with
        self._caller = caller
        self._measures = measures
        self._by_address = RateLimiter(a_minute / 60.0, a_minute)
        self._at_once_by_address = AtOnce(max(1, at_once // 4))
        self._at_once = AtOnce(at_once)

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        max_bytes: int = 1 << 20,
        total_timeout: float = 20.0,
    ) -> HttpAnswer:
        """One exchange; raises `RateLimited`, `TemporarilyUnavailable` (too-many-at-once) beside what every client raises."""
        caller = self._caller()
        if not (caller.is_peer and caller.active):
            return await self._http.fetch(
                method, url, headers=headers, body=body, max_bytes=max_bytes, total_timeout=total_timeout
            )
        if wait := self._by_address.take(caller.address, self._clock()):
            self._measures.rate_limited("fetches")
            raise RateLimited("Your requests name too many servers.", retry_after=retry_after(wait))
        if not self._at_once_by_address.enter(caller.address):
            raise self._busy()
        counted = False
        try:
            counted = self._at_once.enter(_EVERYBODY)
            if not counted and not await self._is_dealt_with(host_of_url(url)):
                raise self._busy()
            return await self._http.fetch(
                method, url, headers=headers, body=body, max_bytes=max_bytes, total_timeout=total_timeout
            )
        finally:
            self._at_once_by_address.leave(caller.address)
            if counted:
                self._at_once.leave(_EVERYBODY)

    def _busy(self) -> TemporarilyUnavailable:
        self._measures.rate_limited("fetches-at-once")
        return TemporarilyUnavailable("Too many servers are being asked for their keys.", retry_after=5, code="too-many-at-once")

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] = b"",
    ) -> AbstractAsyncContextManager[HttpStream]:
        return self._http.stream(method, url, headers=headers, body=body)

    def origin_of(self, host: str) -> str:
        return self._http.origin_of(host)
