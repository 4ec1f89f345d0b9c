"""A user's whole tree: the own files, and what was received under "Shared with me".

Rules kept here: listing shows what is remembered, and waits for no other server, but once and shortly for files whose size
nobody told yet; what is known to be unavailable fails at once when it is opened; a received share's place cannot be removed,
moved or written over by a file operation (leaving a share is an act of its own); rights shown by the sender are checked here
too, so that a refusal comes at once and with a reason.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from opencloudmesh.protocol.errors import AccessDenied, Changed, Conflict, NotFound, OCMError, Unauthorized
from opencloudmesh.protocol.lifecycle import REVOKED
from opencloudmesh.protocol.registries import FOLDER
from opencloudmesh.protocol.resource_access import ShareAccess, may
from opencloudmesh.protocol.share_protocols import parse_protocols
from opencloudmesh.protocol.share_request import RECEIVED_FOLDER
from opencloudmesh.services.accounts import Accounts
from opencloudmesh.services.availability import Outage
from opencloudmesh.services.ports import (
    ABSENT,
    Clock,
    Database,
    DavTree,
    Entry,
    OpenFile,
    Quota,
    RemoteTree,
    Storage,
    StorageFor,
    Transaction,
)
from opencloudmesh.services.records import IncomingShare, UnfinishedFolder, User
from opencloudmesh.services.resource_access.closing import closing
from opencloudmesh.services.resource_access.credentials import Basic, Bearer, parse_authorization
from opencloudmesh.services.resource_access.leftovers import Leftovers
from opencloudmesh.services.resource_access.places import PREFIX, Places
from opencloudmesh.services.resource_access.received import ReceivedShares
from opencloudmesh.services.resource_access.remembering import remembered_suffices
from opencloudmesh.services.resource_access.user_state import UserLocks, UserProperties, properties_below
from opencloudmesh.services.tree_state import Known, TreeStates, tree_of
from opencloudmesh.services.tree_state import Place as StatePlace

_LEARN_SECONDS = 0.5
_FILES_AT_ONCE = 4


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
        self.leftovers = Leftovers(database=database, received=received, storage_for=storage_for, clock=clock)

    async def resolve(self, name: str, authorization: str | None) -> DavTree:
        """The user's tree; raises `Unauthorized`, `AccessDenied` (access-denied) for another user's."""
        user, (shares, known) = await self._user_of(authorization)
        if user.name != name:
            raise AccessDenied("These are another user's files.", code="access-denied")
        locks, properties = self._states.of(StatePlace(tree_of(user)), f"user:{user.id}", is_owner=True, known=known)
        own = RemoteTree(self._storage_for(user), locks, properties)
        places = Places(own, shares, self._received)
        return DavTree(
            _UserTree(places, user.id, self.leftovers),
            self._gate(shares),
            UserLocks(places),
            UserProperties(places),
            partial(self._may_still, authorization, shares),
        )

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

    async def _may_still(self, authorization: str | None, before: Mapping[str, IncomingShare], method: str, path: str) -> None:
        """Who was logged out meanwhile, whose password was taken back, or whose share has ended, writes nothing more."""
        _, (shares, _) = await self._user_of(authorization)
        mount = path[len(PREFIX) :].partition("/")[0] if path.startswith(PREFIX) else ""
        share, there = before.get(mount), shares.get(mount)
        if share is not None and (there is None or there.id != share.id):  # the gate says how it ended
            now = await self._db.read(lambda tx: tx.incoming_shares.by_id(share.id))
            shares = {**shares, mount: now or replace(share, state=REVOKED)}
        self._gate(shares)(method, path)

    def _gate(self, shares: dict[str, IncomingShare]) -> Callable[[str, str], None]:
        clock = self._clock

        def gate(method: str, path: str) -> None:
            if path != RECEIVED_FOLDER and not path.startswith(PREFIX):
                return
            mount, _, inside = path[len(PREFIX) :].partition("/")
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
            # what is copied is read; for the place where it goes the gate is asked once more
            may(access, "GET" if method == "COPY" else method, inside, clock())

        return gate


def _accepted(tx: Transaction, user: User) -> tuple[dict[str, IncomingShare], Known]:
    shares = {row.mount_name: row for row in tx.incoming_shares.accepted(user.id)}
    return shares, TreeStates.known(tx, tree_of(user))


class _UserTree:
    """`Storage` over the own tree and the received ones."""

    def __init__(self, places: Places, user_id: int, leftovers: Leftovers) -> None:
        self._places = places
        self._user_id = user_id
        self._leftovers = leftovers
        self._shares = places.shares
        self._received = places.received

    async def _place(self, path: str) -> tuple[Storage, str, str]:
        """The tree that holds `path`, the prefix of that tree here, and the path inside it."""
        place = await self._places.of(path)
        return place.tree.storage, place.at, place.inside

    async def _new_place(self, path: str) -> tuple[Storage, str, str]:
        """The same for what is to be made; raises `Conflict` (parent-missing) below a file."""
        if self._places.is_below_file(path):
            raise Conflict("There is no folder to hold this.", code="parent-missing")
        return await self._place(_not_the_folder(path))

    async def entry(self, path: str) -> Entry:
        if path in ("", RECEIVED_FOLDER) and remembered_suffices():
            # the listing looks at the others, and waits for them
            self._received.look_at_roots(share for share in self._shares.values() if self._is_known(share))
        if path == RECEIVED_FOLDER:
            return self._received_folder()
        storage, prefix, inside = await self._place(path)
        found = await storage.entry(inside)
        if not path and self._shares:
            return replace(found, etag=_etag_with(found.etag, self._received_folder().etag))
        if found.seen_at is not None and (outage := self._outage_at(prefix)) is not None:
            found = replace(found, unavailable_since=outage.since)
        return _below(prefix, found)

    def _outage_at(self, prefix: str) -> Outage | None:
        return self._received.marks.outage(self._shares[prefix[len(PREFIX) :]])

    def _received_folder(self) -> Entry:
        """Its ETag changes with what is received, and with what is known of the shares' roots; the root's does with it.

        Not when a share becomes unavailable: a sync client would go there, and meet errors.
        """
        latest, known = 0.0, []
        for share in self._shares.values():
            seen = self._received.seen.of(share)
            latest = max(latest, share.changed_at)
            known.append(f"{share.id}/{share.mount_name}/{share.changed_at}/{seen.etag if seen is not None else ''}")
        return Entry(RECEIVED_FOLDER, True, 0, latest, _etag_of(*sorted(known)))

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
            yield self._received_folder()

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
        outage = self._received.marks.outage(share)
        seen = self._received.seen.of(share)
        found = _as_announced(share) if seen is None else replace(seen, path=PREFIX + share.mount_name)
        since = outage.since if outage is not None else None
        return replace(found, unavailable_since=since, denied=not self._received.may_ask(share))

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
        checksum: str = "",
    ) -> tuple[Entry, bool]:
        storage, prefix, inside = await self._new_place(path)
        entry, created = await storage.write(
            inside, chunks, size=size, modified_at=modified_at, expected=expected, checksum=checksum
        )
        return _below(prefix, entry), created

    async def make_folder(self, path: str) -> None:
        storage, _, inside = await self._new_place(path)
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
            before = await self.entry(source)
            await self._across(source, target, replace=replace, children=True)
            self._places.carried[source, target] = await properties_below(await self._places.of(source), deep=True)
            # what was changed while it was copied stays: there are two of it then, and nothing is lost
            await self.remove(source, expected=before.etag or None)

    async def set_modified(self, path: str, at: float) -> None:
        storage, _, inside = await self._place(_not_the_folder(path))
        await storage.set_modified(inside, at)

    async def quota(self, path: str = "") -> Quota | None:
        """Of the own files; what is written to a received share counts at its owner's."""
        storage, _, inside = await self._place(path)
        return await storage.quota(inside)

    async def _two_places(self, source: str, target: str) -> tuple[Storage, str, str] | None:
        """The tree that holds both, and the two paths inside it; None where there are two trees."""
        if source == RECEIVED_FOLDER:
            raise AccessDenied("The folder of received shares is not copied as a whole.", code="path-refused")
        _, from_prefix, from_inside = await self._place(source)
        storage, to_prefix, to_inside = await self._place(_not_the_folder(target))
        return (storage, from_inside, to_inside) if from_prefix == to_prefix else None

    async def _across(self, source: str, target: str, *, replace: bool, children: bool) -> None:
        from_storage, _, from_inside = await self._place(source)
        to_storage, to_share, to_inside = await self._place(target)
        entry = await from_storage.entry(from_inside)
        present = await _find(to_storage, to_inside) if replace else None
        if not entry.is_folder and (present is None or not present.is_folder):  # a write is one step
            expected = None if replace else ABSENT
            await _copy_file(from_storage, entry, to_storage, to_inside, expected=expected)
            return
        folder = to_inside.rpartition("/")[0]
        beside = f"{folder}/.{secrets.token_hex(8)}.part".removeprefix("/")  # it appears in one step, when all is here
        share_id = self._shares[to_share[len(PREFIX) :]].id if to_share else None
        async with self._leftovers.making(to_storage, UnfinishedFolder(self._user_id, share_id, beside)):
            await _copy_across(from_storage, entry, to_storage, beside, children=children)
            await to_storage.move(beside, to_inside, replace=replace)


