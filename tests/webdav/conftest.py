"""WebDAV under test: called directly as an ASGI app, and behind a real uvicorn on loopback."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.protocol.errors import AccessDenied, NotFound, Unauthorized
from opencloudmesh.services.ports import DavTree, Storage
from opencloudmesh.webdav.memory import MemoryTreeStates
from opencloudmesh.webdav.server import WebDavServer

MOUNT = "/dav/ocm"
TOKEN = "Bearer good"
OTHER = "Bearer of somebody else"


@dataclass
class Reply:
    """What an app answered; `sent` are the raw messages."""

    sent: list[Message]

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode("latin-1") for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Site:
    """A `WebDavServer` over trees by name; `denied` is what the gate refuses, `gate` what it was asked."""

    trees: dict[str, Storage]
    root: Path
    denied: set[str] = field(default_factory=set)
    gate: list[tuple[str, str]] = field(default_factory=list)
    token: str = TOKEN
    extensions: dict[str, dict[str, str]] = field(default_factory=dict)
    states: MemoryTreeStates = field(default_factory=MemoryTreeStates)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    left: int = 0
    leaves_after: int | None = None
    """After so many messages the client is gone."""
    """Messages of the last body that nobody took."""

    def __post_init__(self) -> None:
        self.dav = WebDavServer(self.resolve, origin="https://cloud.example.org")

    async def resolve(self, name: str, authorization: str | None) -> DavTree:
        if authorization not in (self.token, OTHER):
            raise Unauthorized("Log in.", code="token-invalid")
        if name not in self.trees:
            raise NotFound("No such tree.")
        return DavTree(
            self.trees[name],
            self.may,
            *self.states.of(name, authorization or "", is_owner=authorization != OTHER),
            self.may_still,
        )

    async def may_still(self, method: str, path: str) -> None:
        self.may(f"{method} still", path)

    def may(self, method: str, path: str) -> None:
        self.gate.append((method, path))
        if method in self.denied:
            raise AccessDenied("Read only.", code="read-only")

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The WebDAV server, mounted; every request is noted."""
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self.seen.append((scope["method"], scope["raw_path"].decode("latin-1"), headers))
        if f"{scope['path']}/".startswith(f"{MOUNT}/"):
            scope = {**scope, "root_path": MOUNT}
        await self.dav(scope, receive, send)

    async def ask(
        self,
        method: str,
        path: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | Sequence[bytes | None] = b"",
        *,
        raw: bytes | None = None,
    ) -> Reply:
        """Call the app without a network; `path` is a plain path in the tree `t`, `raw` a whole request target instead.

        A None in `body` breaks the connection off.
        """
        target = raw if raw is not None else f"{MOUNT}/t/{quote(path.encode('utf-8', 'surrogateescape'))}".encode()
        sent: list[Message] = []
        pieces = [body] if isinstance(body, bytes) else list(body)
        messages: list[Message] = [
            {"type": "http.disconnect"}
            if piece is None
            else {"type": "http.request", "body": piece, "more_body": position < len(pieces) - 1}
            for position, piece in enumerate(pieces)
        ]

        async def receive() -> Message:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if len(sent) == self.leaves_after:
                raise ConnectionResetError
            sent.append(message)

        given = {"host": "cloud.internal", "authorization": self.token, **(headers or {})}
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "root_path": "",
            "raw_path": target,
            "path": unquoted(target),
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()],
            "extensions": self.extensions,
        }
        await self.app(scope, receive, send)
        self.left = len(messages)
        return Reply(sent)


def unquoted(target: bytes) -> str:
    """As uvicorn does it."""
    return unquote(target.decode("ascii", "replace"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder behind the tree `t`; beside it stands something that nobody may touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("do not read")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def site(root: Path) -> Site:
    return Site({"t": LocalStorage(root)}, root)


@pytest.fixture
def make_site() -> Callable[[dict[str, Storage], Path], Site]:
    return Site


@pytest.fixture
def serve() -> Iterator[Callable[[ASGIApp], str]]:
    """Run an app on loopback; gives its origin."""
    running: list[tuple[uvicorn.Server, threading.Thread, socket.socket]] = []

    def start(app: ASGIApp) -> str:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # so that its Nagle is switched off
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False, interface="asgi3"))
        listener.listen(64)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        running.append((server, thread, listener))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for server, thread, listener in running:
        server.should_exit = True
        server.force_exit = True
        thread.join(90)
        listener.close()
        assert not thread.is_alive()
