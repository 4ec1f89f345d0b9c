"""A simulated server of the user for the command line: the user API from lists in memory, WebDAV from the project's own parts."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.cli.main import main
from opencloudmesh.protocol.errors import Unauthorized
from opencloudmesh.services.ports import DavTree
from opencloudmesh.webdav.memory import MemoryTreeStates
from opencloudmesh.webdav.server import WebDavServer
from tests.federation import wire

TOKEN = "session-token-0123456789abcdefghij"
ALICE = {"name": "alice", "display_name": "Alice A.", "address": "alice@cloud.example.org"}


class Broken(Exception):
    """The simulated server breaks a connection off."""


def refusal(status: int, code: str, message: str, hint: str = "") -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message, "hint": hint}}, status)


@dataclass
class SimulatedServer:
    """`shares`, `inbox`, `deliveries` are what it answers; `seen` what it was asked; the rest are ways to misbehave."""

    root: Path
    password: str = "correct horse"
    shares: list[dict[str, Any]] = field(default_factory=list)
    inbox: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    contacts: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    discovery: dict[str, Any] = field(default_factory=dict)
    next_answer: Response | None = None
    page: int = 1000
    ended: bool = False
    break_after: int | None = None
    before_get: Callable[[], None] | None = None
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    url: str = ""

    # ------------------------------------------------------------ what a test asks
    def asked(self, method: str, part: str = "") -> list[dict[str, str]]:
        """The headers of the requests with this method whose path contains `part`."""
        return [headers for seen, path, headers in self.seen if seen == method and part in path]

    # ------------------------------------------------------------ running
    def app(self) -> ASGIApp:
        one, act = self._one, self._act
        routes = [
            Route("/api/v1/session", self._login, methods=["POST"]),
            Route("/api/v1/session", self._logout, methods=["DELETE"]),
            Route("/api/v1/me", self._me),
            Route("/api/v1/discover", self._discover),
            Route("/api/v1/shares", self._create_share, methods=["POST"]),
            Route("/api/v1/shares/repair", self._repair, methods=["POST"]),
            Route("/api/v1/delivery-retries", self._retry_all, methods=["POST"]),
            Route("/api/v1/{kind:str}", self._list),
            Route("/api/v1/{kind:str}/{id:int}", one, methods=["GET"]),
            Route("/api/v1/{kind:str}/{id:int}/{action:str}", act, methods=["POST"]),
            Mount("/dav/files", WebDavServer(self._resolve)),
        ]
        return self._watched(Starlette(routes=routes))

    def _watched(self, inner: ASGIApp) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await inner(scope, receive, send)
                return
            headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
            self.seen.append((scope["method"], scope["path"], headers))
            if scope["method"] == "GET" and self.before_get is not None:
                self.before_get()
            if self.next_answer is not None:
                answer, self.next_answer = self.next_answer, None
                await answer(scope, receive, send)
                return
            await inner(scope, receive, self._breaking(scope, send))

        return app

    def _breaking(self, scope: Scope, send: Send) -> Send:
        left = self.break_after
        if left is None or scope["method"] != "GET":
            return send

        async def breaking(message: Message) -> None:
            nonlocal left
            body = message.get("body", b"")
            if len(body) > left:
                await send({**message, "body": body[:left], "more_body": True})
                self.break_after = 0  # from now on, at once
                raise Broken
            left -= len(body)
            await send(message)

        return breaking

    # ------------------------------------------------------------ user API
    def _refused(self, request: Request) -> Response | None:
        known = request.headers.get("authorization") == f"Bearer {TOKEN}" and not self.ended
        return None if known else refusal(401, "session-expired", "Your session has ended.")

    async def _login(self, request: Request) -> Response:
        given = await request.json()
        if given != {"username": "alice", "password": self.password}:
            return refusal(401, "wrong-password", "The name or the password is wrong.", "Check both.")
        return JSONResponse({"token": TOKEN, "expires_at": 4e9, "user": ALICE})

    async def _logout(self, request: Request) -> Response:
        refused = self._refused(request)
        self.ended = True
        return refused or Response(status_code=204)

    async def _me(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse(ALICE)

    async def _discover(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse({**self.discovery, "host": request.query_params["host"]})

    async def _create_share(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        share = outgoing(id=len(self.shares) + 1, **self.bodies[-1])
        self.shares.append(share)
        return self._refused(request) or JSONResponse(share, 201)

    async def _repair(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        given = self.bodies[-1]["after"] in ("", "given:0")
        direction, act = ("given", "announce" if self.bodies[-1]["resend"] else "") if given else ("received", "note")
        line = {
            "direction": direction, "id": 7, "name": "Reports", "peer": "b.example.org", "party": "bob@b.example.org",
            "state": "sent", "said": "taken", "act": act, "done": bool(act) and not self.bodies[-1]["dry_run"],
        }  # fmt: skip
        line["said_at"] = 1e9 if given else None
        silent = [line | {"said": "", "act": ""}] * (0 if given else 293)
        return self._refused(request) or JSONResponse({"items": [*silent, line], "next": "received:0" if given else None})

    async def _retry_all(self, request: Request) -> Response:
        peer = (await request.json())["peer"]
        return JSONResponse({"peer": peer, "messages": sum(one["peer"] == peer for one in self.deliveries)})

    def _items(self, request: Request) -> list[dict[str, Any]]:
        lists = {"shares": self.shares, "inbox": self.inbox, "deliveries": self.deliveries, "notices": self.notices}
        lists["contacts"] = self.contacts
        return lists[request.path_params["kind"]]

    async def _list(self, request: Request) -> Response:
        after = int(request.query_params.get("after", 0))
        apart = request.query_params.get("unknown") == "true"
        items = [item for item in self._items(request) if item.get("quarantined", False) == apart]
        if request.query_params.get("failed") == "true":
            items = [
                item
                for item in items
                if item["state"] == "dead" or (item["state"] != "done" and (item["reason"] or item.get("next_try")))
            ]
        items = [item for item in items if request.query_params.get("peer") in (None, item.get("peer"))]
        found = [item for item in items if item["id"] > after][: self.page]
        last = found[-1]["id"] if len(found) == self.page else None
        number = sum(item.get("quarantined", False) for item in self.inbox)
        return self._refused(request) or JSONResponse({"items": found, "next": last, "unknown": number})

    def _item(self, request: Request) -> dict[str, Any] | None:
        return next((item for item in self._items(request) if item["id"] == request.path_params["id"]), None)

    async def _one(self, request: Request) -> Response:
        item = self._item(request)
        if item is None:
            return refusal(404, "not-found", "There is no such share.")
        return self._refused(request) or JSONResponse(item)

    async def _act(self, request: Request) -> Response:
        item, action = self._item(request), request.path_params["action"]
        if item is None:
            return refusal(404, "not-found", "There is no such thing.")
        item["state"] = {
            "accept": "accepted",
            "decline": "declined",
            "retry": "queued",
            "cancel": "dead",
            "unshare": "revoked",
            "leave": "left",
        }[action]
        if action == "accept":
            item["path"] = f"Shared with me/{item['name']}"
        return self._refused(request) or JSONResponse(item)

    # ------------------------------------------------------------ WebDAV
    async def _resolve(self, name: str, authorization: str | None) -> DavTree:
        if name != "alice" or authorization != f"Bearer {TOKEN}" or self.ended:
            raise Unauthorized("Log in.")
        return DavTree(LocalStorage(self.root), lambda method, path: None, *MemoryTreeStates().of(name, name))


def outgoing(**fields: Any) -> dict[str, Any]:
    path = fields.get("path", "Reports")
    return {
        "id": 1, "provider_id": "p1", "name": path.rpartition("/")[2], "path": path, "resource_type": "folder",
        "share_with": "bob@b.example.org", "permissions": ["read"], "state": "sent", "reason": "", "expires_at": None,
        "created_at": 1e9, "changed_at": 1e9, **fields,
    }  # fmt: skip


def incoming(**fields: Any) -> dict[str, Any]:
    return {
        "id": 1, "provider_id": "p1", "name": "Reports", "owner": "bob@b.example.org", "sender": "bob@b.example.org",
        "sender_display_name": "Bob", "description": "", "resource_type": "folder", "permissions": ["read"],
        "state": "pending", "reason": "", "unavailable_since": None, "unavailable_reason": "", "expires_at": None,
        "created_at": 1e9, "path": None,
        **fields,
    }  # fmt: skip


def delivery(**fields: Any) -> dict[str, Any]:
    return {
        "id": 1, "peer": "b.example.org", "kind": "SHARE_CREATION", "state": "done", "attempts": 1, "due_at": 1e9, "reason": "",
        "detail": "", "http_status": 201, "created_at": 1e9, "outgoing_share_id": 1, "incoming_share_id": None, **fields,
    }  # fmt: skip


@pytest.fixture
def make_outgoing() -> Callable[..., dict[str, Any]]:
    return outgoing


@pytest.fixture
def make_incoming() -> Callable[..., dict[str, Any]]:
    return incoming


@pytest.fixture
def make_delivery() -> Callable[..., dict[str, Any]]:
    return delivery


@pytest.fixture
def make_refusal() -> Callable[..., JSONResponse]:
    return refusal


class CutOff(Response):
    """The beginning of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise Broken


