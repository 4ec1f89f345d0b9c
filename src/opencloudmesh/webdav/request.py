"""A WebDAV request: where it points, and its body.

The path is read from the raw bytes of the request line, decoded once, name by name: `%2e%2e` is `..` and refused,
`%252e` is a name of its own, `%2f` is no separator.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

from starlette.types import Receive, Scope

from opencloudmesh.protocol.errors import AccessDenied, NotFound, OCMError
from opencloudmesh.webdav.answers import DavRefusal
from opencloudmesh.webdav.if_header import ConditionList, tokens_of

MAX_NAME: Final = 255
MAX_XML: Final = 1 << 16

_PLAIN: Final = re.compile("[A-Za-z0-9_.~/-]*")
_SPACED: Final = re.compile("[A-Za-z0-9_.~/ -]*")
_OUR_SCHEMES: Final = ("http", "https")
_MALFORMED: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_UNSAFE: Final = re.compile("[^A-Za-z0-9_.~/-]")


class ClientGone(OCMError):
    """The client closed the connection before its body was complete; nobody is there to answer."""

    code = "client-gone"


@dataclass(frozen=True, slots=True)
class DavRequest:
    """One request; `root` is the percent-encoded path of its tree, without a slash at the end.

    `tree` is "" where the tree is the mount itself; `alias` is the name by which the root, a file, was asked for. `lists` is the
    If header; `origin` our public origin, by which URLs in other headers may name us. `names_folder`: a slash stands at the end,
    so that no file below the root is meant (RFC 4918 section 5.2). `began`: when the gate let it pass, by the event loop's clock.
    """

    method: str
    headers: Mapping[str, str]
    mount: str
    tree: str
    path: str
    zero_copy: bool
    receive: Receive = field(repr=False)
    alias: str = ""
    lists: tuple[ConditionList, ...] = ()
    origin: str = ""
    names_folder: bool = False
    began: float = 0.0

    @property
    def tokens(self) -> frozenset[str]:
        """The state tokens that the client submits."""
        return tokens_of(self.lists)

    @property
    def root(self) -> str:
        """The percent-encoded path of the tree's root."""
        return _root(self.mount, self.tree)

    def href(self, path: str, is_folder: bool) -> str:
        """The percent-encoded absolute path of something in the tree."""
        below = path or self.alias
        if not _PLAIN.fullmatch(below):
            below = below.replace(" ", "%20") if _SPACED.fullmatch(below) else _quoted(below)
        ends = is_folder or not (below or self.tree)  # receivers compare the mount's own href with what we advertise
        return f"{_root(self.mount, self.tree)}{'/' if below else ''}{below}{'/' if ends else ''}"

    @property
    def depth(self) -> str:
        """The Depth header in lower case, "" if there is none."""
        return self.headers.get("depth", "").strip().lower()


@lru_cache(1024)
def _root(mount: str, tree: str) -> str:
    return quote(mount, safe="/") + (f"/{quote(tree, safe='')}" if tree else "")


def _quoted(path: str) -> str:
    return _UNSAFE.sub(_percent, path.encode("utf-8", "surrogateescape").decode("latin-1"))


def _percent(found: "re.Match[str]") -> str:
    return f"%{ord(found[0]):02X}"


def read_headers(scope: Scope) -> dict[str, str]:
    """Names in lower case; values of a repeated header joined."""
    headers: dict[str, str] = {}
    if sum(name.lower() == b"destination" for name, _ in scope["headers"]) > 1:
        raise DavRefusal(400, "There are several Destination headers.", code="destination-invalid")
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def split_path(raw: bytes, mount: str) -> tuple[str, tuple[bytes, ...]]:
    """The tree's name and the names below it; raises `NotFound` outside of the mount."""
    if not raw.startswith(b"/"):
        raise DavRefusal(400, "The request target is no absolute path.", code="path-invalid")
    path = raw.partition(b"?")[0]
    if _MALFORMED.search(path):
        raise DavRefusal(400, "A percent sign in the path is not followed by two hexadecimal digits.", code="path-invalid")
    names = [unquote_to_bytes(part) for part in path.split(b"/")[1:]]
    prefix = [name.encode() for name in mount.split("/") if name]
    if names[: len(prefix)] != prefix:
        raise NotFound("There is no such folder tree.")
    below = [name for name in names[len(prefix) :] if name]
    tree = below[0].decode("utf-8", "surrogateescape") if below else ""
    return tree, tuple(below[1:])


