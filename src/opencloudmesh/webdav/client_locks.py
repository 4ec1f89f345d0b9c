"""Locks of a tree on another server (RFC 4918 sections 6 and 7), as `ports.Locks`: that server keeps them and enforces them.

Rules kept here: nothing is remembered from one request to the next; a token goes out with every change of the request that
submitted it; locks are looked for where somebody must know of them, and a change that meets another one is refused by the
server that keeps it (423).
"""

import math
from collections.abc import Collection, Sequence
from typing import Final

from opencloudmesh.protocol.errors import AccessDenied, Conflict, InvalidInput, NotFound
from opencloudmesh.services.ports import Lock, WantedLock
from opencloudmesh.webdav.client_answers import invalid_answer
from opencloudmesh.webdav.client_requests import LOCK_DISCOVERY, XML, Requests, expect, responses_of, small_body
from opencloudmesh.webdav.elements import DavResponse, XmlFault, build_lockinfo
from opencloudmesh.webdav.lockdiscovery import ActiveLock, parse_lockdiscovery

_LONGEST_TOKEN: Final = 512
_MOST: Final = 2000
"""Locks in a listing, each of which is looked at for every entry: of more the rest is left out."""
_LONGEST_TIMEOUT: Final = 4_100_000_000  # RFC 4918 10.7: less than 2**32


class RemoteLocks:
    """`ports.Locks` over `requests`, which it shares with the files."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def submit(self, tokens: Collection[str]) -> None:
        """They go out with every change."""
        self._requests.tokens = frozenset(token for token in tokens if _is_token(token))

    async def covering(self, paths: Collection[str]) -> Sequence[Lock]:
        """What is known of a path was seen with its entry. Without a token only the first one is asked for: who meets the lock
        of somebody else is told by the server that keeps it."""
        asked = list(paths) if self._requests.tokens else list(paths)[:1]
        found = [lock for path in asked for lock in await self._of(path) if lock.covers(path)]
        return list({lock.token: lock for lock in found}.values())

    async def _of(self, path: str) -> Sequence[Lock]:
        known = self._requests.locks.get(path)
        if known is not None:
            return known
        try:
            locks = locks_in(self._requests, await self._requests.one(path, [LOCK_DISCOVERY], whole=True))
        except NotFound:
            above = path.rpartition("/")[0]
            locks = tuple(await self._of(above)) if path and self._requests.tokens else ()
        self._requests.locks[path] = locks
        return locks

    async def within(self, path: str) -> Sequence[Lock]:
        """Those that were met; the others are for the server that keeps them."""
        met = {lock.token: lock for locks in self._requests.locks.values() for lock in locks}
        return [lock for lock in met.values() if lock.path == path or not path or lock.path.startswith(f"{path}/")]

    async def around(self, path: str) -> Sequence[Lock]:
        """By PROPFIND of Depth 1, unless that has just been made for all properties."""
        seen = self._requests.locks_around.pop(path, None)
        if seen is not None:
            return seen
        found: dict[str, Lock] = {}
        async with self._requests.propfind(self._requests.folder_url(path), "1", [LOCK_DISCOVERY]) as stream:
            await expect(stream, 207)
            async for response in responses_of(stream, whole=True):
                note_locks(found, self._requests, response)
        return list(found.values())

    async def take(self, wanted: WantedLock) -> tuple[Lock, bool]:
        """LOCK; where nothing stands the other server makes an empty file (7.3)."""
        headers = {
            **XML,
            "depth": "infinity" if wanted.infinite else "0",
            "timeout": _timeout(wanted.seconds),
            **self._requests.submitted(wanted.path),
        }
        body = build_lockinfo(exclusive=wanted.exclusive, owner=wanted.owner)
        async with self._requests.stream("LOCK", self._requests.url(wanted.path), headers, body) as stream:
            if stream.status in (405, 501):
                raise AccessDenied("The other server keeps no locks.", code="locks-unsupported")
            await expect(stream, 200, 201, makes=True)
            told = stream.headers.get("lock-token", "").strip().removeprefix("<").removesuffix(">")
            answer, made = await small_body(stream), stream.status == 201
        locks = self._read(answer)
        lock = next((one for one in locks if one.token == told), locks[0] if locks and not told else None)
        if lock is None:
            raise invalid_answer("it tells of no lock")
        self._requests.locks.clear()
        return lock, made

    async def refresh(self, path: str, token: str, seconds: float) -> Lock:
        """LOCK without a body."""
        headers = {"timeout": _timeout(seconds), "if": f"(<{_checked(token)}>)"}
        try:
            async with self._requests.stream("LOCK", self._requests.url(path), headers) as stream:
                await expect(stream, 200)
                locks = self._read(await small_body(stream))
        except Conflict as error:
            raise _unknown() from error
        lock = next((one for one in locks if one.token == token), None)
        if lock is None:
            raise invalid_answer("it tells of another lock")
        return lock

    async def release(self, path: str, token: str) -> None:
        """UNLOCK."""
        headers = {"lock-token": f"<{_checked(token)}>"}
        try:
            async with self._requests.stream("UNLOCK", self._requests.url(path), headers) as stream:
                await expect(stream, 200, 204)
        except (Conflict, InvalidInput) as error:
            raise _unknown() from error
        except AccessDenied as error:
            raise AccessDenied("This lock is somebody else's.", code="lock-of-other") from error
        self._requests.locks.clear()

    async def forget(self, path: str) -> None:
        """The other server does it by itself."""

    def _read(self, answer: bytes) -> tuple[Lock, ...]:
        try:
            return _locks(self._requests, parse_lockdiscovery(answer))
        except XmlFault as fault:
            raise invalid_answer("it is no lock") from fault


def note_locks(found: dict[str, Lock], requests: Requests, response: DavResponse) -> None:
    """Those that a response tells of, by their tokens."""
    if len(found) < _MOST:
        found |= {lock.token: lock for lock in locks_in(requests, response)}


def locks_in(requests: Requests, response: DavResponse) -> tuple[Lock, ...]:
    """The locks that a response tells of; it was read whole. What cannot be read is none."""
    told = response.properties.get(LOCK_DISCOVERY)
    try:
        return _locks(requests, parse_lockdiscovery(told.whole.encode())) if told is not None and told.children else ()
    except XmlFault:
        return ()


def _locks(requests: Requests, active: Sequence[ActiveLock]) -> tuple[Lock, ...]:
    return tuple(
        Lock(
            token=one.token,
            path=requests.path_of(one.root) or "",
            exclusive=one.exclusive,
            infinite=one.infinite,
            owner=one.owner,
            seconds=one.seconds,
            mine=True,
        )
        for one in active
        if _is_token(one.token)
    )


def _is_token(token: str) -> bool:
    return 0 < len(token) <= _LONGEST_TOKEN and token.isascii() and token.isprintable() and not set(token) & set('<> ()[]"')


def _checked(token: str) -> str:
    if not _is_token(token):
        raise _unknown()
    return token


def _unknown() -> NotFound:
    return NotFound("The other server knows no such lock here.", code="lock-unknown")


def _timeout(seconds: float) -> str:
    return "Infinite" if math.isinf(seconds) else f"Second-{min(_LONGEST_TIMEOUT, math.ceil(seconds))}"
