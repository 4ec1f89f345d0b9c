"""The web layer over services in memory, asked in process over ASGI."""

import dataclasses
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.directory_service import Directory, ListedServer
from opencloudmesh.protocol.discovery import Discovery, OwnOffer, build_discovery, parse_discovery
from opencloudmesh.protocol.errors import Conflict, NotFound, OCMError, PeerUnreachable, Unauthorized
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.protocol.share_creation import build_share_creation_answer, parse_share_creation
from opencloudmesh.services.callers import current_caller
from opencloudmesh.services.delivery import NextTry
from opencloudmesh.services.directories import DirectoryStatus
from opencloudmesh.services.reconciliation import Line, Place
from opencloudmesh.services.records import AppPassword, Delivery, DeliveryAttempt, IncomingShare, OutgoingShare, Secret, User
from opencloudmesh.services.servers_to_choose import Choice, SearchableServers
from opencloudmesh.services.share_reception import Senders
from opencloudmesh.web.app import build_app
from opencloudmesh.web.ocm_api import CachedDocument, DiscoveryDocument
from opencloudmesh.web.pages import build_pages
from tests.web.memory_exchanges import MemoryExchanges
from tests.web.memory_files import MemoryTrees
from tests.web.memory_invites import MemoryContactCards, MemoryContactRemoval, MemoryContacts, MemoryInvites
from tests.web.memory_own_keys import MemoryOwnKeys
from tests.web.memory_requests import MemoryRequestLinks, MemoryRequestReception, MemorySending
from tests.web.memory_trust import MemoryTrust
from tests.web.visitor import Visitor

ORIGIN = "https://cloud.example.org"
DISCOVERY = build_discovery(OwnOffer(origin=ORIGIN, provider="test"))
JWKS = {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "cloud.example.org#1", "x": "AA", "alg": "EdDSA", "use": "sig"}]}
NOW = 1_800_000_000.0


# ---------------------------------------------------------------- asking
@dataclass(frozen=True)
class Answered:
    """A whole answer; header names as they were sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The one value of a header; None without."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} twice"
        return values[0] if values else None


async def ask(
    app: Any,
    method: str,
    path: str,
    *,
    body: bytes | Sequence[bytes] = b"",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    raw_path: str | None = None,
    query: str = "",
    root_path: str = "",
    gone: bool = False,
) -> Answered | None:
    """One exchange. A body in several parts has no Content-Length; `gone`: the client leaves before its end; None: no answer."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    parts = [body] if isinstance(body, bytes) else list(body)
    if isinstance(body, bytes) and body and not any(name == "content-length" for name, _ in pairs):
        pairs.append(("content-length", str(len(body))))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": (raw_path or path).encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": root_path,
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    last = len(parts) - 1
    incoming = [{"type": "http.request", "body": part, "more_body": gone or i < last} for i, part in enumerate(parts)]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return _answered(sent)


def _answered(sent: list[dict[str, Any]]) -> Answered | None:
    if not sent:
        return None
    assert [message["type"] for message in sent] == ["http.response.start", *["http.response.body"] * (len(sent) - 1)]
    assert not sent[-1].get("more_body", False)
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in sent[0]["headers"]]
    return Answered(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))


# ---------------------------------------------------------------- services
@dataclass
class MemoryReception:
    """Takes whatever the protocol parses; keeps the requests, or raises what it is told to."""

    stored: list[Request] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    error: Exception | None = None

    async def receive(self, request: Request) -> dict[str, Any]:
        self.asked.append(request)
        if self.error:
            raise self.error
        parse_share_creation(request.body)
        self.stored.append(request)
        return build_share_creation_answer("Bob", "bob")


@dataclass
class MemoryMessages:
    """Notifications and token requests: answers what it is told to, and keeps what it was asked."""

    answer: dict[str, Any] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    error: Exception | None = None

    async def receive(self, request: Request) -> dict[str, Any]:
        self.asked.append(request)
        if self.error:
            raise self.error
        return self.answer

    issue = receive