async def _find(storage: Storage, path: str) -> Entry | None:
    try:
        return await storage.entry(path)
    except NotFound:
        return None


async def _copy_across(source: Storage, entry: Entry, target: Storage, target_path: str, *, children: bool) -> None:
    """Copy between two trees through this server, streamed; with the times, where the target takes them."""
    if not entry.is_folder:
        await _copy_file(source, entry, target, target_path)
        return
    await target.make_folder(target_path)
    # read whole first: no connection is held open while others are made, level by level
    found = [child async for child in source.list(entry.path)] if children else []
    await _copy_files(source, [child for child in found if not child.is_folder], target, target_path)
    for child in found:
        if child.is_folder:
            await _copy_across(source, child, target, f"{target_path}/{child.name}", children=True)
    with suppress(OCMError):
        await target.set_modified(target_path, entry.modified_at)


async def _copy_files(source: Storage, files: Sequence[Entry], target: Storage, folder: str) -> None:
    """A few at once, for each waits for two servers and a disk; the first fault ends all, and is raised."""
    waiting = iter(files)

    async def copy_some() -> None:
        for child in waiting:
            await _copy_file(source, child, target, f"{folder}/{child.name}")

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_FILES_AT_ONCE, len(files))):
                group.create_task(copy_some())
    except BaseExceptionGroup as faults:
        raise faults.exceptions[0] from None


