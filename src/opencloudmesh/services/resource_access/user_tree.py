"""A user's whole tree: the own files, and what was received under "Shared with me".

Rules kept here: listing shows what is remembered, and waits for no other server, but once and shortly for files whose size
nobody told yet; what is known to be unavailable fails at once when it is opened; a received share's place cannot be removed,
moved or written over by a file operation (leaving a share is an act of its own); rights shown by the sender are checked here
too, so that a refusal comes at once and with a reason.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from opencloudmesh.protocol.errors import AccessDenied, Conflict, NotFound, OCMError, Unauthorized
from opencloudmesh.protocol.registries import FOLDER
from opencloudmesh.protocol.resource_access import ShareAccess, may
from opencloudmesh.protocol.share_protocols import parse_protocols
from opencloudmesh.services.accounts import Accounts
from opencloudmesh.services.ports import Clock, Database, DavTree, Entry, OpenFile, Quota, Storage, StorageFor, Transaction
from opencloudmesh.services.records import IncomingShare, User
from opencloudmesh.services.resource_access.closing import closing
from opencloudmesh.services.resource_access.credentials import Basic, Bearer, parse_authorization
from opencloudmesh.services.resource_access.received import ReceivedShares
from opencloudmesh.services.share_creation import RECEIVED_FOLDER
from opencloudmesh.services.tree_state import Known, Place, TreeStates, tree_of

_PREFIX = RECEIVED_FOLDER + "/"
_LEARN_SECONDS = 0.5


class UserTrees:
    """Resolve `/dav/files/<user>/` for the user's own clients."""

    def __init__(
        self,
        *,
        database: Database,
        accounts: Accounts,
        received: ReceivedShares,
        storage_for: StorageFor,
        states: TreeStates,
        clock: Clock,
    ) -> None:
        self._db = database
        self._accounts = accounts
        self._received = received
        self._storage_for = storage_for
        self._states = states
        self._clock = clock

    async def resolve(self, name: str, authorization: str | None) -> DavTree:
        """The user's tree; raises `Unauthorized`, `AccessDenied` (access-denied) for another user's."""
        user, (shares, known) = await self._user_of(authorization)
        if user.name != name:
            raise AccessDenied("These are another user's files.", code="access-denied")
        tree = _UserTree(self._storage_for(user), shares, self._received)
        locks, properties = self._states.of(Place(tree_of(user.id)), f"user:{user.id}", is_owner=True, known=known)
        return DavTree(tree, self._gate(shares), locks, properties, partial(self._may_still, user))

    async def name_of(self, authorization: str | None) -> str:
        """The name of the user who asks; raises `Unauthorized`."""
        return (await self._user_of(authorization))[0].name

    async def _user_of(self, authorization: str | None) -> tuple[User, tuple[dict[str, IncomingShare], Known]]:
        credentials = parse_authorization(authorization)
        if isinstance(credentials, Bearer):
            return await self._accounts.user_of_token_and(credentials.token, _accepted)
        if isinstance(credentials, Basic):
            return await self._accounts.user_of_password_and(credentials.name, credentials.password, _accepted)
        raise Unauthorized("Log in to see files.", code="login-required")

    async def _may_still(self, user: User, method: str, path: str) -> None:
        now = await self._db.read(lambda tx: tx.users.by_id(user.id))
        if now is None or now.disabled:
            raise Unauthorized("This account is disabled.", code="login-required")
        shares, _ = await self._db.read(lambda tx: _accepted(tx, user))
        self._gate(shares)(method, path)

    def _gate(self, shares: dict[str, IncomingShare]) -> Callable[[str, str], None]:
        clock = self._clock

        def gate(method: str, path: str) -> None:
            if path != RECEIVED_FOLDER and not path.startswith(_PREFIX):
                return
            mount, _, inside = path[len(_PREFIX) :].partition("/")
            share = shares.get(mount)
            if share is None:
                if method not in ("GET", "HEAD", "PROPFIND", "OPTIONS"):
                    raise AccessDenied("Only received shares live here.", code="path-refused")
                return
            access = ShareAccess(
                state=share.state,
                permissions=frozenset(share.permissions),
                expires_at=share.expires_at,
                is_folder=share.resource_type == FOLDER,
            )
            may(access, method, inside, clock())

        return gate


