"""What was seen of the trees of other servers: entries and listings, bounded in number and in bytes, the oldest use goes first.

Rules kept here: what was seen before a change of ours is never kept after it; a listing counts as right as long as its folder
has the same ETag, but only for a share whose folder ETags have not been found to stay the same while a child changed.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from opencloudmesh.services.ports import Clock, Entry
from opencloudmesh.services.resource_access.listing_tag import listing_tag

_BYTES_OF_ENTRY = 400
"""What an entry takes besides its texts, about."""
_MOST_SHARES = 10_000
_MOST_EXTRAS = 4
_VERIFY_FIRST = 60.0
_VERIFY_MAX = 86400.0


@dataclass(slots=True)
class Listing:
    """The children of a folder, by path, and the folder's ETag from before they were listed.

    `is_tagged`: the owner's server has said by a word for all children that they are as they were.
    """

    etag: str
    children: Mapping[str, Entry]
    listed_at: float
    verify_after: float = _VERIFY_FIRST
    is_tagged: bool = False
    _tag: str | None = None

    @property
    def tag(self) -> str:
        """The word for the children."""
        if self._tag is None:
            self._tag = listing_tag(self.children.values())
        return self._tag


@dataclass(frozen=True, slots=True)
class Extra:
    """Locks or dead properties of a folder and its children, as they were at `asked_at`; `size` in characters."""

    value: object
    asked_at: float
    size: int


@dataclass(slots=True)
class Seen:
    """An entry as it was at `checked_at`; for a folder perhaps its listing, which was right at that time too.

    `extras` were asked for after the entry was seen with its ETag, by what was asked for and `extras_change` of then.
    """

    entry: Entry
    checked_at: float
    listing: Listing | None = None
    extras: Mapping[tuple[Hashable, int], Extra] = field(default_factory=dict)

    @property
    def entries(self) -> int:
        return 1 + (len(self.listing.children) if self.listing else 0)


@dataclass(slots=True)
class _Share:
    """The paths that are remembered, when something was last changed by us, and whether its folder ETags were found wrong.

    `extras_change`: when locks or dead properties were. `right_since`: what was seen before that may be wrong by now.
    """

    paths: set[str] = field(default_factory=set)
    change: int = 0
    extras_change: int = 0
    is_distrusted: bool = False
    right_since: float = -math.inf


class TreeMemory:
    """Of all received shares together; `of` gives the part of one share."""

    def __init__(self, *, clock: Clock, most_entries: int = 200_000, most_bytes: int = 64 << 20) -> None:
        self.clock = clock
        self.most_entries = most_entries
        self.most_bytes = most_bytes
        self.entries = 0
        self.bytes = 0
        self._seen: OrderedDict[tuple[int, str], tuple[Seen, int]] = OrderedDict()
        self._shares: OrderedDict[int, _Share] = OrderedDict()
        self._changes = count(1)
        self.on_change: Callable[[int], None] = lambda share_id: None
        """Called when something in a share is not what it was."""

    def of(self, share_id: int) -> "ShareMemory":
        return ShareMemory(self, share_id)

    # ------------------------------------------------------------ for ShareMemory
    def share(self, share_id: int) -> _Share:
        found = self._shares.get(share_id)
        if found is None:
            # a number of its own: who began before this share was forgotten keeps nothing
            found = self._shares[share_id] = _Share(change=next(self._changes))
            if len(self._shares) > _MOST_SHARES:
                oldest, forgotten = self._shares.popitem(last=False)
                self._drop((oldest, path) for path in list(forgotten.paths))
        self._shares.move_to_end(share_id)
        return found

    def get(self, share_id: int, path: str) -> Seen | None:
        found = self._seen.get((share_id, path))
        if found is None:
            return None
        self._seen.move_to_end((share_id, path))
        return found[0]

    def put(self, share_id: int, path: str, seen: Seen) -> None:
        self._drop([(share_id, path)])
        size = sum(_size(entry) for entry in (seen.listing.children.values() if seen.listing else ())) + _size(seen.entry)
        size += sum(extra.size for extra in seen.extras.values())
        if size > self.most_bytes // 2 or seen.entries > self.most_entries // 2:
            return  # one folder leaves room for others
        self._seen[share_id, path] = (seen, size)
        self.share(share_id).paths.add(path)
        self.entries += seen.entries
        self.bytes += size
        while self.entries > self.most_entries or self.bytes > self.most_bytes:
            self._drop([next(iter(self._seen))])

    def change(self, share_id: int, paths: Iterable[str]) -> None:
        """These paths, what lies below them and the folders above them are not what they were."""
        share = self.share(share_id)
        share.change = next(self._changes)
        self.on_change(share_id)
        gone = {path for changed in paths for path in share.paths if _touches(changed, path)}
        self._drop((share_id, path) for path in gone)

    def change_extras(self, share_id: int) -> None:
        """Locks and dead properties are not what they were: those of a folder may be shown with all below it."""
        self.share(share_id).extras_change = next(self._changes)

    def drop(self, share_id: int, path: str) -> None:
        self._drop([(share_id, path)])

    def outdate(self, share_id: int) -> None:
        """The ETag of the share's root is another one: something in it has changed, wherever."""
        self.share(share_id).right_since = math.nextafter(self.clock(), -math.inf)

    def _drop(self, keys: Iterable[tuple[int, str]]) -> None:
        for key in keys:
            found = self._seen.pop(key, None)
            if found is not None:
                self.entries -= found[0].entries
                self.bytes -= found[1]
                if (share := self._shares.get(key[0])) is not None:
                    share.paths.discard(key[1])


