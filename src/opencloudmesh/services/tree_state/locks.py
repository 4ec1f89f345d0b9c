"""Locks of a tree of ours (RFC 4918 section 6).

Rules kept here: an exclusive lock stands alone, shared ones stand together (6.2); a lock belongs to whoever took it, and its
token is of use to nobody else (6.4); it ends by itself, after a day at the latest (6.6); the numbers are bounded.
"""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from opencloudmesh.protocol.errors import AccessDenied, Locked, NotFound
from opencloudmesh.services.ports import Clock, Lock, LockStore, WantedLock
from opencloudmesh.services.records import LockRow
from opencloudmesh.services.tree_state import bounds
from opencloudmesh.services.tree_state.places import Place

if TYPE_CHECKING:
    from opencloudmesh.services.tree_state.states import StateDatabase


class TreeLocks:
    """Implements `ports.Locks`."""

    def __init__(
        self,
        database: "StateDatabase",
        place: Place,
        principal: str,
        *,
        is_owner: bool,
        clock: Clock,
        new_token: Callable[[], str],
        any_seen: bool,
    ) -> None:
        self._db = database
        self._place = place
        self._principal = principal
        self._is_owner = is_owner
        self._clock = clock
        self._new_token = new_token
        self._none_until = 0.0 if any_seen else clock() + bounds.TRUSTED_SECONDS

    def submit(self, tokens: Collection[str]) -> None:
        """What counts is decided from what the other methods give."""

    async def covering(self, paths: Collection[str]) -> Sequence[Lock]:
        """Those that hold for at least one of these paths."""
        return self._seen([row for row in await self._rows() if any(_covers(row, self._place.down(path)) for path in paths)])

    async def within(self, path: str) -> Sequence[Lock]:
        """Those whose root is `path` or lies below it."""
        return self._seen([row for row in await self._rows() if _is_within(row.path, self._place.down(path))])

    async def around(self, path: str) -> Sequence[Lock]:
        """For a listing: those that hold for `path`, and those whose root is a child of it."""
        here = self._place.down(path)
        return self._seen([row for row in await self._rows() if _covers(row, here) or (row.path and _folder(row.path) == here)])

    async def take(self, wanted: WantedLock) -> tuple[Lock, bool]:
        """Lock; raises `Locked`, `AccessDenied` (too-many-locks, lock-owner-too-long)."""
        if len(wanted.owner) > bounds.MOST_OWNER_CHARACTERS:
            raise AccessDenied("What the lock says of its owner is too long.", code="lock-owner-too-long")
        self._none_until = 0.0
        now = self._clock()
        row = LockRow(
            token=self._new_token(),
            path=self._place.down(wanted.path),
            exclusive=wanted.exclusive,
            infinite=wanted.infinite,
            owner=wanted.owner,
            principal=self._principal,
            expires_at=now + min(wanted.seconds, bounds.LONGEST_LOCK),
        )

        def work(locks: LockStore) -> None:
            others = locks.of_tree(self._place.tree, now)
            self._check_place(row, others)
            mine = sum(other.principal == self._principal for other in others)
            if len(others) >= bounds.MOST_LOCKS_OF_TREE or mine >= bounds.MOST_LOCKS_OF_PRINCIPAL:
                raise AccessDenied("There are too many locks already.", code="too-many-locks")
            locks.add(self._place.tree, row)

        await self._db.write(lambda tx: work(tx.locks))
        return self._lock(row, now), False

    def _check_place(self, row: LockRow, others: Sequence[LockRow]) -> None:
        against = [other for other in others if _meet(row, other) and (row.exclusive or other.exclusive)]
        if against:
            paths = tuple(self._place.up(other.path) for other in against)
            raise Locked("Another lock stands against this one.", paths=paths)

    async def refresh(self, path: str, token: str, seconds: float) -> Lock:
        """Let a lock live for so long from now on; raises `NotFound` (lock-unknown)."""
        now = self._clock()

        def work(locks: LockStore) -> LockRow:
            row = self._find(locks, path, token, now)
            if row.principal != self._principal:
                raise _unknown()
            locks.set_end(token, now + min(seconds, bounds.LONGEST_LOCK))
            return row

        row = await self._db.write(lambda tx: work(tx.locks))
        lock = self._lock(row, now)
        return Lock(token, lock.path, lock.exclusive, lock.infinite, lock.owner, min(seconds, bounds.LONGEST_LOCK), mine=True)

    async def release(self, path: str, token: str) -> None:
        """Unlock; raises `NotFound` (lock-unknown), `AccessDenied` (lock-of-other)."""
        now = self._clock()

        def work(locks: LockStore) -> None:
            row = self._find(locks, path, token, now)
            if row.principal != self._principal and not self._is_owner:
                raise AccessDenied("This lock is somebody else's.", code="lock-of-other")
            locks.remove([token])

        await self._db.write(lambda tx: work(tx.locks))

    def _find(self, locks: LockStore, path: str, token: str, now: float) -> LockRow:
        here = self._place.down(path)
        for row in locks.of_tree(self._place.tree, now):
            if row.token == token and _covers(row, here):
                return row
        raise _unknown()

    async def forget(self, path: str) -> None:
        """Nothing stands at `path` any more: its locks, and those below it, end."""
        here = self._place.down(path)

        def tokens(locks: LockStore) -> list[str]:
            return [row.token for row in locks.of_tree(self._place.tree, 0.0) if _is_within(row.path, here)]

        if self._clock() >= self._none_until and await self._db.read(lambda tx: bool(tokens(tx.locks))):
            await self._db.write(lambda tx: tx.locks.remove(tokens(tx.locks)))

    async def _rows(self) -> Sequence[LockRow]:
        now = self._clock()
        if now < self._none_until:
            return ()
        return await self._db.read(lambda tx: tx.locks.of_tree(self._place.tree, now))

    def _seen(self, rows: Sequence[LockRow]) -> Sequence[Lock]:
        now = self._clock()
        return [self._lock(row, now) for row in rows]

    def _lock(self, row: LockRow, now: float) -> Lock:
        return Lock(
            token=row.token,
            path=self._place.up(row.path),
            exclusive=row.exclusive,
            infinite=row.infinite,
            owner=row.owner,
            seconds=max(row.expires_at - now, 0.0),
            mine=row.principal == self._principal,
        )


def _unknown() -> NotFound:
    return NotFound("There is no such lock here.", code="lock-unknown")


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _is_within(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _covers(row: LockRow, path: str) -> bool:
    return row.path == path or (row.infinite and _is_within(path, row.path))


def _meet(one: LockRow, other: LockRow) -> bool:
    """Whether there is something that both would hold for."""
    return _covers(one, other.path) or _covers(other, one.path)