def join_path(names: tuple[bytes, ...]) -> str:
    """The path inside a tree; raises `AccessDenied` (path-refused) for a name that is none."""
    for name in names:
        if name in (b".", b"..") or b"/" in name or b"\0" in name or len(name) > MAX_NAME:
            raise AccessDenied("This path is refused: it has a part that can be no name.", code="path-refused")
    return b"/".join(names).decode("utf-8", "surrogateescape")


def read_path(scope: Scope) -> tuple[str, str, tuple[bytes, ...]]:
    """Mount, name of the tree, and the names below it that the request points to."""
    mount = scope.get("root_path", "").rstrip("/")
    raw = scope.get("raw_path")
    if raw is None:
        raw = quote(scope["path"].encode("utf-8", "surrogateescape"), safe="/%").encode()
    return (mount, *split_path(raw, mount))


def ends_in_slash(scope: Scope) -> bool:
    """Whether the request target has a slash at its end."""
    raw: bytes | None = scope.get("raw_path")
    return scope["path"].endswith("/") if raw is None else raw.partition(b"?")[0].endswith(b"/")


def read_destination(request: DavRequest) -> str:
    """The path of the Destination header (RFC 4918 10.3); another server is 502, another tree 403."""
    value = request.headers.get("destination", "").strip()
    if not value:
        raise DavRefusal(400, "The Destination header is missing.", code="destination-invalid")
    return read_url(value, request)


def read_url(value: str, request: DavRequest) -> str:
    """The path, in the tree of the request, of a URL in one of its headers; another server is 502, another tree 403."""
    try:
        url = urlsplit(value)
        hosts = {_bare_host(request.headers.get("host", "")), _bare_host(urlsplit(request.origin).netloc)} - {""}
    except ValueError:
        raise _bad_url() from None
    if not url.path.startswith("/") or url.query or url.fragment or bool(url.netloc) != bool(url.scheme) or not value.isascii():
        raise _bad_url()
    if "@" in url.netloc:  # RFC 9110 section 4.2.4
        raise _bad_url()
    if url.netloc and (url.scheme not in _OUR_SCHEMES or _bare_host(url.netloc) not in hosts):
        raise DavRefusal(502, "The destination is on another server.", code="destination-elsewhere")
    try:
        tree, names = split_path(url.path.encode(), request.mount)
    except NotFound:
        raise _elsewhere() from None
    if not request.tree:
        return join_path((tree.encode("utf-8", "surrogateescape"), *names) if tree else names)
    if tree != request.tree:
        raise _elsewhere()
    return join_path(names)


def _elsewhere() -> AccessDenied:
    return AccessDenied("The destination is in another folder tree.", code="destination-elsewhere")


def _bad_url() -> DavRefusal:
    sentence = "The Destination header is neither a path nor an http or https URL without user information."
    return DavRefusal(400, sentence, code="destination-invalid")


def _bare_host(netloc: str) -> str:
    host = netloc.rpartition("@")[2].lower()
    return host.removesuffix(":443") if host.endswith(":443") else host.removesuffix(":80")


async def body_chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes; raises `ClientGone` when it breaks off."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client is gone.")
        if body := message.get("body", b""):
            yield body
        if not message.get("more_body", False):
            return


async def small_body(receive: Receive) -> bytes:
    """A whole body of at most 64 KiB; more is 413."""
    body = bytearray()
    async for chunk in body_chunks(receive):
        body += chunk
        if len(body) > MAX_XML:
            raise DavRefusal(413, "The body is too long.", code="body-too-long")
    return bytes(body)
