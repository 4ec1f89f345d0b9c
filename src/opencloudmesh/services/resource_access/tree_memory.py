"""What was seen of the trees of other servers: entries and listings, bounded in number and in bytes, the oldest use goes first.

Rules kept here: what was seen before a change of ours never counts as right after it; a listing counts as right as long as its
folder has the same ETag, but only for a share whose folder ETags have not been found to stay the same while a child changed.
What does not count as right any more is past: it is kept to be shown while the owner's server does not answer, with what is
known of our own changes since, until something newer is listed. What was refused, or is gone, is not kept at all.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
    children: dict[str, Entry]
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
    """The paths that are remembered, now and of the past, when something was last changed by us, and whether its folder ETags
    were found wrong.

    `extras_change`: when locks or dead properties were. `right_since`: what was seen before that may be wrong by now.
    """

    paths: set[str] = field(default_factory=set)
    past: set[str] = field(default_factory=set)
    change: int = 0
    extras_change: int = 0
    refusals: int = 0
    is_distrusted: bool = False
    right_since: float = -math.inf

    def of(self, is_past: bool) -> set[str]:
        return self.past if is_past else self.paths


_Key = tuple[int, str, bool]
"""A share, a path in it, and whether this is past."""


class TreeMemory:
    """Of all received shares together; `of` gives the part of one share."""

    def __init__(self, *, clock: Clock, most_entries: int = 200_000, most_bytes: int = 64 << 20) -> None:
        self.clock = clock
        self.most_entries = most_entries
        self.most_bytes = most_bytes
        self.entries = 0
        self.bytes = 0
        self._seen: OrderedDict[_Key, tuple[Seen, int]] = OrderedDict()
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
                self._drop((oldest, path, is_past) for is_past in (False, True) for path in list(forgotten.of(is_past)))
        self._shares.move_to_end(share_id)
        return found

    def get(self, share_id: int, path: str, *, is_past: bool = False) -> Seen | None:
        found = self._seen.get((share_id, path, is_past))
        if found is None:
            return None
        self._seen.move_to_end((share_id, path, is_past))
        return found[0]

    def put(self, share_id: int, path: str, seen: Seen, *, is_past: bool = False) -> None:
        self._drop([(share_id, path, is_past)])
        if not is_past and (seen.listing is not None or not seen.entry.is_folder):
            self._drop([(share_id, path, True)])
        size = sum(_size(entry) for entry in (seen.listing.children.values() if seen.listing else ())) + _size(seen.entry)
        size += sum(extra.size for extra in seen.extras.values())
        if size > self.most_bytes // 2 or seen.entries > self.most_entries // 2:
            return  # one folder leaves room for others
        self._seen[share_id, path, is_past] = (seen, size)
        self.share(share_id).of(is_past).add(path)
        self.entries += seen.entries
        self.bytes += size
        self._make_room()

    def _make_room(self) -> None:
        while self.entries > self.most_entries or self.bytes > self.most_bytes:
            self._drop([next(iter(self._seen))])

    def put_child(self, share_id: int, path: str, entry: Entry | None) -> None:
        """Have the past listing of the folder above show a path so, or not at all."""
        key = (share_id, path.rpartition("/")[0], True)
        if not path or (found := self._seen.get(key)) is None or (listing := found[0].listing) is None:
            return
        before = listing.children.pop(path, None)
        if entry is not None:
            listing.children[path] = entry
        more = (_size(entry) if entry else 0) - (_size(before) if before else 0)
        self._seen[key] = (found[0], found[1] + more)
        self.bytes += more
        self.entries += (entry is not None) - (before is not None)
        self._make_room()

    def change(self, share_id: int, paths: Iterable[str]) -> None:
        """These paths, what lies below them and the folders above them are not what they were."""
        share = self.share(share_id)
        share.change = next(self._changes)
        self.on_change(share_id)
        for path in {path for changed in paths for path in share.paths if _touches(changed, path)}:
            self.retire(share_id, path)

    def change_extras(self, share_id: int) -> None:
        """Locks and dead properties are not what they were: those of a folder may be shown with all below it."""
        self.share(share_id).extras_change = next(self._changes)

    def retire(self, share_id: int, path: str) -> None:
        """What is remembered of a path is past; a listing of the past stays, where there is no later one."""
        found = self._seen.get((share_id, path, False))
        self._drop([(share_id, path, False)])
        if found is not None and (found[0].listing is not None or (share_id, path, True) not in self._seen):
            seen = found[0]
            self.put(share_id, path, Seen(seen.entry, seen.checked_at, seen.listing), is_past=True)

    def drop(self, share_id: int, path: str, *, is_past: bool) -> None:
        """Nothing is remembered of a path, and of what lies below it."""
        gone = [one for one in self.share(share_id).of(is_past) if _is_in(one, path)]
        self._drop((share_id, one, is_past) for one in gone)

    def outdate(self, share_id: int) -> None:
        """The ETag of the share's root is another one: something in it has changed, wherever."""
        self.share(share_id).right_since = math.nextafter(self.clock(), -math.inf)

    def _drop(self, keys: Iterable[_Key]) -> None:
        for key in keys:
            found = self._seen.pop(key, None)
            if found is not None:
                self.entries -= found[0].entries
                self.bytes -= found[1]
                if (share := self._shares.get(key[0])) is not None:
                    share.of(key[2]).discard(key[1])


