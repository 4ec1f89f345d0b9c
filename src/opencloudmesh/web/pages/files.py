"""The user's files, the own and the received ones: looked through, brought home, and chosen to be shared.

Rules kept here: the tree and its gate are those of WebDAV, asked with the session's own token; a file is only ever saved, never
shown, for it may be a page that somebody else wrote.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Final
from urllib.parse import quote

from opencloudmesh.protocol.errors import NotFound, PeerRefused, PeerUnreachable, TemporarilyUnavailable
from opencloudmesh.protocol.share_request import RECEIVED_FOLDER
from opencloudmesh.services.ports import DavTree, Entry
from opencloudmesh.services.resource_access import may_be_remembered
from opencloudmesh.services.resource_access.closing import closing
from opencloudmesh.web.answers import ASGIApp, Message, Receive, Scope, Send
from opencloudmesh.web.pages.page import PageAnswer, PageRequest, render
from opencloudmesh.web.pages.texts import text

_MOST: Final = 2000
_KIB: Final = 1024
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB")
_ROOT: Final = "/dav/files"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list. `may_share`: it is the user's own."""

    entry: Entry
    size: str
    may_share: bool


async def show(request: PageRequest) -> PageAnswer:
    """What is in a folder; a single file is a list of one."""
    path = _path_of(request)
    tree = await _tree(request)
    with _owners_faults(), may_be_remembered():
        here = await tree.storage.entry(path)
        tree.may("PROPFIND", path)
        found = await _listed(tree, path) if here.is_folder else [here]
    found.sort(key=lambda entry: (not entry.is_folder, entry.name.casefold(), entry.name))
    steps = list(accumulate(path.split("/"), lambda above, name: f"{above}/{name}")) if path else []
    return render(
        request,
        "files.html",
        path=path,
        here=here,
        may_share=bool(path) and is_own(path),
        above=[(step, step.rpartition("/")[2]) for step in steps],
        rows=[Row(entry, "" if entry.is_folder else _size(entry.size), is_own(entry.path)) for entry in found[:_MOST]],
        more=len(found) > _MOST,
    )


async def _listed(tree: DavTree, path: str) -> list[Entry]:
    found: list[Entry] = []
    entries = tree.storage.list(path)
    async with closing(entries):
        async for entry in entries:
            found.append(entry)
            if len(found) > _MOST:
                break
    return found


def is_own(path: str) -> bool:
    """Whether this is no received share, nor inside of one."""
    return path.split("/")[0] != RECEIVED_FOLDER


@contextmanager
def _owners_faults() -> Iterator[None]:
    """An owner's server that gives no access now: what is asked for is not gone (503), and comes back by itself."""
    try:
        yield
    except (PeerUnreachable, PeerRefused) as error:
        hint = error.hint or text("shares.unavailable.stays")
        raise TemporarilyUnavailable(error.sentence, code=error.code, hint=hint) from error


def _path_of(request: PageRequest) -> str:
    return request.query.get("path", "").strip("/")


async def _tree(request: PageRequest) -> DavTree:
    return await request.services.user_trees.resolve(request.me.name, f"Bearer {request.bound_to}")


def _size(count: int) -> str:
    if count < _KIB:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, len(_UNITS))
    return f"{count / _KIB**power:.1f} {_UNITS[power - 1]}"


class Download:
    """Saves a file, as WebDAV would send it."""

    def __init__(self, dav: ASGIApp) -> None:
        self._dav = dav

    async def look(self, request: PageRequest) -> PageAnswer:
        """Refuse what is no file before anything is sent, so that it is said on a page."""
        path = _path_of(request)
        tree = await _tree(request)
        tree.may("GET", path)
        with _owners_faults():
            is_folder = (await tree.storage.entry(path)).is_folder
        if is_folder:
            raise NotFound(text("files.no_file"))
        return PageAnswer(200, goes_on=lambda scope, receive, send: self._send(request, path, scope, receive, send))

    async def _send(self, request: PageRequest, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name, value) for name, value in message["headers"] if name.lower() not in _REPLACED]
                message = {**message, "headers": [*own, *_as_saved(path)]}
            await send(message)

        target = f"{_ROOT}/{request.me.name}/{path}"
        raw = quote(target, safe="/").encode()
        headers = [(name, value) for name, value in scope["headers"] if name in _PASSED]
        headers.append((b"authorization", f"Bearer {request.bound_to}".encode()))
        inner = {**scope, "root_path": _ROOT, "path": target, "raw_path": raw, "query_string": b"", "headers": headers}
        await self._dav(inner, receive, sending)


_PASSED: Final = frozenset({b"host", b"range", b"if-range", b"if-none-match", b"if-modified-since"})
_REPLACED: Final = frozenset({b"content-type", b"content-disposition", b"content-security-policy", b"cache-control"})


def _as_saved(path: str) -> list[tuple[bytes, bytes]]:
    name = path.rpartition("/")[2]
    return [
        (b"content-type", b"application/octet-stream"),
        (b"content-disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}".encode()),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"cache-control", b"no-store"),
    ]
