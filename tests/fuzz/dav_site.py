"""The whole WebDAV server under fuzzing: one request, answered without a network, on a small tree of real files."""

import asyncio
import shutil
import tempfile
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from starlette.types import Message, Scope

from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.services.ports import DavTree
from opencloudmesh.webdav.memory import MemoryTreeStates
from opencloudmesh.webdav.server import WebDavServer

_MOUNT = "/dav/ocm"
_MOST_REQUESTS = 100
_ANSWERED = frozenset((*range(200, 500), 501, 502, 507))


class FuzzedSite:
    """A folder of ours with a tree in it; it is made anew from time to time, for requests write."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fuzzed-dav-"))
        self._loop = asyncio.new_event_loop()
        self._left = 0

    def _make(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "root/folder").mkdir(parents=True)
        (self._folder / "outside").write_text("of nobody's business")
        for name in ("a.txt", "folder/b c.txt"):
            (self._folder / "root" / name).write_text("content " * 100)
        storage, states = LocalStorage(self._folder / "root"), MemoryTreeStates()

        async def resolve(name: str, authorization: str | None) -> DavTree:
            if name != "t":
                raise NotFound("There is no such tree.")
            return DavTree(storage, lambda method, path: None, *states.of(name, authorization or ""))

        self._server = WebDavServer(resolve, origin="https://cloud.example.org")
        self._left = _MOST_REQUESTS

    def ask(self, method: str, target: str, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        """Answer one request, and look whether that touched what lies beside the tree."""
        if not self._left:
            self._make()
        self._left -= 1
        status = self._loop.run_until_complete(asyncio.wait_for(self._answer(method, target, headers, body), 60))
        assert status in _ANSWERED, status
        assert {path.name for path in self._folder.iterdir()} == {"root", "outside"}
        assert (self._folder / "outside").read_text() == "of nobody's business"

    async def _answer(self, method: str, target: str, headers: tuple[tuple[str, str], ...], body: bytes) -> int:
        raw = target.encode("latin-1")
        scope: Scope = {
            "type": "http",
            "method": method,
            "root_path": _MOUNT,
            "raw_path": raw.partition(b"?")[0],
            "path": unquote(raw.decode("ascii", "replace")),
            "query_string": b"",
            "headers": [(name.encode("latin-1"), value.strip().encode("latin-1")) for name, value in headers],
            "extensions": {},
        }
        sent: list[Message] = []
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await self._server(scope, receive, send)
        assert sent, "no answer"
        size = dict(sent[0]["headers"]).get(b"content-length")
        given = sum(len(message.get("body", b"")) for message in sent[1:])
        assert size is None or method == "HEAD" or int(size) == given, "another Content-Length than body"
        return int(sent[0]["status"])


@cache
def fuzzed_site() -> FuzzedSite:
    """The one of this process."""
    return FuzzedSite()
