"""A word that stands for what a folder holds: two listings with the same one are the same.

Rules kept here: it is made of the names and strong ETags of the children, and of what folders are said to hold, in no order, so
that who has seen a listing knows the word for it; where a child has no strong ETag, as shortly after a change in a slow-ticking
file system, there is none.
"""

import hashlib
from collections.abc import Iterable

from opencloudmesh.services.ports import Entry


def listing_tag(children: Iterable[Entry]) -> str:
    """The word, or "" where nothing can stand for them."""
    lines = []
    for child in children:
        if not child.etag.startswith('"'):
            return ""
        kind = f"d{child.holds}" if child.is_folder else "f"
        lines.append(f"{child.name}/{kind}{child.etag}\n")
    lines.sort()
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:32]