def _accepted(tx: Transaction, user: User) -> tuple[dict[str, IncomingShare], Known]:
    shares = {row.mount_name: row for row in tx.incoming_shares.accepted(user.id)}
    return shares, TreeStates.known(tx, tree_of(user.id))


class _UserTree:
    """`Storage` over the own tree and the received ones."""

    def __init__(self, own: Storage, shares: dict[str, IncomingShare], received: ReceivedShares) -> None:
        self._own = own
        self._shares = shares
        self._received = received
        self._opened: dict[str, Storage] = {}

    async def _place(self, path: str) -> tuple[Storage, str, str]:
        """The tree that holds `path`, the prefix of that tree here, and the path inside it."""
        if not path.startswith(_PREFIX):
            return self._own, "", path
        mount, _, inside = path[len(_PREFIX) :].partition("/")
        share = self._shares.get(mount)
        if share is None:
            raise NotFound("There is no such received share.", code="not-found")
        if mount not in self._opened:
            self._opened[mount] = await self._received.open(share)
        return self._opened[mount], _PREFIX + mount, inside

    async def entry(self, path: str) -> Entry:
        if path == RECEIVED_FOLDER:
            return _received_folder(self._shares)
        storage, prefix, inside = await self._place(path)
        return _below(prefix, await storage.entry(inside))

    async def list(self, path: str) -> AsyncIterator[Entry]:
        if path == RECEIVED_FOLDER:
            await self._learn()
            for share in self._shares.values():
                yield self._mounted(share)
            return
        storage, prefix, inside = await self._place(path)
        async with closing(storage.list(inside)) as entries:
            async for entry in entries:
                if path or entry.path != RECEIVED_FOLDER:
                    yield _below(prefix, entry)
        if not path and self._shares:
            yield _received_folder(self._shares)

    async def _learn(self) -> None:
        """Look at files whose size nobody told: one of 0 would be taken for an empty file. What takes long goes on by itself."""
        received = self._received
        unknown = [share for share in self._shares.values() if not self._is_known(share) and received.marks.outage(share) is None]
        looking = [task for share in unknown if (task := received.learn(share)) is not None]
        if looking:
            await asyncio.wait(looking, timeout=_LEARN_SECONDS)

    def _is_known(self, share: IncomingShare) -> bool:
        return share.resource_type == FOLDER or self._received.seen.of(share) is not None or _announced_size(share) is not None

    def _mounted(self, share: IncomingShare) -> Entry:
        """A received share as the list of them shows it: as last seen, else as announced."""
        is_away = self._received.marks.outage(share) is not None
        seen = self._received.seen.of(share)
        if seen is not None:
            return replace(seen, path=_PREFIX + share.mount_name, unavailable=is_away)
        return _as_announced(share, _announced_size(share) or 0, unavailable=is_away)

    async def open(self, path: str, start: int = 0, length: int | None = None) -> OpenFile:
        storage, prefix, inside = await self._place(path)
        opened = await storage.open(inside, start, length)
        opened.entry = _below(prefix, opened.entry)
        return opened

    async def write(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        modified_at: float | None = None,
        expected: str | None = None,
    ) -> tuple[Entry, bool]:
        storage, prefix, inside = await self._place(_not_the_folder(path))
        entry, created = await storage.write(inside, chunks, size=size, modified_at=modified_at, expected=expected)
        return _below(prefix, entry), created

    async def make_folder(self, path: str) -> None:
        storage, _, inside = await self._place(_not_the_folder(path))
        await storage.make_folder(inside)

    async def remove(self, path: str, *, expected: str | None = None) -> None:
        storage, _, inside = await self._place(_not_the_folder(path))
        await storage.remove(inside, expected=expected)

    async def copy(self, source: str, target: str, *, replace: bool = False, children: bool = True) -> None:
        here = await self._two_places(source, target)
        if here is not None:
            storage, inside, to_inside = here
            await storage.copy(inside, to_inside, replace=replace, children=children)
        else:
            await self._across(source, target, replace=replace, children=children)

    async def move(self, source: str, target: str, *, replace: bool = False) -> None:
        here = await self._two_places(_not_the_folder(source), target)
        if here is not None:
            storage, inside, to_inside = here
            await storage.move(inside, to_inside, replace=replace)
        else:
            await self._across(source, target, replace=replace, children=True)
            await self.remove(source)

    async def set_modified(self, path: str, at: float) -> None:
        storage, _, inside = await self._place(_not_the_folder(path))
        await storage.set_modified(inside, at)

    async def quota(self) -> Quota | None:
        """Of the own files: what is written to a received share counts at its owner's."""
        return await self._own.quota()

    async def _two_places(self, source: str, target: str) -> tuple[Storage, str, str] | None:
        """The tree that holds both, and the two paths inside it; None where there are two trees."""
        if source == RECEIVED_FOLDER:
            raise AccessDenied("The folder of received shares is not copied as a whole.", code="path-refused")
        _, from_prefix, from_inside = await self._place(source)
        storage, to_prefix, to_inside = await self._place(_not_the_folder(target))
        return (storage, from_inside, to_inside) if from_prefix == to_prefix else None

    async def _across(self, source: str, target: str, *, replace: bool, children: bool) -> None:
        from_storage, _, from_inside = await self._place(source)
        to_storage, _, to_inside = await self._place(target)
        if not replace:
            await _copy_across(from_storage, from_inside, to_storage, to_inside, children=children)
            return
        beside = f"{to_inside}.{secrets.token_hex(8)}.part"  # so that what stands at the target stays until all is here
        try:
            await _copy_across(from_storage, from_inside, to_storage, beside, children=children)
            await to_storage.move(beside, to_inside, replace=True)
        except BaseException:
            with suppress(OCMError):
                await to_storage.remove(beside)
            raise


