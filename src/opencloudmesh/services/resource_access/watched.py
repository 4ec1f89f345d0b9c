"""A tree of another server that notes whether its server gives access, whatever is done with it (design decision 14).

Rules kept here: a server that breaks off is noted whether it does so at once, in a listing or in the middle of a file; what a
source of bytes does wrong is not the fault of their target; a share whose root is "not found" is said to be unavailable.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import replace
from typing import TypeVar

from opencloudmesh.protocol.availability import Answered, Finding, finding_of
from opencloudmesh.protocol.errors import ForbiddenByPeer, MissingAtPeer, OCMError, PeerDown, PeerRefused
from opencloudmesh.services.availability import Marks
from opencloudmesh.services.ports import (
    DeadProperties,
    Entry,
    Lock,
    Locks,
    LookTagged,
    Name,
    OpenFile,
    Properties,
    PropertyChange,
    Quota,
    Storage,
    WantedLock,
)
from opencloudmesh.services.records import IncomingShare
from opencloudmesh.services.resource_access.closing import closing
from opencloudmesh.services.resource_access.remembering import remembered_suffices
from opencloudmesh.services.resource_access.silence import soon

_TOO_OFTEN = 429

T = TypeVar("T")


class Watch:
    """Notes whether a share can be reached. Within one request the note may change, so the last one is kept."""

    def __init__(self, marks: Marks, share: IncomingShare) -> None:
        self._marks = marks
        self._share = share

    async def note(self, finding: Finding) -> None:
        since = self._share.unavailable_since
        if isinstance(finding, Answered) and since is None:
            return
        await self._marks.note(self._share, finding)
        self._share = replace(self._share, unavailable_since=None if isinstance(finding, Answered) else since or 0.0)

    async def fault(self, error: OCMError, *, at_root: bool = False) -> None:
        if isinstance(error, PeerDown) or (isinstance(error, PeerRefused) and error.status == _TOO_OFTEN):
            return  # it was not asked, or is there and well
        finding = finding_of(error, at_root=at_root)
        if finding is not None:
            await self.note(finding)

    async def over(self, work: Awaitable[T], *, at_root: bool = False) -> T:
        try:
            value = await work
        except OCMError as error:
            await self.fault(error, at_root=at_root)
            if at_root and (instead := _instead_of(error)) is not None:
                raise instead from error
            raise
        await self.note(Answered())
        return value

    async def asked(self, work: Awaitable[T]) -> T:
        """Something that comes before any word with the share itself: its success says nothing of it."""
        try:
            async with self._marks.asking(self._share):
                return await (soon(work, self._share.peer) if remembered_suffices() else work)
        except OCMError as error:
            await self.fault(error)
            raise

    async def read(self, work: Awaitable[T], *, at_root: bool) -> T:
        """A question that is not waited for any longer when the server turns out to be away."""

        async def ask() -> T:
            async with self._marks.asking(self._share):
                return await (soon(work, self._share.peer) if remembered_suffices() else work)

        return await self.over(ask(), at_root=at_root)

    async def begun(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """The same; the first one is not waited for any longer when the server turns out to be away."""
        async with closing(items):
            try:
                async with self._marks.asking(self._share):
                    first = await anext(items)
            except StopAsyncIteration:
                return
            yield first
            async for item in items:
                yield item

    async def through(self, items: AsyncIterator[T], *, at_root: bool = False) -> AsyncIterator[T]:
        try:
            async with closing(items):
                async for item in items:
                    yield item
        except OCMError as error:
            await self.fault(error, at_root=at_root)
            if at_root and (instead := _instead_of(error)) is not None:
                raise instead from error
            raise


def _instead_of(error: OCMError) -> PeerRefused | None:
    """The root of a share stays until the share has ended: "not found" would have a sync client remove what it holds of it."""
    if isinstance(error, MissingAtPeer | ForbiddenByPeer):
        sentence = f"The other server gives no access to this share now (HTTP {error.peer_status})."
        return PeerRefused(sentence, code=f"http-{error.peer_status}", status=error.peer_status)
    return None


class _Source:
    """What is written to a share; its own fault is not that of the share's server."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.fault: OCMError | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._chunks:
                yield chunk
        except OCMError as fault:
            self.fault = fault
            raise


class _WatchedFile:
    """A remote file whose breaking off is noted; it has its place until it is closed."""

    def __init__(self, opened: OpenFile, watch: Watch, place: AsyncExitStack) -> None:
        self.entry = opened.entry
        self._opened = opened
        self._watch = watch
        self._place = place

    def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        return self._watch.through(self._opened.chunks(start, length))

    def fileno(self) -> int | None:
        return self._opened.fileno()

    async def aclose(self) -> None:
        async with self._place:
            await self._opened.aclose()


