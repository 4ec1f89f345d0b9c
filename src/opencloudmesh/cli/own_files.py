"""The user's files on the user's server, as `ports.Storage` whose errors name the path and say what to do.

WebDAV at /dav/files/<user>/ with the session's token; received shares are below "Shared with me".
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import quote

from opencloudmesh.cli.client import open_http
from opencloudmesh.cli.faults import NotLoggedIn, ServerRefused
from opencloudmesh.cli.session_file import StoredSession, load_session
from opencloudmesh.protocol.errors import (
    AccessDenied,
    Conflict,
    DeniedByPeer,
    NotFound,
    OCMError,
    PeerRefused,
    RefusedByPeer,
    StorageFull,
)
from opencloudmesh.services.ports import Entry, OpenFile, Storage
from opencloudmesh.webdav.client import remote_tree

_UNAVAILABLE = 'If it is below "Shared with me", the sender\'s server may be down: try again later. See: ocm inbox'
_ENDED = "The share was probably ended: ask who gave it (ocm inbox). To be rid of it: ocm leave ID"
_REFUSED_THERE = (
    "The sender's server is there, and does not deal with yours: its operator decides. "
    "Nothing is lost: the share comes back by itself when that ends."
)
_HINTS = {
    DeniedByPeer.code: _REFUSED_THERE,
    "token-refused": _ENDED,
    "http-403": _ENDED,
    "http-404": _ENDED,
    "storage-missing": "The folder of your files is not there: tell your server's operator.",
}


@asynccontextmanager
async def own_files() -> AsyncIterator["OwnFiles"]:
    """The files of the user who is logged in; raises `NotLoggedIn`."""
    session = load_session()
    async with open_http(session.server) as http:
        root_url = f"{session.server}/dav/files/{quote(session.user, safe='')}/"
        yield OwnFiles(remote_tree(http, root_url, _Authorize(session), is_own=True).storage)


class _Authorize:
    """The token of the session; there is no other to renew it with."""

    def __init__(self, session: StoredSession) -> None:
        self._session = session

    async def __call__(self, renew: bool) -> str:
        if renew:
            hint = f"Log in again with: ocm login {self._session.server} {self._session.user}"
            raise NotLoggedIn("Your session has ended.", code="session-expired", hint=hint)
        return f"Bearer {self._session.token.reveal()}"


class OwnFiles:
    """What the commands use of `ports.Storage`; see there."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def entry(self, path: str) -> Entry:
        with _named(path):
            return await self._storage.entry(path)

    async def list(self, path: str) -> AsyncIterator[Entry]:
        with _named(path):
            async for entry in self._storage.list(path):
                yield entry

    async def open(self, path: str, start: int = 0) -> OpenFile:
        with _named(path):
            return await self._storage.open(path, start)

    async def write(self, path: str, chunks: AsyncIterator[bytes], *, size: int, modified_at: float) -> tuple[Entry, bool]:
        with _named(path):
            return await self._storage.write(path, chunks, size=size, modified_at=modified_at)

    async def make_folder(self, path: str) -> None:
        with _named(path):
            await self._storage.make_folder(path)

    async def remove(self, path: str) -> None:
        with _named(path):
            await self._storage.remove(path)


_DENIED = {
    "read-only": "See what you may do with: ocm inbox",
    "policy-denied": "Your server does not deal with the server that gave you this: ask its operator.",
}


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Say errors with the path, in the words of somebody who talks with the own server; class and code are kept."""
    try:
        yield
    except (NotFound, AccessDenied, Conflict, StorageFull, PeerRefused) as error:
        found = _reworded(error, f'"{path}"' if path else "the folder of all your files")
        found.trace_id = error.trace_id
        raise found from None


def _reworded(error: OCMError, what: str) -> OCMError:
    match error:
        case NotFound():
            return NotFound(f"There is no {what} on your server.", code=error.code, hint="See what is there with: ocm ls")
        case AccessDenied():
            hint = _DENIED.get(error.code, "")
            return AccessDenied(f"Your server does not allow this for {what}.", code=error.code, hint=hint)
        case Conflict() if error.code == "parent-missing":
            hint = "Make the folder with: ocm mkdir --parents FOLDER"
            return Conflict(f"There is no folder for {what} on your server.", code=error.code, hint=hint)
        case Conflict() if error.code == "exists":
            return Conflict(f"There is {what} on your server already.", code=error.code, hint="Give another name.")
        case Conflict():
            return Conflict(f"{what} is in a state that does not allow this.", code=error.code, hint="Try again later.")
        case StorageFull():
            return StorageFull(f"There is no space left for {what}.", code=error.code, hint="Remove something with: ocm rm")
        case PeerRefused() if error.status >= 500:
            told = error.told if isinstance(error, RefusedByPeer) else ""
            why = error.said.removesuffix(f" ({told})").removesuffix(".") or f"HTTP status {error.status}"
            hint = _HINTS.get(told, _UNAVAILABLE)
            return ServerRefused(
                f"Your server cannot get at {what} now: {why}.", code=told or error.code, status=error.status, hint=hint
            )
        case _:
            return error
