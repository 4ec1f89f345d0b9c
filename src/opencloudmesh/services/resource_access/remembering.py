"""A tree on another server with a memory: a listing that was seen before is shown again after one question.

How it works

- Looking at a folder (PROPFIND of Depth 0) and then listing it is what every WebDAV client causes. If the folder has the ETag
  that it had when it was listed, the listing of then is right: nothing more is asked.
- Reading that may be a little old (`may_be_remembered`: a PROPFIND without conditions) is answered at once from what was right a
  moment ago, and the folder is looked at behind, once for many. Whatever writes, or has conditions, asks the owner's server.
- What a folder holds may change without its ETag, as where another program writes into a file in place. Where the owner's server
  has a word for all that a folder holds (`listing_tag`), a listing is right only while that is the word for it. Other servers'
  folder ETags are believed until one is found wrong: now and then a folder that was shown by its ETag alone is listed behind. If
  it differs while the ETag has stayed, every listing of this share is asked for anew from then on. A folder without an ETag
  always is.
- While the owner's server does not answer, such reading is shown what was seen last, however old it is; the question goes on
  behind. A server that refuses has what was seen forgotten.
- What a change of ours touches is past, from its beginning, and once more after its end: what was asked for in between is not
  kept. It is shown only while the owner's server does not answer, as during an upload that hangs; a change that was made is in
  it, so that a sync client finds what it sent.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import structlog

from opencloudmesh.protocol.errors import AccessDenied, NotFound, OCMError
from opencloudmesh.services.ports import Entry, LookTagged, OpenFile, Quota, Storage
from opencloudmesh.services.resource_access.closing import closing
from opencloudmesh.services.resource_access.seen import Listing, Seen
from opencloudmesh.services.resource_access.share_memory import ShareMemory
from opencloudmesh.services.resource_access.silence import SHOWN_AFTER, Silence, is_silent, takes_away

_log = structlog.get_logger(__name__)
_AT_ONCE = 64
"""Looks behind at one time; more are made in front."""
_REFRESH_SECONDS = 1.0
"""What was right so short a time ago is not looked at behind."""

_remembered_suffices: ContextVar[bool] = ContextVar("remembered_suffices", default=False)


@contextmanager
def may_be_remembered() -> Iterator[None]:
    """Within: the answer may be a few seconds old."""
    token = _remembered_suffices.set(True)
    try:
        yield
    finally:
        _remembered_suffices.reset(token)


def remembered_suffices() -> bool:
    """Whether what is asked for now may be a few seconds old."""
    return _remembered_suffices.get()


class Behind:
    """Looks that nobody waits for: one for each place at a time, and not too many."""

    def __init__(self) -> None:
        self._running: dict[tuple[int, str], asyncio.Task[None]] = {}
        self._asked: dict[tuple[int, str, int], tuple[float, asyncio.Task[Entry]]] = {}

    def look(self, share_id: int, path: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Have it done; False where there are too many already."""
        key = (share_id, path)
        if key in self._running:
            return True
        if len(self._running) >= _AT_ONCE:
            return False
        task = self._running[key] = asyncio.create_task(work(), name=f"look again at share {share_id}")
        task.add_done_callback(lambda _: self._running.pop(key, None))
        return True

    async def ask(
        self, share_id: int, path: str, since: int, work: Callable[[], Coroutine[Any, Any, Entry]]
    ) -> "asyncio.Task[Entry] | None":
        """Ask once for many, and wait for a moment after the question began; None where it goes on behind."""
        key, now = (share_id, path, since), asyncio.get_running_loop().time()
        if key not in self._asked:
            task = asyncio.create_task(work(), name=f"ask for share {share_id}")
            self._asked[key] = now, task
            task.add_done_callback(lambda done: self._answered(key, done))
        began, task = self._asked[key]
        done, _ = await asyncio.wait([task], timeout=max(0.0, began + SHOWN_AFTER - now))
        return task if done else None

    def _answered(self, key: tuple[int, str, int], task: "asyncio.Task[Entry]") -> None:
        del self._asked[key]
        if not task.cancelled():
            task.exception()  # whoever asks next hears of it

    async def aclose(self) -> None:
        """End them."""
        running: list[asyncio.Task[Any]] = [*self._running.values(), *(task for _, task in self._asked.values())]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class RememberingTree:
    """`Storage` over the tree of a received share, for one request; see the module."""

    def __init__(
        self,
        storage: Storage,
        memory: ShareMemory,
        behind: Behind,
        *,
        share_id: int,
        stale_seconds: float,
        silence: Silence | None = None,
        look_tagged: LookTagged | None = None,
    ) -> None:
        self._storage = storage
        self._look_tagged = look_tagged
        self._memory = memory
        self._behind = behind
        self._share_id = share_id
        self._stale_seconds = stale_seconds
        self._silence = silence or Silence()
        self._looked: dict[str, tuple[Entry, int]] = {}
        """Folders that this request has looked at, and when in the count of our changes."""
        self._recalled: dict[str, tuple[Listing | None, int]] = {}
        """Paths that were shown from memory, with their listing, and how often something had been refused till then."""

    # ------------------------------------------------------------ reading
    async def entry(self, path: str) -> Entry:
        since = self._memory.change
        entry = self._memory.recent(path, self._stale_seconds) if _remembered_suffices.get() else None
        if entry is not None and self._refresh(path):
            self._recalls(path, self._memory.seen(path))
            self._silence.is_recalled = True
        else:
            entry = await self._look_or_recall(path, since)
        if entry.is_folder:
            self._looked[path] = (entry if entry.seen_at is None else replace(entry, seen_at=None), since)
        return entry

    async def _look_or_recall(self, path: str, since: int) -> Entry:
        """Ask; what was seen before is shown while there is no answer, where that suffices."""
        if not _remembered_suffices.get() or self._memory.recall(path) is None:
            return await self._look(path, since)
        asked = await self._behind.ask(self._share_id, path, since, lambda: self._look(path, since))
        try:
            if asked is not None:
                return asked.result()
        except OCMError as error:
            if not is_silent(error):
                raise
        seen = self._memory.recall(path)
        if seen is None:  # it was refused meanwhile
            return await self._look(path, self._memory.change)
        _log.info("shown-from-memory", share=self._share_id)
        self._silence.is_found = True
        self._recalls(path, seen)
        return replace(seen.entry, seen_at=seen.checked_at)

    def _recalls(self, path: str, seen: Seen | None) -> None:
        self._recalled[path] = (seen.listing if seen is not None else None, self._memory.refusals)

    async def _look(self, path: str, since: int) -> Entry:
        tag = None
        try:
            if self._look_tagged is not None and self._has_listing(path):
                entry, tag = await self._look_tagged(path)
            else:
                entry = await self._storage.entry(path)
        except NotFound:
            if path:
                self._memory.forget(path)
            raise
        except OCMError as error:
            if path and isinstance(error, AccessDenied):
                self._memory.forget(path)
            elif takes_away(error):
                self._memory.forget_all()
            raise
        self._memory.saw(entry, since, tag)
        return entry

    def _has_listing(self, path: str) -> bool:
        seen = self._memory.seen(path)
        return seen is not None and seen.listing is not None

    async def list(self, path: str) -> AsyncIterator[Entry]:
        known = self._known(path)
        if known is not None:
            for entry in tuple(known.values()):  # a change of ours may come in between
                yield entry
            return
        if self._silence.is_found:
            since = self._memory.change
            self._looked[path] = (await self._look(path, since), since)  # it is not waited for longer than for a file
        folder, since = self._looked.pop(path, (None, 0))
        children: dict[str, Entry] | None = {} if folder is not None else None
        async with closing(self._storage.list(path)) as entries:
            async for entry in entries:
                if children is not None:
                    children[entry.path] = entry
                    if self._memory.is_too_long(len(children)):
                        children = None
                yield entry
        if folder is not None and children is not None:
            self._memory.listed(folder, children, since)

    def _known(self, path: str) -> Mapping[str, Entry] | None:
        """The listing from memory, if it is right, or recent enough where that suffices."""
        recalled, refusals = self._recalled.get(path, (None, 0))
        if recalled is not None and refusals == self._memory.refusals:
            return recalled.children
        seen = self._memory.seen(path)
        if seen is None or seen.listing is None:
            return None
        looked = self._looked.get(path)
        if looked is None or not _vouches(looked[0], seen.listing):
            return None
        if seen.listing.is_tagged:
            return seen.listing.children
        if self._memory.is_distrusted:
            return None
        if self._memory.needs_verifying(seen.listing):
            self._behind.look(self._share_id, path, lambda: self._verify(path))
        return seen.listing.children

    async def open(self, path: str, start: int = 0, length: int | None = None) -> OpenFile:
        return await self._storage.open(path, start, length)

    # ------------------------------------------------------------ behind
    def _refresh(self, path: str) -> bool:
        """Have a path looked at behind that is shown from memory; False where that cannot be."""
        if self._memory.recent(path, _REFRESH_SECONDS) is not None:
            return True
        return self._behind.look(self._share_id, path, lambda: self._look_again(path))

    async def _look_again(self, path: str) -> None:
        before = self._memory.seen(path)
        since = self._memory.change
        try:
            entry = await self._look(path, since)
            if before is not None and before.listing is not None and entry.is_folder and self._has_lost_listing(path):
                await self._list_behind(path, entry, since)
        except OCMError:  # whoever asks next hears of it
            return

    def _has_lost_listing(self, path: str) -> bool:
        seen = self._memory.seen(path)
        if seen is None or seen.listing is None:
            return True
        return self._memory.is_distrusted and not seen.listing.is_tagged

    async def _list_behind(self, path: str, folder: Entry, since: int) -> None:
        children = await self._children(path)
        if children is not None:
            self._memory.listed(folder, children, since)

    async def _children(self, path: str) -> dict[str, Entry] | None:
        """A listing; None for one that is too long to be kept, of which the rest is not read."""
        children: dict[str, Entry] = {}
        async with closing(self._storage.list(path)) as entries:
            async for entry in entries:
                children[entry.path] = entry
                if self._memory.is_too_long(len(children)):
                    return None
        return children

    async def _verify(self, path: str) -> None:
        """List a folder whose ETag says that its listing is right; look at the folder once more, for it may change meanwhile."""
        before, since = self._memory.seen(path), self._memory.change
        if before is None or before.listing is None:
            return
        try:
            children = await self._children(path)
            folder = await self._storage.entry(path)
        except OCMError:
            return
        if since != self._memory.change or not _vouches(folder, before.listing):
            return
        if children is None or not _same(children, before.listing.children):
            self._memory.distrust()
        if children is not None:
            self._memory.verified(folder, children, before.listing, since)

    # ------------------------------------------------------------ writing
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
        with self._memory.changing(path):
            written = await self._storage.write(
                path, chunks, size=size, modified_at=modified_at, expected=expected, checksum=checksum
            )
        self._memory.is_now(path, written[0])
        return written

    async def remove(self, path: str, *, expected: str | None = None) -> None:
        with self._memory.changing(path):
            await self._storage.remove(path, expected=expected)
        self._memory.is_now(path, None)

    async def copy(self, source: str, target: str, *, replace: bool = False, children: bool = True) -> None:
        with self._memory.changing(target):
            await self._storage.copy(source, target, replace=replace, children=children)
        self._memory.is_at(target, self._last(source))

    async def move(self, source: str, target: str, *, replace: bool = False) -> None:
        with self._memory.changing(source, target):
            await self._storage.move(source, target, replace=replace)
        moved = self._last(source)
        self._memory.is_now(source, None)
        self._memory.is_at(target, moved)

    async def quota(self, path: str = "") -> Quota | None:
        return await self._silence.unless_found(lambda: self._storage.quota(path), None)

    async def make_folder(self, path: str) -> None:
        with self._memory.changing(path):
            await self._storage.make_folder(path)
        self._memory.is_new_folder(path)

    async def set_modified(self, path: str, at: float) -> None:
        with self._memory.changing(path):
            await self._storage.set_modified(path, at)
        if (entry := self._last(path)) is not None and not entry.is_folder:
            self._memory.is_at(path, replace(entry, modified_at=at))

    def _last(self, path: str) -> Entry | None:
        seen = self._memory.recall(path)
        return seen.entry if seen is not None else None


def _same(children: Mapping[str, Entry], before: Mapping[str, Entry]) -> bool:
    """Whether they are the same; what folders hold is counted late, by some servers, and says nothing of their ETags."""
    return children.keys() == before.keys() and all(
        entry == before[path] or (entry.is_folder and replace(entry, holds=None) == replace(before[path], holds=None))
        for path, entry in children.items()
    )


def _vouches(folder: Entry, listing: Listing) -> bool:
    return folder.is_folder and bool(folder.etag) and folder.etag == listing.etag