class MemoryAccounts:
    """`app_passwords` of alice, who is the only user."""

    def __init__(self) -> None:
        self.app_passwords: dict[int, AppPassword] = {}
        self.user = User(1, "alice", "Alice A.", "", False, NOW)
        self.sessions: set[str] = set()
        self.devices: list[str] = []
        self._count = 0

    def known_device(self, name: str) -> Secret | None:
        return Secret(f"device of {name}")

    async def login(self, name: str, password: Secret, device: Secret | None = None) -> tuple[User, Secret, float]:
        self.devices.append(device.reveal() if device else "")
        if (name, password.reveal()) != ("alice", "wonderland"):
            raise Unauthorized("The user name or the password is wrong.", code="wrong-password")
        self._count += 1
        token = f"token{self._count}"
        self.sessions.add(token)
        return self.user, Secret(token), NOW + 3600

    async def logout(self, token: Secret) -> None:
        self.sessions.discard(token.reveal())

    async def user_of_token(self, token: Secret) -> User:
        if token.reveal() not in self.sessions:
            raise Unauthorized("The session has ended or never was.", code="session-expired", hint="Log in again: ocm login")
        return self.user

    async def user_of_app_password(self, name: str, password: Secret) -> User:
        if name != "alice" or password.reveal() not in {f"ocm-{number}" for number in self.app_passwords}:
            raise Unauthorized("The user name or the password is wrong.", code="wrong-password")
        return self.user

    async def create(self, user: User, name: str) -> tuple[AppPassword, Secret]:
        self._count += 1
        self.app_passwords[self._count] = AppPassword(self._count, user.id, name, NOW, None)
        return self.app_passwords[self._count], Secret(f"ocm-{self._count}")

    async def of_user(self, user: User) -> Sequence[AppPassword]:
        return list(self.app_passwords.values())

    async def revoke(self, user: User, app_password_id: int) -> None:
        if self.app_passwords.pop(app_password_id, None) is None:
            raise NotFound("There is no such app password.", code="app-password-unknown")


@dataclass
class MemoryPeers:
    documents: dict[str, Discovery] = field(default_factory=dict)
    error: OCMError | None = None
    everywhere: Discovery | None = None
    limited: list[bool] = field(default_factory=list)
    """Of each look, whether it counts as one that a stranger causes."""

    async def discover(self, host: str, *, fresh: bool = False) -> Discovery:
        self.limited.append(current_caller.get().is_peer)
        if self.error:
            raise self.error
        if self.everywhere:
            return self.everywhere
        if host not in self.documents:
            raise PeerUnreachable(f"There is no server named {host}.", code="dns")
        return self.documents[host]


@dataclass
class MemoryShareCreation:
    """Shares what is in `paths`, or anything where that is None, with any address that the protocol takes."""

    paths: tuple[str, ...] | None = ("Reports",)
    kept: dict[int, OutgoingShare] = field(default_factory=dict)
    error: Exception | None = None
    same: int = 0
    """The share that what is given now is."""

    async def create(
        self, user: User, *, path: str, share_with: str, permissions: tuple[str, ...], expires_at: float | None
    ) -> tuple[OutgoingShare, bool]:
        if self.error:
            raise self.error
        if self.same:
            return self.kept[self.same], False
        recipient = parse_address(share_with)
        if self.paths is not None and path not in self.paths:
            raise NotFound("There is no such file or folder.", code="not-found")
        number = len(self.kept) + 1
        self.kept[number] = OutgoingShare(
            id=number,
            provider_id=f"p{number}",
            user_id=user.id,
            owner="alice@cloud.example.org",
            sender_display_name=user.display_name,
            path=path,
            name=path,
            resource_type="folder",
            share_with=share_with,
            peer=recipient.host,
            permissions=permissions,
            requirements=None,
            secret=Secret("the-shared-secret"),
            expires_at=expires_at,
            state="sent",
            reason="",
            created_at=NOW,
            changed_at=NOW,
        )
        return self.kept[number], True

    async def shares(self, user: User, *, after_id: int = 0, limit: int = 1000) -> list[OutgoingShare]:
        return [share for number, share in sorted(self.kept.items()) if number > after_id][:limit]

    async def share(self, user: User, share_id: int) -> OutgoingShare:
        return _found(self.kept, share_id)

    async def unshare(self, user: User, share_id: int) -> OutgoingShare:
        self.kept[share_id] = dataclasses.replace(_found(self.kept, share_id), state="revoked")
        return self.kept[share_id]


