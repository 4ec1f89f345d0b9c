"""What was seen of one received share: when it counts as right, when as past, and what our own changes have made of it.

The rules are those of `tree_memory`, which keeps it.
"""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from opencloudmesh.services.ports import Entry
from opencloudmesh.services.resource_access.seen import VERIFY_FIRST, Extra, Listing, Seen
from opencloudmesh.services.resource_access.tree_memory import TreeMemory

_MOST_EXTRAS = 4
_VERIFY_MAX = 86400.0


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

    def listed(self, folder: Entry, children: dict[str, Entry], since: int, *, verify_after: float = VERIFY_FIRST) -> None:
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
