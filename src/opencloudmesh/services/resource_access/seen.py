"""What was seen of a tree on another server: an entry, with it the listing of a folder, its locks and its dead properties."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final

from opencloudmesh.services.ports import Entry
from opencloudmesh.services.resource_access.listing_tag import listing_tag

VERIFY_FIRST: Final = 60.0
"""For so many seconds a folder's ETag alone vouches for a new listing."""


@dataclass(slots=True)
class Listing:
    """The children of a folder, by path, and the folder's ETag from before they were listed.

    `is_tagged`: the owner's server has said by a word for all children that they are as they were.
    """

    etag: str
    children: dict[str, Entry]
    listed_at: float
    verify_after: float = VERIFY_FIRST
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