class WatchedTree:
    """A remote tree that records whether its server answers; `place` is one for a file that is under way."""

    def __init__(
        self,
        storage: Storage,
        watch: Watch,
        saw: Callable[[Entry], None],
        look_tagged: LookTagged | None = None,
        *,
        place: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self._storage = storage
        self._look_tagged = look_tagged
        self._watch = watch
        self._saw = saw
        self._place = place

    async def entry(self, path: str) -> Entry:
        found = await self._watch.read(self._storage.entry(path), at_root=not path)
        if not path:
            self._saw(found)
        return found

    async def entry_and_tag(self, path: str) -> tuple[Entry, str | None]:
        """`ports.LookTagged`."""
        if self._look_tagged is None:
            return await self.entry(path), None
        found, tag = await self._watch.read(self._look_tagged(path), at_root=not path)
        if not path:
            self._saw(found)
        return found, tag

    async def list(self, path: str) -> AsyncIterator[Entry]:
        async with closing(self._watch.through(self._watch.begun(self._storage.list(path)), at_root=not path)) as entries:
            async for entry in entries:
                yield entry
        await self._watch.note(Answered())

    async def open(self, path: str, start: int = 0, length: int | None = None) -> OpenFile:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._place())
            opened = await self._watch.read(self._storage.open(path, start, length), at_root=not path)
            place = stack.pop_all()
        if not path:
            self._saw(opened.entry)
        return _WatchedFile(opened, self._watch, place)

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
        source = _Source(chunks)
        try:
            async with self._place():
                written = await self._storage.write(
                    path, source.chunks(), size=size, modified_at=modified_at, expected=expected, checksum=checksum
                )
        except OCMError as error:
            if error is not source.fault:
                await self._watch.fault(error)
            raise
        await self._watch.note(Answered())
        if not path:
            self._saw(written[0])
        return written

    async def make_folder(self, path: str) -> None:
        await self._watch.over(self._storage.make_folder(path))

    async def remove(self, path: str, *, expected: str | None = None) -> None:
        await self._watch.over(self._storage.remove(path, expected=expected))

    async def copy(self, source: str, target: str, *, replace: bool = False, children: bool = True) -> None:
        await self._watch.over(self._storage.copy(source, target, replace=replace, children=children))

    async def move(self, source: str, target: str, *, replace: bool = False) -> None:
        await self._watch.over(self._storage.move(source, target, replace=replace))

    async def set_modified(self, path: str, at: float) -> None:
        await self._watch.over(self._storage.set_modified(path, at))

    async def quota(self, path: str = "") -> Quota | None:
        return await self._watch.read(self._storage.quota(path), at_root=False)


class WatchedLocks:
    """`ports.Locks` of a remote tree."""

    def __init__(self, locks: Locks, watch: Watch) -> None:
        self._locks = locks
        self._watch = watch

    def submit(self, tokens: Collection[str]) -> None:
        self._locks.submit(tokens)

    async def covering(self, paths: Collection[str]) -> Sequence[Lock]:
        return await self._watch.read(self._locks.covering(paths), at_root=False)

    async def within(self, path: str) -> Sequence[Lock]:
        return await self._watch.over(self._locks.within(path))

    async def around(self, path: str) -> Sequence[Lock]:
        return await self._watch.read(self._locks.around(path), at_root=False)

    async def take(self, wanted: WantedLock) -> tuple[Lock, bool]:
        return await self._watch.over(self._locks.take(wanted))

    async def refresh(self, path: str, token: str, seconds: float) -> Lock:
        return await self._watch.over(self._locks.refresh(path, token, seconds))

    async def release(self, path: str, token: str) -> None:
        await self._watch.over(self._locks.release(path, token))

    async def forget(self, path: str) -> None:
        await self._locks.forget(path)


class WatchedProperties:
    """`ports.DeadProperties` of a remote tree."""

    def __init__(self, properties: DeadProperties, watch: Watch) -> None:
        self._properties = properties
        self._watch = watch

    async def of(self, path: str, names: Collection[Name] | None = None) -> Properties:
        return await self._watch.read(self._properties.of(path, names), at_root=False)

    async def around(self, path: str, names: Collection[Name] | None = None) -> Mapping[str, Properties]:
        return await self._watch.read(self._properties.around(path, names), at_root=False)

    async def change(self, path: str, changes: Sequence[PropertyChange]) -> None:
        await self._watch.over(self._properties.change(path, changes))

    async def copy(self, source: str, target: str, *, deep: bool) -> None:
        await self._properties.copy(source, target, deep=deep)

    async def move(self, source: str, target: str) -> None:
        await self._properties.move(source, target)

    async def forget(self, path: str) -> None:
        await self._properties.forget(path)
