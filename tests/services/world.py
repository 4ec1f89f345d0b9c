"""A server of ours over a real database, in a network that is a table of functions, at a time that stands still."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from opencloudmesh.adapters.keys.signing_key import SigningKey
from opencloudmesh.protocol.address import host_of_url, parse_address
from opencloudmesh.protocol.code_flow import build_token_request
from opencloudmesh.protocol.discovery import OwnOffer, build_discovery
from opencloudmesh.protocol.errors import Changed, Conflict, NotFound, PeerUnreachable
from opencloudmesh.protocol.http_signatures import Request, sign
from opencloudmesh.protocol.notifications import build_notification
from opencloudmesh.protocol.share_creation import build_share_creation
from opencloudmesh.services.ports import ABSENT, Database, Entry, HttpAnswer, HttpStream, OpenFile, Quota
from opencloudmesh.services.records import Secret, User

ORIGIN = "https://home.example"
HOST = "home.example"
NOW = 1_800_000_000.0
_tokens = count(1)


def new_token() -> str:
    """32 letters and digits, never the same."""
    return f"{next(_tokens):032d}"


# ---------------------------------------------------------------- time
class SimulatedTime:
    """A clock that moves by `advance` only; `wait` is what the worker sleeps by."""

    def __init__(self) -> None:
        self.now = NOW
        self._passed = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def __call__(self) -> float:
        return self.now

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Until the event, or until so many seconds were advanced."""
        alarm = asyncio.Event()
        sleeper = (self._passed + seconds, alarm)
        self._sleepers.append(sleeper)
        tasks = [asyncio.ensure_future(one.wait()) for one in (event, alarm)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sleepers.remove(sleeper)
            for task in tasks:
                task.cancel()

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake whom it wakes."""
        self.now += seconds
        self._passed += seconds
        for until, alarm in self._sleepers:
            if until <= self._passed:
                alarm.set()

    def set_back(self, seconds: float) -> None:
        """Set the clock back; who sleeps does not notice."""
        self.now -= seconds


async def settle(database: Database) -> None:
    """Let everything happen that waits neither for time nor for a test: a step of the services is a turn of the database.

    Its threads, one that reads and one that writes, answer in the order of the questions: with more, a busy machine could leave
    one of them aside all the while.
    """
    for _ in range(40):
        await database.read(lambda tx: None)
        await database.write(lambda tx: None)


# ---------------------------------------------------------------- network
@dataclass(frozen=True)
class Asked:
    """One request that a server was asked."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def host(self) -> str:
        return host_of_url(self.url)

    @property
    def path(self) -> str:
        return "/" + self.url.split("/", 3)[3]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Route = Callable[[Asked], "HttpAnswer | Awaitable[HttpAnswer]"]


def answer(status: int, body: Any = None, **headers: str) -> HttpAnswer:
    """An answer; a body that is no bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    return HttpAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


class SimulatedNetwork:
    """Implements `ports.HttpClient`: (method, URL) -> function; whatever is not there cannot be reached."""

    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], Route] = {}
        self.asked: list[Asked] = []
        self.down: set[str] = set()

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        max_bytes: int = 1 << 20,
        total_timeout: float = 20.0,
    ) -> HttpAnswer:
        asked = Asked(method, url, headers or {}, body)
        self.asked.append(asked)
        if asked.host in self.down or not any(host_of_url(known) == asked.host for _, known in self.routes):
            raise PeerUnreachable(f"{asked.host} cannot be reached.", code="tcp-refused")
        route = self.routes.get((method, url))
        if route is None:
            return answer(404)
        told = route(asked)
        return told if isinstance(told, HttpAnswer) else await told

    def stream(self, *args: Any, **more: Any) -> AbstractAsyncContextManager[HttpStream]:
        raise AssertionError("the services stream through a storage only")

    def origin_of(self, host: str) -> str:
        return f"https://{host}"

    def urls(self, method: str = "", host: str = "") -> list[str]:
        """What was asked for, in order."""
        return [asked.url for asked in self.asked if asked.method.startswith(method) and host in ("", asked.host)]


class SimulatedServer:
    """Another server: publishes what it likes, takes every message, and signs its own."""

    def __init__(self, network: SimulatedNetwork, host: str, *, kid: str | None = None) -> None:
        self.network = network
        self.host = host
        self.origin = f"https://{host}"
        self.key = SigningKey(Ed25519PrivateKey.generate(), host=host)
        self.kid = kid or self.key.keyid
        self.discovery: dict[str, Any] = build_discovery(
            OwnOffer(origin=self.origin, provider=host, capabilities=("http-sig", "exchange-token", "notifications"))
        )
        self.key_set: dict[str, Any] = self.key.public_jwks()
        self.key_set["keys"][0]["kid"] = self.kid
        self.tokens = count(1)
        self.route("GET", "/.well-known/ocm", lambda _: answer(200, self.discovery))
        self.route("GET", "/.well-known/jwks.json", lambda _: answer(200, self.key_set))
        self.route("POST", "/ocm/shares", lambda _: answer(201, {"recipientDisplayName": "Bob"}))
        self.route("POST", "/ocm/notifications", lambda _: answer(201))
        self.route("POST", "/ocm/token", self._token)

    def _token(self, _: Asked) -> HttpAnswer:
        return answer(200, {"access_token": f"token-{next(self.tokens)}", "token_type": "Bearer", "expires_in": 300})

    def route(self, method: str, path: str, to: Route) -> None:
        """Answer requests for this path by `to`."""
        self.network.routes[method, self.origin + path] = to

    def got(self, path: str) -> list[Asked]:
        """What came to this path by POST."""
        return [asked for asked in self.network.asked if asked.url == self.origin + path and asked.method == "POST"]

    def fetched(self, path: str) -> int:
        """How often this path was asked for by GET."""
        return self.network.urls("GET", self.host).count(self.origin + path)

    # ------------------------------------------------------------ what it sends
    def signed(self, path: str, body: bytes, *, at: float = NOW, content_type: str = "application/json") -> Request:
        """A signed POST to our server."""
        request = Request("POST", ORIGIN + path, (("content-type", content_type),), body)
        added = sign(
            request, keyid=self.kid, algorithm=self.key.algorithm, sign=self.key.sign, created=int(at), nonce=new_token()
        )
        return Request("POST", request.target_uri, (*request.headers, *added), body)

    def share(self, share_with: str = f"alice@{HOST}", *, at: float = NOW, **parts: Any) -> Request:
        """A signed Share Creation Notification of one folder."""
        owner = parse_address(parts.pop("owner", f"dora@{self.host}"))
        values: dict[str, Any] = {
            "share_with": parse_address(share_with),
            "name": "photos",
            "provider_id": "p1",
            "owner": owner,
            "sender": owner,
            "resource_type": "folder",
            "protocol": {
                "name": "webdav",
                "webdav": {"uri": f"{self.origin}/dav/ocm/p1", "sharedSecret": "s3cr3t", "permissions": ["read", "write"]},
            },
        }
        return self.signed("/ocm/shares", build_share_creation(**(values | parts)), at=at)

    def notification(self, kind: str, provider_id: str, *, at: float = NOW, details: Mapping[str, Any] | None = None) -> Request:
        """A signed notification."""
        return self.signed("/ocm/notifications", build_notification(kind, provider_id, "folder", details), at=at)

    def token_request(self, code: str, *, at: float = NOW, client: str | None = None) -> Request:
        """A signed token request."""
        body = build_token_request(code, client or self.host)
        return self.signed("/ocm/token", body, at=at, content_type="application/x-www-form-urlencoded")


# ---------------------------------------------------------------- passwords, tokens, storage
class MemoryHasher:
    """Implements `ports.PasswordHasher`; counts what argon2 would have to do."""

    def __init__(self) -> None:
        self.hashed = 0
        self.verified: list[str] = []
        self.started = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def hash(self, password: Secret) -> str:
        self.hashed += 1
        return f"{self.hashed}:{password.reveal()}"

    async def verify(self, password_hash: str, password: Secret) -> bool:
        self.verified.append(password_hash)
        self.started.set()
        if self.gate is not None:
            await self.gate.wait()
        return password_hash.partition(":")[2] == password.reveal()


class MemoryIssuer:
    """Implements `ports.TokenIssuer`."""

    def __init__(self) -> None:
        self.claims: dict[str, Mapping[str, Any]] = {}

    def issue(self, claims: Mapping[str, Any]) -> str:
        token = f"ours.{len(self.claims)}.token"
        self.claims[token] = claims
        return token

    def verify(self, token: str, now: float) -> Mapping[str, Any] | None:
        claims = self.claims.get(token)
        return claims if claims and claims["exp"] > now else None


class MemoryFile:
    """Implements `ports.OpenFile`; gives two pieces, and `fault` between them."""

    def __init__(self, entry: Entry, content: bytes, fault: Exception | None = None) -> None:
        self.entry = entry
        self.is_closed = False
        self._content = content
        self._fault = fault

    async def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        wanted = self._content[start : start + length]
        yield wanted[: len(wanted) // 2]
        if self._fault is not None:
            raise self._fault
        yield wanted[len(wanted) // 2 :]

    def fileno(self) -> int | None:
        return 7

    async def aclose(self) -> None:
        self.is_closed = True


class MemoryStorage:
    """Implements `ports.Storage`: paths -> content, None for a folder. `fault` is raised by every method, or amid a listing."""

    def __init__(self, nodes: Mapping[str, bytes | None] | None = None) -> None:
        self.nodes: dict[str, bytes | None] = {"": None, **(nodes or {})}
        self.fault: Exception | None = None
        self.fault_amid: Exception | None = None
        self.modified: dict[str, float] = {}
        self.open_lists = 0
        self.files: list[MemoryFile] = []

    def _node(self, path: str) -> bytes | None:
        if self.fault is not None:
            raise self.fault
        if path not in self.nodes:
            raise NotFound("There is no such file or folder.")
        return self.nodes[path]

    def _entry(self, path: str) -> Entry:
        content = self._node(path)
        return Entry(path, content is None, len(content or b""), self.modified.get(path, NOW), f'"{len(content or b"")}"')

    async def entry(self, path: str) -> Entry:
        return self._entry(path)

    async def list(self, path: str) -> AsyncIterator[Entry]:
        self._node(path)
        self.open_lists += 1
        try:
            for name in list(self.nodes):
                if name and name.rpartition("/")[0] == path:
                    yield self._entry(name)
                    if self.fault_amid is not None:
                        raise self.fault_amid
        finally:
            self.open_lists -= 1

    async def open(self, path: str, start: int = 0, length: int | None = None) -> OpenFile:
        entry = self._entry(path)
        self.files.append(MemoryFile(entry, self.nodes[path] or b"", self.fault_amid))
        return self.files[-1]

    async def write(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        modified_at: float | None = None,
        expected: str | None = None,
        checksum: str = "",
    ) -> tuple[Entry, bool]:
        if self.fault is not None:
            raise self.fault
        content = b"".join([chunk async for chunk in chunks])
        self._check(path, expected)
        created = path not in self.nodes
        self.nodes[path] = content
        if modified_at is not None:
            self.modified[path] = modified_at
        return self._entry(path), created

    async def make_folder(self, path: str) -> None:
        if self.fault is not None:
            raise self.fault
        if path in self.nodes:
            raise Conflict("There is something of this name.", code="exists")
        self.nodes[path] = None

    def _below(self, path: str) -> Sequence[str]:
        self._node(path)
        return [name for name in self.nodes if name == path or name.startswith(path + "/")]

    def _check(self, path: str, expected: str | None) -> None:
        if expected is not None and expected != (self._entry(path).etag if path in self.nodes else ABSENT):
            raise Changed("Somebody was faster.")

    async def remove(self, path: str, *, expected: str | None = None) -> None:
        self._check(path, expected)
        for name in self._below(path):
            del self.nodes[name]

    async def copy(self, source: str, target: str, *, replace: bool = False, children: bool = True) -> None:
        names = self._below(source) if children else [source]
        if target in self.nodes:
            if not replace:
                raise Conflict("There is something of this name.", code="exists")
            await self.remove(target)
        for name in names:
            self.nodes[target + name[len(source) :]] = self.nodes[name]
            if name in self.modified:
                self.modified[target + name[len(source) :]] = self.modified[name]

    async def move(self, source: str, target: str, *, replace: bool = False) -> None:
        await self.copy(source, target, replace=replace)
        await self.remove(source)

    async def quota(self, path: str = "") -> Quota | None:
        return Quota(sum(len(content or b"") for content in self.nodes.values()), 1 << 30)

    async def set_modified(self, path: str, at: float) -> None:
        self._node(path)
        self.modified[path] = at


@dataclass
class MemoryHomes:
    """The trees of our users."""

    trees: dict[int, MemoryStorage] = field(default_factory=dict)

    def __call__(self, user: User) -> MemoryStorage:
        return self.trees.setdefault(user.id, MemoryStorage({"notes": None, "notes/a.txt": b"alpha", "b.txt": b"beta"}))