def incoming_share(number: int, state: str = "pending") -> IncomingShare:
    return IncomingShare(
        id=number,
        user_id=1,
        peer="peer.example.org",
        provider_id=f"r{number}",
        owner="bob@peer.example.org",
        sender="bob@peer.example.org",
        owner_display_name="Bob",
        sender_display_name="Bob",
        recipient="alice",
        share_type="user",
        resource_type="folder",
        name="Plans",
        description="",
        mount_name=f"Plans {number}",
        permissions=("read",),
        protocol={"webdav": {"sharedSecret": "the-shared-secret"}},
        expires_at=None,
        state=state,
        reason="",
        unavailable_since=None,
        created_at=NOW,
        changed_at=NOW,
    )


class MemoryShareReception(MemoryReception):
    """The recipient's side too: one pending and one revoked share."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = {1: incoming_share(1), 2: incoming_share(2, "revoked")}
        self.known: set[str] = set()

    async def inbox(self, user: User, *, unknown: bool = False, after_id: int = 0, limit: int = 1000) -> list[IncomingShare]:
        found = [share for number, share in sorted(self.kept.items()) if number > after_id and share.quarantined == unknown]
        return found[:limit]

    async def senders(self, user: User, shares: Sequence[IncomingShare]) -> Senders:
        return Senders(frozenset(self.known), sum(share.quarantined for share in self.kept.values()))

    async def incoming(self, user: User, share_id: int) -> IncomingShare:
        return _found(self.kept, share_id)

    async def accept(self, user: User, share_id: int) -> IncomingShare:
        return self._to(share_id, "accepted")

    async def decline(self, user: User, share_id: int) -> IncomingShare:
        return self._to(share_id, "declined")

    async def leave(self, user: User, share_id: int) -> IncomingShare:
        return self._to(share_id, "left")

    def _to(self, share_id: int, state: str) -> IncomingShare:
        if _found(self.kept, share_id).state == "revoked":
            raise Conflict("The share was taken back.", code="share-revoked")
        self.kept[share_id] = dataclasses.replace(self.kept[share_id], state=state)
        return self.kept[share_id]


def delivery(number: int, state: str) -> Delivery:
    return Delivery(
        id=number,
        peer="peer.example.org",
        kind="SHARE_CREATION",
        user_id=1,
        outgoing_share_id=number,
        incoming_share_id=None,
        state=state,
        attempts=1,
        due_at=NOW,
        expires_at=NOW + 9,
        lease="",
        lease_until=0.0,
        reason="tcp-refused",
        detail="connection refused",
        http_status=0,
        created_at=NOW,
        changed_at=NOW,
    )


class MemoryDeliveries:
    """One queued, one done."""

    def __init__(self) -> None:
        self.kept = {1: delivery(1, "queued"), 2: delivery(2, "done")}
        self.looked_at: list[str] = []
        self.peer_deals = self.looked_at.append

    async def of_user(
        self, user: User, *, peer: str | None = None, failed: bool = False, after_id: int = 0, limit: int = 1000
    ) -> list[Delivery]:
        kept = [found for number, found in sorted(self.kept.items()) if number > after_id and peer in (None, found.peer)]
        return [found for found in kept if not failed or found.state != "done"][:limit]

    async def of_id(self, user: User, delivery_id: int) -> Delivery:
        return _found(self.kept, delivery_id)

    def next_try(self, delivery: Delivery) -> NextTry | None:
        return NextTry(NOW + 60, "breaker-open", NOW, "tcp-timeout") if delivery.state == "queued" else None

    async def attempts(self, user: User, delivery_id: int) -> list[DeliveryAttempt]:
        _found(self.kept, delivery_id)
        return [DeliveryAttempt(delivery_id, NOW, 0.25, "tcp-refused", "connection refused", 0)]

    async def retry(self, user: User, delivery_id: int) -> Delivery:
        return self._open(delivery_id, "queued")

    async def retry_all(self, user: User, peer: str) -> int:
        return sum(found.peer == peer and found.state != "done" for found in self.kept.values())

    async def cancel(self, user: User, delivery_id: int) -> Delivery:
        return self._open(delivery_id, "dead")

    def _open(self, delivery_id: int, state: str) -> Delivery:
        if _found(self.kept, delivery_id).state == "done":
            raise Conflict("This message was delivered already.", code="delivery-done")
        self.kept[delivery_id] = dataclasses.replace(self.kept[delivery_id], state=state)
        return self.kept[delivery_id]


class MemoryRepair:
    """A page of each kind of shares."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def page(self, user: User, **wanted: Any) -> tuple[list[Line], Place | None]:
        self.asked.append(wanted)
        if wanted["after"].direction == "given":
            return [Line("given", 1, "Reports", "peer.example.org", "bob@peer.example.org", "sent", "taken", "announce")], Place(
                "received"
            )
        return [Line("received", 2, "photos", "peer.example.org", "bob@peer.example.org", "accepted", "ok", "")], None