class ShareMemory:
    """What is remembered of one share."""

    def __init__(self, memory: TreeMemory, share_id: int) -> None:
        self._memory = memory
        self._id = share_id

    @property
    def now(self) -> float:
        return self._memory.clock()

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
        """Around a change of ours: nothing that was seen of these places before its end counts as right."""
        self._memory.change(self._id, paths)
        try:
            yield
        finally:
            self._memory.change(self._id, paths)

    def recent(self, path: str, seconds: float) -> Entry | None:
        """An entry that was right at most so long ago, and its listing, if there is one: the folder above vouches for none."""
        found, seen = self.last(path), self.seen(path)
        if found is None or (seen is not None and seen.listing is None and self._has_past_listing(path)):
            return None  # in the latter case it is asked for: where no answer comes, its past listing is shown
        entry, checked_at = found
        if seen is not None and seen.listing is not None:
            if entry.etag != seen.entry.etag:
                return None
            checked_at = seen.checked_at
        oldest = max(self._memory.clock() - seconds, self._memory.share(self._id).right_since)
        return entry if checked_at > oldest else None

    def _has_past_listing(self, path: str) -> bool:
        past = self._memory.get(self._id, path, is_past=True)
        return past is not None and past.listing is not None

    def last(self, path: str) -> tuple[Entry, float] | None:
        """An entry as it was seen last, and when that was."""
        seen = self._memory.get(self._id, path)
        above = self._memory.get(self._id, path.rpartition("/")[0]) if path else None
        below = above.listing.children.get(path) if above is not None and above.listing is not None else None
        if above is None or below is None or (seen is not None and seen.checked_at >= above.checked_at):
            return (seen.entry, seen.checked_at) if seen is not None else None
        return below, above.checked_at

    def seen(self, path: str) -> Seen | None:
        """What is remembered of a path, but for what is past."""
        return self._memory.get(self._id, path)

    def recall(self, path: str) -> Seen | None:
        """What is shown of a path while the owner's server does not answer: what was seen last.

        A folder as it was listed last, for only so do its ETag and what it holds belong together.
        """
        seen, past = self.seen(path), self._memory.get(self._id, path, is_past=True)
        for one in (seen, past):
            if one is not None and one.listing is not None:
                return one
        last, parent = self.last(path), path.rpartition("/")[0]
        above = self._memory.get(self._id, parent, is_past=True) if path else None
        below = above.listing.children.get(path) if above is not None and above.listing is not None else None
        found = [Seen(*last)] if last is not None else []
        found += [past] if past is not None else []
        found += [Seen(below, above.checked_at)] if above is not None and below is not None else []
        return max(found, key=lambda each: each.checked_at, default=None)

    @property
    def refusals(self) -> int:
        """A number that changes when something turns out to be refused, or gone."""
        return self._memory.share(self._id).refusals

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
        if listing is None and known is not None and known.listing is not None:
            self._memory.retire(self._id, entry.path)
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
            self._memory.retire(self._id, above.entry.path)

    def listed(self, folder: Entry, children: dict[str, Entry], since: int, *, verify_after: float = _VERIFY_FIRST) -> None:
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

    def verified(self, folder: Entry, children: dict[str, Entry], before: Listing, since: int) -> None:
        """The ETag had vouched for it rightly; the next time it is believed for longer."""
        self.listed(folder, children, since, verify_after=min(_VERIFY_MAX, 2 * before.verify_after))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is remembered of this share."""
        share = self._memory.share(self._id)
        return not share.paths and not share.past

    def forget_all(self) -> None:
        """The share, or a part of it, is refused."""
        self._memory.change(self._id, ())
        self._forget("")

    def forget(self, path: str) -> None:
        """It is not there any more; to look for what never was there is no change."""
        if self.last(path) is not None:
            self._memory.change(self._id, (path,))
        self._forget(path)

    def _forget(self, path: str) -> None:
        self._memory.share(self._id).refusals += 1
        self._memory.drop(self._id, path, is_past=False)
        self.is_now(path, None)

    # ------------------------------------------------------------ what our own changes have made of the past
    def is_now(self, path: str, entry: Entry | None) -> None:
        """After a change of ours that was made: this is there now, and nothing is known of what is below; None: it is gone."""
        self._memory.drop(self._id, path, is_past=True)
        self._memory.put_child(self._id, path, entry)
        if entry is not None and not path:
            self._memory.put(self._id, path, Seen(entry, self._memory.clock()), is_past=True)

    def is_at(self, path: str, like: Entry | None) -> None:
        """After a change of ours that was made: what is there now is like this entry; None: nobody knows what it is like."""
        if like is None:
            self._memory.drop(self._id, path.rpartition("/")[0], is_past=True)
        else:
            self.is_now(path, replace(like, path=path, etag="", seen_at=None, unavailable_since=None))

    def is_new_folder(self, path: str) -> None:
        """After a change of ours that was made: there is an empty folder now."""
        now = self._memory.clock()
        folder = Entry(path, True, 0, now, "")
        self.is_now(path, folder)
        self._memory.put(self._id, path, Seen(folder, now, Listing("", {}, now)), is_past=True)


def _size(entry: Entry) -> int:
    return _BYTES_OF_ENTRY + 2 * (len(entry.path) + len(entry.etag) + len(entry.content_type))


def _is_in(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _touches(changed: str, path: str) -> bool:
    return _is_in(path, changed) or _is_in(changed, path)