async def _copy_file(source: Storage, entry: Entry, target: Storage, target_path: str, *, expected: str | None = None) -> None:
    opened = await source.open(entry.path)
    try:
        now = opened.entry
        async with closing(opened.chunks(0, now.size)) as chunks:
            await target.write(target_path, chunks, size=now.size, modified_at=now.modified_at, expected=expected)
    except Changed as error:
        raise _already_there() from error
    finally:
        await opened.aclose()


def _already_there() -> Conflict:
    """Somebody was faster."""
    return Conflict("There is something of this name already.", code="exists")


def _not_the_folder(path: str) -> str:
    if path == RECEIVED_FOLDER:
        raise Conflict("This name is kept for received shares.", code="name-reserved")
    return path


def _below(prefix: str, entry: Entry) -> Entry:
    if not prefix:
        return entry
    return entry.at(f"{prefix}/{entry.path}" if entry.path else prefix)


def _etag_of(*texts: str) -> str:
    text = "\n".join(texts).encode("utf-8", "surrogateescape")
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def _etag_with(own: str, received: str) -> str:
    """That of the root; weak where the own tree's is."""
    return ("W/" if own.startswith("W/") else "") + _etag_of(own, received)


def _as_announced(share: IncomingShare) -> Entry:
    etag = f'"share-{share.id}-{int(share.changed_at * 1000)}"'
    place = PREFIX + share.mount_name
    return Entry(place, share.resource_type == FOLDER, _announced_size(share) or 0, share.changed_at, etag)


def _announced_size(share: IncomingShare) -> int | None:
    try:
        webdav = parse_protocols(dict(share.protocol)).webdav
    except OCMError:  # a row that cannot be read spoils no listing
        return None
    return webdav.size if webdav else None