async def _copy_across(source: Storage, source_path: str, target: Storage, target_path: str, *, children: bool) -> None:
    """Copy between two trees through this server, streamed."""
    entry = await source.entry(source_path)
    if entry.is_folder:
        await target.make_folder(target_path)
        if not children:
            return
        # read whole first: no connection is held open while others are made, level by level
        for child in [child async for child in source.list(source_path)]:
            await _copy_across(source, child.path, target, f"{target_path}/{child.name}", children=True)
        return
    opened = await source.open(source_path)
    try:
        async with closing(opened.chunks(0, opened.entry.size)) as chunks:
            await target.write(target_path, chunks, size=opened.entry.size, modified_at=opened.entry.modified_at)
    finally:
        await opened.aclose()


def _not_the_folder(path: str) -> str:
    if path == RECEIVED_FOLDER:
        raise Conflict("This name is kept for received shares.", code="name-reserved")
    return path


def _below(prefix: str, entry: Entry) -> Entry:
    if not prefix:
        return entry
    return replace(entry, path=f"{prefix}/{entry.path}" if entry.path else prefix)


def _received_folder(shares: dict[str, IncomingShare]) -> Entry:
    latest = max((share.changed_at for share in shares.values()), default=0.0)
    return Entry(RECEIVED_FOLDER, True, 0, latest, f'"received-{len(shares)}-{int(latest * 1000)}"')


def _as_announced(share: IncomingShare, size: int, *, unavailable: bool) -> Entry:
    etag = f'"share-{share.id}-{int(share.changed_at * 1000)}"'
    place = _PREFIX + share.mount_name
    return Entry(place, share.resource_type == FOLDER, size, share.changed_at, etag, unavailable=unavailable)


def _announced_size(share: IncomingShare) -> int | None:
    try:
        webdav = parse_protocols(dict(share.protocol)).webdav
    except OCMError:  # a row that cannot be read spoils no listing
        return None
    return webdav.size if webdav else None
