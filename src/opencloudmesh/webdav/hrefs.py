"""Paths that a peer's WebDAV server states, and those that we ask it for: single names, percent-encoded once."""

from urllib.parse import quote, unquote_to_bytes, urlsplit

from opencloudmesh.protocol.errors import AccessDenied

MAX_NAME = 255


def is_name(raw: bytes) -> bool:
    """Whether these bytes can be one name in a folder."""
    return 0 < len(raw) <= MAX_NAME and raw not in (b".", b"..") and b"/" not in raw and b"\0" not in raw


def quote_path(path: str) -> str:
    """A relative path, percent-encoded; raises `AccessDenied` (path-refused) when a part of it is no name."""
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise AccessDenied("This path is refused: it has impossible characters.", code="path-refused") from None
    if raw and not all(map(is_name, raw.split(b"/"))):
        raise AccessDenied("This path is refused: it has a part that can be no name.", code="path-refused")
    return quote(raw, safe="/")


def href_names(href: str) -> tuple[bytes, ...] | None:
    """The decoded names of an href's path, without empty ones; None if it is none or one of them is no name.

    Of an absolute URL only the path counts: whatever is made of it is asked from the server that we know.
    """
    try:
        path = urlsplit(href).path
    except ValueError:
        return None
    if not path.startswith("/"):
        return None
    names = tuple(unquote_to_bytes(part) for part in path.split("/") if part)
    return names if all(map(is_name, names)) else None


def path_of(names: tuple[bytes, ...]) -> str:
    """A relative path of these names."""
    return b"/".join(names).decode("utf-8", "surrogateescape")