@pytest.fixture
def make_cut_off() -> Callable[[], Response]:
    return CutOff


@dataclass
class Host:
    """Where simulated servers run, one after the other."""

    url: str = ""
    app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    shared = Host()
    listener = socket.create_server(("127.0.0.1", 0))
    shared.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    running = uvicorn.Server(uvicorn.Config(shared, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield shared
    running.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def server(tmp_path: Path, host: Host) -> SimulatedServer:
    """A running simulated server; its files are in `server.root`."""
    simulated = SimulatedServer(tmp_path / "there", url=host.url)
    simulated.root.mkdir()
    host.app = simulated.app()
    return simulated


@dataclass(frozen=True)
class Result:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def ocm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quiet_logs: None
) -> Callable[..., Result]:
    """Run a command in this process, in a configuration folder and a working folder of its own."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("OCM_CONFIG_DIR", str(tmp_path / "config"))

    def run(*arguments: object) -> Result:
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Result(status, printed.out, printed.err)

    return run


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    return file


@pytest.fixture
def logged_in(server: SimulatedServer, ocm: Callable[..., Result], password_file: Path) -> Callable[..., Result]:
    """`ocm` with a session at `server`."""
    assert ocm("login", server.url, "alice", "--password-file", password_file).status == 0
    server.seen.clear()
    return ocm


@pytest.fixture
def free_port() -> int:
    """A port of this machine where nobody listens."""
    return wire.free_port()