def _found(kept: Mapping[int, Any], number: int) -> Any:
    if number not in kept:
        raise NotFound("There is no such thing.", code="share-unknown")
    return kept[number]


class MemoryInviteFlow(MemoryInvites, MemoryMessages):
    """For users and for peers."""

    def __init__(self) -> None:
        MemoryMessages.__init__(self, {"userID": "identifier", "email": "", "name": "Alice"})
        MemoryInvites.__init__(self)


class MemoryDirectories:
    """One directory that is read, and one that is down."""

    def __init__(self) -> None:
        self.looks = 0
        used = Directory("Campus", (ListedServer("one.example.org", "https://one.example.org", "One"),), "directory#1", 1.7e9)
        self.known = [
            DirectoryStatus("https://directory.example.org/list", used, 1.8e9, 1.8e9),
            DirectoryStatus("https://down.example.org/list", None, 0.0, 1.8e9, "tcp-refused", "It is down. Try again."),
        ]

    def status(self) -> list[DirectoryStatus]:
        return self.known

    async def refresh_all(self) -> list[DirectoryStatus]:
        self.looks += 1
        return self.known


# ---------------------------------------------------------------- the app over them
class MemoryServer:
    """The whole app; it is its own bundle of services."""

    def __init__(self, **options: Any) -> None:
        self.accounts = self.app_passwords = MemoryAccounts()
        self.peers = MemoryPeers({"peer.example.org": parse_discovery(json.dumps(PEER_DOCUMENT).encode())})
        self.share_creation = MemoryShareCreation()
        self.share_reception = MemoryShareReception()
        self.notifications = MemoryMessages()
        self.code_flow = MemoryMessages({"access_token": "t", "token_type": "Bearer", "expires_in": 300})
        self.deliveries = MemoryDeliveries()
        self.invite_flow = MemoryInviteFlow()
        self.contacts = MemoryContacts()
        self.contact_cards = MemoryContactCards()
        self.request_sending = MemorySending()
        self.request_reception = MemoryRequestReception()
        self.request_links = MemoryRequestLinks()
        self.contact_removal = MemoryContactRemoval(self.contacts)
        self.repair = MemoryRepair()
        self.exchanges = MemoryExchanges()
        self.own_keys = MemoryOwnKeys()
        self.directories = MemoryDirectories()
        self.registry = self.trust_decisions = MemoryTrust()
        self.user_trees = MemoryTrees({"Reports": None, "Reports/2026.txt": 1536, "Shared with me": None})
        self.known_servers = [ListedServer("peer.example.org", "https://peer.example.org", "The <i>Peer</i>")]
        self.met_servers: list[ListedServer] = []
        self.is_ready: bool | Exception = True
        self.mounted: list[dict[str, Any]] = []
        self.app = build_app(
            ocm=self,
            users=self,
            mounts=[("/dav/ocm", self._dav), ("/dav/files", self._dav)],
            origin=ORIGIN,
            discovery=DiscoveryDocument(DISCOVERY),
            jwks=CachedDocument(JWKS),
            ready=self._ready,
            pages=partial(
                build_pages,
                origin=ORIGIN,
                new_token=lambda: "0" * 32,
                known_servers=self._known_servers,
                files_app=self.user_trees.send,
            ),
            **options,
        )

    async def _known_servers(self, sought: str, /, *, limit: int, invited: bool) -> Choice:
        return SearchableServers([*self.known_servers, *(self.met_servers if invited else ())]).find(sought, limit=limit)

    async def _ready(self) -> bool:
        if isinstance(self.is_ready, Exception):
            raise self.is_ready
        return self.is_ready

    async def _dav(self, scope: Any, receive: Any, send: Any) -> None:
        self.mounted.append(scope)
        if scope["path"].endswith("/broken"):
            raise RuntimeError("secret detail")
        await send({"type": "http.response.start", "status": 207, "headers": [(b"dav", b"1")]})
        if scope["path"].endswith("/half"):
            raise RuntimeError("secret detail")
        await send({"type": "http.response.body", "body": b"<multistatus/>"})

    async def ask(self, method: str, path: str, **options: Any) -> Answered:
        answered = await ask(self.app, method, path, **options)
        assert answered is not None
        return answered

    async def call(self, method: str, path: str, payload: Any = None, *, token: str | None = None, query: str = "") -> Answered:
        """One exchange of the user API, logged in unless `token` is given."""
        if token is None:
            token = (await self.accounts.login("alice", Secret("wonderland")))[1].reveal()
        headers = {"authorization": f"Bearer {token}"} if token else {}
        body = b""
        if payload is not None:
            body, headers["content-type"] = json.dumps(payload).encode(), "application/json"
        return await self.ask(method, f"/api/v1{path}", body=body, headers=headers, query=query)


PEER_DOCUMENT = {
    "enabled": True,
    "apiVersion": "1.4.0",
    "endPoint": "https://peer.example.org/ocm",
    "provider": "Peer",
    "resourceTypes": [
        {"name": "file", "shareTypes": ["user"], "protocols": {"webdav": "/dav/", "webdav-receive": {"uri": "absolute"}}}
    ],
    "capabilities": ["notifications", "http-sig"],
    "criteria": ["must-use-http-sig"],
    "tokenEndPoint": "https://peer.example.org/ocm/token",
}


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture(scope="session")
def server_with() -> Callable[..., MemoryServer]:
    """A server built with other options."""
    return MemoryServer


@pytest.fixture
def ask_app() -> Callable[..., Awaitable[Answered | None]]:
    """Ask any ASGI app, one that may not answer too."""
    return ask


@pytest.fixture
def visitor(server: MemoryServer) -> Visitor:
    """Somebody at a browser."""
    return Visitor(server)


@pytest.fixture
async def alice(visitor: Visitor) -> Visitor:
    """Alice at a browser, logged in, looking at her contacts."""
    answer = await visitor.log_in()
    assert (answer.status, answer.header("location")) == (303, "/contacts")
    await visitor.ask("GET", "/contacts")
    return visitor