class ShareMemory:
    """What is remembered of one share."""

    def __init__(self, memory: TreeMemory, share_id: int) -> None:
        self._memory = memory
        self._id = share_id

    @property
    def change(self) -> int:
        """A number that changes with every change of ours."""
        return self._memory.share(self._id).change

    @property
    def is_distrusted(self) -> bool:
        """Whether a folder of this share kept its ETag while a child changed."""
        return self._memory.share(self._id).is_distrusted

    def distrust(self) -> None:
        self._memory.share(self._id).is_distrusted = True

    @contextmanager
    def changing(self, *paths: str) -> Iterator[None]:
        """Around a change of ours: nothing is remembered of these places that was seen before its end."""
        self._memory.change(self._id, paths)
        try:
            yield
        finally:
            self._memory.change(self._id, paths)

    def recent(self, path: str, seconds: float) -> Entry | None:
        """An entry that was right at most so long ago, and its listing, if there is one: the folder above vouches for none."""
        found, seen = self.last(path), self.seen(path)
        if found is None:
            return None
        entry, checked_at = found
        if seen is not None and seen.listing is not None:
            if entry.etag != seen.entry.etag:
                return None
            checked_at = seen.checked_at
        oldest = max(self._memory.clock() - seconds, self._memory.share(self._id).right_since)
        return entry if checked_at > oldest else None

    def last(self, path: str) -> tuple[Entry, float] | None:
        """An entry as it was seen last, and when that was."""
        seen = self._memory.get(self._id, path)
        above = self._memory.get(self._id, path.rpartition("/")[0]) if path else None
        below = above.listing.children.get(path) if above is not None and above.listing is not None else None
        if above is None or below is None or (seen is not None and seen.checked_at >= above.checked_at):
            return (seen.entry, seen.checked_at) if seen is not None else None
        return below, above.checked_at

    def seen(self, path: str) -> Seen | None:
        """What is remembered of a path."""
        return self._memory.get(self._id, path)

    def saw(self, entry: Entry, since: int, tag: str | None = None) -> None:
        """The entry was asked for when `change` was `since`; a listing whose folder has another ETag now is forgotten.

        So is one of which the owner's server has said by the tag that it is another one now.
        """
        if since != self.change:
            return
        known = self.seen(entry.path)
        listing = known.listing if known is not None and entry.is_folder else None
        if listing is not None and not (entry.etag and entry.etag == listing.etag):
            listing = None
        if listing is not None:
            listing.is_tagged = bool(tag) and tag == listing.tag
            listing = listing if listing.is_tagged or tag is None else None
        if known is not None and entry.etag != known.entry.etag:
            if entry.path:
                self._memory.on_change(self._id)
            else:
                self._memory.outdate(self._id)
        self._outdate_parent(entry)
        extras = known.extras if known is not None and entry.etag and entry.etag == known.entry.etag else {}
        self._memory.put(self._id, entry.path, Seen(entry, self._memory.clock(), listing, extras))

    def saw_root(self, entry: Entry, since: int) -> None:
        """The root was asked for by itself: where its ETag is another one, nothing is shown any more without a question."""
        if since == self.change and (known := self.seen("")) is not None and known.entry.etag != entry.etag:
            self._memory.outdate(self._id)

    def _outdate_parent(self, entry: Entry) -> None:
        """A child that differs from the listing that has it: that listing is of another time."""
        above = self.seen(entry.path.rpartition("/")[0]) if entry.path else None
        if above is not None and above.listing is not None and above.listing.children.get(entry.path) != entry:
            self._memory.drop(self._id, above.entry.path)

    def listed(self, folder: Entry, children: Mapping[str, Entry], since: int, *, verify_after: float = _VERIFY_FIRST) -> None:
        """The children were listed after the folder was looked at, which was when `change` was `since`."""
        if since == self.change:
            now, known = self._memory.clock(), self.seen(folder.path)
            extras = known.extras if known is not None and folder.etag and folder.etag == known.entry.etag else {}
            self._memory.put(self._id, folder.path, Seen(folder, now, Listing(folder.etag, children, now, verify_after), extras))

    # ------------------------------------------------------------ locks and dead properties
    @property
    def extras_change(self) -> tuple[int, int]:
        """Numbers that change with every change of ours, of a lock or a property too."""
        share = self._memory.share(self._id)
        return share.change, share.extras_change

    @contextmanager
    def changing_extras(self) -> Iterator[None]:
        """Around a change of ours of locks or properties."""
        self._memory.change_extras(self._id)
        try:
            yield
        finally:
            self._memory.change_extras(self._id)

    def known_extra(self, path: str, key: Hashable) -> Extra | None:
        """What is remembered, if the folder still has the ETag of then; it may be old."""
        seen = self.seen(path)
        found = seen.extras.get((key, self._memory.share(self._id).extras_change)) if seen is not None else None
        return None if self.is_distrusted else found

    def age(self, extra: Extra) -> float:
        """How many seconds ago it was asked for."""
        return self._memory.clock() - extra.asked_at

    def saw_extra(self, path: str, key: Hashable, value: object, size: int, since: tuple[int, int]) -> None:
        """It was asked for when `extras_change` was `since`; kept where the folder has an ETag to vouch for it."""
        seen = self.seen(path)
        if since != self.extras_change or seen is None or not seen.entry.etag:
            return
        extras = {place: extra for place, extra in seen.extras.items() if place[1] == since[1] and place[0] != key}
        kept = dict(list(extras.items())[1 - _MOST_EXTRAS :])
        kept[key, since[1]] = Extra(value, self._memory.clock(), size)
        self._memory.put(self._id, path, Seen(seen.entry, seen.checked_at, seen.listing, kept))

    def is_too_long(self, entries: int) -> bool:
        """Whether a listing of so many entries would not be kept."""
        return entries >= self._memory.most_entries // 2

    def needs_verifying(self, listing: Listing) -> bool:
        """Whether the folder's ETag alone has vouched for the listing for long."""
        return self._memory.clock() >= listing.listed_at + listing.verify_after

    def verified(self, folder: Entry, children: Mapping[str, Entry], before: Listing, since: int) -> None:
        """The ETag had vouched for it rightly; the next time it is believed for longer."""
        self.listed(folder, children, since, verify_after=min(_VERIFY_MAX, 2 * before.verify_after))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is remembered of this share."""
        return not self._memory.share(self._id).paths

    def forget_all(self) -> None:
        """The share, or a part of it, is refused."""
        self._memory.change(self._id, ("",))

    def forget(self, path: str) -> None:
        """It is not there any more; to look for what never was there is no change."""
        if self.last(path) is not None:
            self._memory.change(self._id, (path,))


def _size(entry: Entry) -> int:
    return _BYTES_OF_ENTRY + 2 * (len(entry.path) + len(entry.etag) + len(entry.content_type))


def _touches(changed: str, path: str) -> bool:
    return path == changed or not path or not changed or path.startswith(f"{changed}/") or changed.startswith(f"{path}/")
