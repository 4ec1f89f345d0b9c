"""The locks that a peer tells of: DAV:lockdiscovery, read (RFC 4918 section 15.8)."""

import re
from dataclasses import dataclass

from opencloudmesh.webdav.elements import DAV, Element, XmlFault, XmlReader


@dataclass(frozen=True, slots=True)
class ActiveLock:
    """A lock as a peer describes it; `root` is an href, `owner` a whole element, or ""."""

    token: str
    root: str
    exclusive: bool
    infinite: bool
    owner: str
    seconds: float


def parse_lockdiscovery(body: bytes) -> tuple[ActiveLock, ...]:
    """Read a DAV:lockdiscovery, or a DAV:prop with one in it, as a peer answers LOCK; raises `XmlFault`."""
    reader = XmlReader(whole_depth=3)
    (root,) = reader.feed(body) + reader.close() or (None,)
    if root is not None and root.name == (DAV, "prop"):
        reader = XmlReader(whole_depth=4)
        (root,) = reader.feed(body) + reader.close()
        root = root.child("lockdiscovery")
    if root is None or root.name != (DAV, "lockdiscovery"):
        raise XmlFault("The answer is no DAV:lockdiscovery.")
    return tuple(_active_lock(element) for element in root.children if element.name == (DAV, "activelock"))


def _active_lock(element: Element) -> ActiveLock:
    scope, depth, owner = element.child("lockscope"), element.child("depth"), element.child("owner")
    timeout = element.child("timeout")
    return ActiveLock(
        token=_href_in(element.child("locktoken")),
        root=_href_in(element.child("lockroot")),
        exclusive=scope is None or scope.child("shared") is None,
        infinite=depth is None or depth.text.strip().lower() == "infinity",
        owner=owner.whole if owner else "",
        seconds=_seconds(timeout.text if timeout else ""),
    )


def _href_in(element: Element | None) -> str:
    href = element.child("href") if element else None
    return href.text.strip() if href else ""


def _seconds(text: str) -> float:
    found = re.fullmatch(r"\s*second-(\d{1,10})\s*", text, re.IGNORECASE)
    return float(found[1]) if found else float("inf")
