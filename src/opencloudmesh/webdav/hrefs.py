"""Paths that a peer's WebDAV server states, and those that we ask it for: single names, percent-encoded once."""

import re
import unicodedata
from urllib.parse import quote, unquote_to_bytes

from opencloudmesh.protocol.errors import AccessDenied

MAX_NAME = 255

Names = tuple[bytes, ...]

_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")


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


def href_names(href: str, base: Names = ()) -> Names | None:
    """The decoded names of an href's path, without empty ones; None if it is none or one of them is no name.

    Of an absolute URL only the path counts: whatever is made of it is asked from the server that we know. A relative path
    begins at `base`. There is no query in an href: servers that do not encode `?` and `#` mean a name.
    """
    if (origin := _ORIGIN.match(href)) is not None:
        href = href[origin.end() :] or "/"
    elif not href.startswith("/"):
        href = href.removeprefix("./")
        if not href or ":" in href.partition("/")[0]:
            return None
    names = tuple(unquote_to_bytes(part) for part in href.split("/") if part)
    if not all(map(is_name, names)):
        return None
    return names if href.startswith("/") else base + names


def names_below(names: Names, folder: Names) -> Names | None:
    """The names below a folder, or None where they lead elsewhere; the folder's own may come in another Unicode form."""
    own = names[: len(folder)]
    if own != folder and [_composed(name) for name in own] != [_composed(name) for name in folder]:
        return None
    return names[len(folder) :]


def _composed(name: bytes) -> str:
    return unicodedata.normalize("NFC", name.decode("utf-8", "surrogateescape"))


def path_of(names: Names) -> str:
    """A relative path of these names."""
    return b"/".join(names).decode("utf-8", "surrogateescape")
