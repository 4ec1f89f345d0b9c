"""WebDAV locks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LockRow:
    """A WebDAV lock (RFC 4918 section 6): `path` is inside the tree that it is kept for, `principal` may use its token."""

    token: str
    path: str
    exclusive: bool
    infinite: bool
    owner: str
    principal: str
    expires_at: float
