"""Access to what was shared, from both sides, and the user's tree of own and received files."""

import asyncio
import base64
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from opencloudmesh.protocol.errors import (
    AccessDenied,
    Changed,
    Conflict,
    Forbidden,
    InvalidInput,
    Locked,
    NotFound,
    OCMError,
    PeerRefused,
    PeerUnreachable,
    TemporarilyUnavailable,
    Unauthorized,
)
from opencloudmesh.services.accounts import Accounts
from opencloudmesh.services.availability import Marks, SeenRoots
from opencloudmesh.services.delivery import OnlyProcess
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.ports import DavTree, Entry, Name, OpenFile, PropertyChange, Storage, WantedLock
from opencloudmesh.services.records import IncomingShare, OutgoingShare, Secret, UnfinishedFolder, User
from opencloudmesh.services.resource_access import ReceivedShares, SharedTrees, UserTrees, may_be_remembered
from opencloudmesh.services.resource_access.closing import closing
from opencloudmesh.services.resource_access.credentials import Basic, Bearer, parse_authorization
from opencloudmesh.services.resource_access.subtree import Subtree
from opencloudmesh.services.tree_state import TreeStates
from opencloudmesh.webdav.properties import remembered_as
from tests.services.home import Home
from tests.services.queue import MemoryProcesses
from tests.services.remote import SimulatedRemote, got, webdav
from tests.services.world import (
    NOW,
    MemoryHasher,
    MemoryStorage,
    SimulatedNetwork,
    SimulatedServer,
    SimulatedTime,
    answer,
    new_token,
)

READ, WRITE = ("GET", "HEAD", "OPTIONS", "PROPFIND"), ("PUT", "MKCOL", "DELETE", "COPY", "MOVE", "PROPPATCH")


def basic(name: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


async def names(storage: Storage, path: str) -> list[str]:
    return sorted([entry.path async for entry in storage.list(path)])


async def content(opened: OpenFile) -> bytes:
    return b"".join([chunk async for chunk in opened.chunks(0, opened.entry.size)])


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


# ---------------------------------------------------------------- credentials
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Digest x", None),
        ("Basic !", None),
        ("Basic /w==", None),
        ("Bearer " + "x" * 9000, None),
        ("bearer  abc ", Bearer(Secret("abc"))),
        (basic("a", "b:c"), Basic("a", Secret("b:c"))),
        ("Basic " + base64.b64encode(b"a").decode(), Basic("a", Secret(""))),
    ],
)
def test_reading_the_header(value: str | None, expected: Bearer | Basic | None) -> None:
    assert parse_authorization(value) == expected


def test_credentials_are_not_shown() -> None:
    assert "hush" not in repr(parse_authorization("Bearer hush")) + repr(parse_authorization(basic("a", "hush")))


# ---------------------------------------------------------------- what we shared
@pytest.fixture
def shared(home: Home) -> SharedTrees:
    return SharedTrees(
        database=home.database,
        peers=home.peers,
        code_flow=home.code_flow,
        storage_for=home.homes,
        states=TreeStates(home.database, home.time, new_token),
        clock=home.time,
    )


@pytest.fixture
async def given(home: Home, away: SimulatedServer, alice: User) -> OutgoingShare:
    """alice's notes, to read, to be reached by a token."""
    made, _ = await home.creation.create(alice, path="notes", share_with="bob@away.example", expires_at=NOW + 200)
    await home.settle()
    return await home.outgoing(made.id)


@pytest.fixture
async def open_share(home: Home, away: SimulatedServer, alice: User) -> OutgoingShare:
    """alice's notes, to write, to a server without exchange."""
    away.discovery["capabilities"] = []
    made, _ = await home.creation.create(alice, path="notes", share_with="erik@away.example", permissions=["write"])
    await home.settle()
    return await home.outgoing(made.id)


async def token_for(home: Home, away: SimulatedServer, share: OutgoingShare) -> str:
    told = await home.code_flow.issue(away.token_request(share.secret.reveal()))
    return f"Bearer {told['access_token']}"


async def refused(ask: Awaitable[object], code: str, fault: type[OCMError] = Unauthorized) -> None:
    with pytest.raises(fault) as refusal:
        await ask
    assert refusal.value.code == code


@pytest.mark.spec("ACC-8", "ACC-9")
async def test_a_token_opens_its_share_and_nothing_beside(
    home: Home, shared: SharedTrees, away: SimulatedServer, given: OutgoingShare, alice: User
) -> None:
    token = await token_for(home, away, given)
    tree = await shared.resolve(given.provider_id, token)
    assert await names(tree.storage, "") == ["a.txt"]
    assert await content(await tree.storage.open("a.txt")) == b"alpha"
    for path in ("../b.txt", "a/../../b.txt", "/b.txt", "a//b", "."):
        await refused(tree.storage.entry(path), "path-refused", AccessDenied)
    for method in READ:
        tree.may(method, "a.txt")
    for method in WRITE:
        with pytest.raises(AccessDenied) as refusal:
            tree.may(method, "a.txt")
        assert refusal.value.code == "read-only"


async def test_unknown_shares_wrong_secrets_and_other_tokens_look_alike(
    home: Home, shared: SharedTrees, away: SimulatedServer, given: OutgoingShare, open_share: OutgoingShare
) -> None:
    other = await token_for(home, away, given)
    told = set()
    for provider_id, authorization in (
        ("unknown", other),
        (open_share.provider_id, None),
        (open_share.provider_id, other),
        (open_share.provider_id, "Bearer wrong"),
        (open_share.provider_id, "Bearer a.b.c"),
        (open_share.provider_id, "Bearer \ud800"),
        (open_share.provider_id, basic("", "")),
        (open_share.provider_id, f"Bearer {given.secret.reveal()}"),
        (given.provider_id, f"Bearer {given.secret.reveal()}"),
        (given.provider_id, basic(given.secret.reveal())),
    ):
        with pytest.raises(Unauthorized) as refusal:
            await shared.resolve(provider_id, authorization)
        told.add((refusal.value.code, refusal.value.sentence))
    assert len(told) == 1


@pytest.mark.spec("ACC-9")
async def test_the_secret_opens_only_where_no_exchange_is_demanded(shared: SharedTrees, open_share: OutgoingShare) -> None:
    secret = open_share.secret.reveal()
    for authorization in (f"Bearer {secret}", basic(secret), basic(secret, "ignored"), basic("", secret)):
        tree = await shared.resolve(open_share.provider_id, authorization)
        for method in (*READ, *WRITE):
            tree.may(method, "a.txt")
        with pytest.raises(AccessDenied):
            tree.may("DELETE", "")


async def test_who_opens_a_share_shows_that_its_server_is_there(
    home: Home, away: SimulatedServer, alice: User, shared: SharedTrees, open_share: OutgoingShare
) -> None:
    away.network.down.add(away.host)
    waiting, _ = await home.creation.create(alice, path="notes", share_with="carol@away.example")
    await home.settle()
    assert (await home.outgoing(waiting.id)).state == "pending"
    away.network.down.clear()
    heard: list[str] = []
    home.peers.on_contact.append(heard.append)
    for _ in range(3):
        await shared.resolve(open_share.provider_id, f"Bearer {open_share.secret.reveal()}")
    await home.settle()
    assert (await home.outgoing(waiting.id)).state == "sent"
    assert heard == [away.host], "once in some seconds"


async def test_the_end_of_a_share_is_told_to_who_still_has_its_secret_and_to_nobody_else(
    home: Home, alice: User, shared: SharedTrees, open_share: OutgoingShare
) -> None:
    asked: list[tuple[int, str]] = []

    async def refused_to(share: OutgoingShare) -> None:
        asked.append((share.id, share.state))

    home.code_flow.on_refused = refused_to
    secret = open_share.secret.reveal()
    await shared.resolve(open_share.provider_id, f"Bearer {secret}")
    await home.creation.unshare(alice, open_share.id)
    for wrong in (f"Bearer {secret}x", basic("carol"), None):
        await refused(shared.resolve(open_share.provider_id, wrong), "token-invalid", Unauthorized)
    assert asked == []
    await shared.resolve(open_share.provider_id, f"Bearer {secret}")
    assert asked == [(open_share.id, "revoked")]


async def test_before_the_requirements_are_decided_no_secret_opens(
    home: Home, shared: SharedTrees, network: SimulatedNetwork, alice: User
) -> None:
    made, _ = await home.creation.create(alice, path="notes", share_with="bob@nowhere.example")
    await refused(shared.resolve(made.provider_id, f"Bearer {made.secret.reveal()}"), "token-invalid")


@pytest.mark.spec("ACC-9", "SHARE-19", "NOTIF-5")
async def test_a_token_issued_before_does_not_outlive_the_share(
    home: Home, shared: SharedTrees, away: SimulatedServer, given: OutgoingShare, alice: User, time: SimulatedTime
) -> None:
    token = await token_for(home, away, given)
    tree = await shared.resolve(given.provider_id, token)
    time.advance(199)
    tree.may("GET", "a.txt")
    time.advance(1)
    with pytest.raises(AccessDenied) as expired:
        tree.may("GET", "a.txt")
    assert expired.value.code == "share-expired", "swept or not"
    time.now = NOW
    await home.creation.unshare(alice, given.id)
    tree = await shared.resolve(given.provider_id, token)
    with pytest.raises(AccessDenied) as revoked:
        tree.may("GET", "a.txt")
    assert revoked.value.code == "share-revoked"
    time.advance(300)
    await refused(shared.resolve(given.provider_id, token), "token-invalid")


async def test_a_denied_server_is_told_so_where_its_credentials_are_right(
    home: Home, shared: SharedTrees, away: SimulatedServer, given: OutgoingShare
) -> None:
    token = await token_for(home, away, given)
    tree = await shared.resolve(given.provider_id, token)
    home.peers.trust = TrustBook.configured(denylist=(away.host,))
    await refused(shared.resolve(given.provider_id, token), "policy-denied")
    assert tree.may_still is not None
    await refused(tree.may_still("PUT", "a.txt"), "policy-denied")
    await refused(shared.resolve(given.provider_id, "Bearer a.b.c"), "token-invalid")
    await refused(shared.resolve("another", token), "token-invalid")


async def test_a_disabled_user_shares_nothing(
    home: Home, shared: SharedTrees, away: SimulatedServer, given: OutgoingShare, alice: User
) -> None:
    token = await token_for(home, away, given)
    await home.database.write(lambda tx: tx.users.set_disabled(alice.id, True))
    await refused(shared.resolve(given.provider_id, token), "token-invalid")


async def test_a_subtree_does_all_that_a_tree_does() -> None:
    whole = MemoryStorage({"notes": None, "notes/a.txt": b"alpha", "b.txt": b"beta"})
    tree = Subtree(whole, "notes")
    assert (await tree.entry("")).path == ""
    assert (await tree.entry("a.txt")).path == "a.txt"
    assert await tree.write("c.txt", pieces(b"c"), size=1) == (Entry("c.txt", False, 1, NOW, '"1"'), True)
    await tree.make_folder("d")
    await tree.copy("c.txt", "d/c.txt")
    await tree.move("c.txt", "e.txt")
    await tree.set_modified("e.txt", 5.0)
    await tree.remove("d")
    assert await names(tree, "") == ["a.txt", "e.txt"]
    assert set(whole.nodes) == {"", "notes", "notes/a.txt", "notes/e.txt", "b.txt"}
    assert whole.modified == {"notes/e.txt": 5.0}


async def test_who_stops_reading_a_listing_closes_it() -> None:
    whole = MemoryStorage({"notes": None, "notes/a.txt": b"", "notes/b.txt": b""})
    async with closing(Subtree(whole, "notes").list("")) as entries:
        await anext(aiter(entries))
        assert whole.open_lists == 1
    assert whole.open_lists == 0
    async with closing(aiter_without_aclose()):
        pass


def aiter_without_aclose() -> AsyncIterator[int]:
    class Endless:
        def __aiter__(self) -> "Endless":
            return self

        async def __anext__(self) -> int:
            return 1

    return Endless()


# ---------------------------------------------------------------- what we received
@pytest.fixture
def remote() -> SimulatedRemote:
    return SimulatedRemote()


@pytest.fixture
def received(home: Home, remote: SimulatedRemote, network: SimulatedNetwork) -> ReceivedShares:
    return ReceivedShares(
        marks=Marks(database=home.database, clock=home.time),
        seen=SeenRoots(home.database),
        peers=home.peers,
        code_flow=home.code_flow,
        remote_tree_for=remote,
        clock=home.time,
        origin_of=network.origin_of,
    )


@pytest.mark.spec("ACC-1", "ACC-2", "ACC-5")
async def test_the_plan_is_carried_out_and_remembered(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote
) -> None:
    share = await got(home, away, alice, protocol=webdav("must-exchange-token"))
    away.network.asked.clear()
    for _ in range(4):
        tree = (await received.open(share)).storage
        assert (await tree.entry("a.txt")).size == 5
        assert await content(await tree.open("a.txt")) == b"alpha"
    assert set(remote.urls) == {"https://away.example/dav/ocm/p1"}
    assert remote.sent == ["Bearer token-1"] * 8
    assert away.network.urls() == ["https://away.example/ocm/token"], "in the steady state nothing else is asked"


@pytest.mark.spec("ACC-2")
async def test_a_demanded_exchange_has_no_way_round(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote
) -> None:
    share = await got(home, away, alice, protocol=webdav("must-exchange-token"))
    away.route("POST", "/ocm/token", lambda _: answer(400, {"error": "invalid_grant"}))
    tree = (await received.open(share)).storage
    for _ in range(2):
        await refused(tree.entry("a.txt"), "token-refused", PeerRefused)
    assert remote.sent == []


@pytest.mark.spec("ACC-3")
async def test_an_exchange_that_is_only_on_offer_is_tried_now_and_then(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote, time: SimulatedTime
) -> None:
    share = await got(home, away, alice, protocol=webdav())
    away.route("POST", "/ocm/token", lambda _: answer(400, {"error": "invalid_grant"}))
    for _ in range(3):
        await (await received.open(share)).storage.entry("a.txt")
    assert remote.sent == ["Bearer s3cr3t"] * 3
    assert len(away.got("/ocm/token")) == 1
    remote.refuses = {"Bearer s3cr3t"}
    away.route("POST", "/ocm/token", away._token)
    await (await received.open(share)).storage.entry("a.txt")
    assert remote.sent[-2:] == ["Bearer s3cr3t", "Bearer token-1"], "where the secret does not open, at once"
    time.advance(61)
    await (await received.open(share)).storage.entry("a.txt")
    assert remote.sent[-1] == "Bearer token-1"


async def test_where_the_token_endpoint_cannot_be_reached_the_secret_is_tried(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote, network: SimulatedNetwork
) -> None:
    share = await got(home, away, alice, protocol=webdav())
    tree = (await received.open(share)).storage
    network.down.add(away.host)
    await tree.entry("a.txt")
    network.down.clear()
    await tree.entry("a.txt")
    assert remote.sent == ["Bearer s3cr3t", "Bearer token-1"]


async def test_a_token_that_is_refused_is_renewed_once(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote
) -> None:
    share = await got(home, away, alice, protocol=webdav("must-exchange-token"))
    trees = [(await received.open(share)).storage for _ in range(3)]
    for tree in trees:
        await tree.entry("")
    remote.refuses = {"Bearer token-1"}
    for tree in trees:
        await tree.entry("")
    assert len(away.got("/ocm/token")) == 2
    remote.refuses = {"Bearer token-2", "Bearer token-3"}
    await refused(trees[0].entry(""), "http-401", PeerRefused)


async def test_a_token_endpoint_that_moved_is_found(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote
) -> None:
    share = await got(home, away, alice, protocol=webdav("must-exchange-token"))
    tree = (await received.open(share)).storage
    away.route("POST", "/ocm/token", lambda _: answer(404))
    await refused(tree.entry(""), "token-refused", PeerRefused)
    away.discovery["tokenEndPoint"] = "https://away.example/new/token"
    away.route("POST", "/new/token", away._token)
    await tree.entry("")
    assert remote.sent == ["Bearer token-1"]
    await (await received.open(share)).storage.entry("")
    assert len(away.got("/new/token")) == 1


@pytest.mark.spec("ACC-5", "ACC-6")
async def test_without_an_exchange_on_offer_the_secret_goes(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote
) -> None:
    away.discovery["capabilities"] = []
    del away.discovery["tokenEndPoint"]
    absolute = webdav(uri="https://files.away.example/x/y")
    await (await received.open(await got(home, away, alice, protocol=absolute))).storage.entry("")
    legacy = {"name": "webdav", "options": {"sharedSecret": "0ld"}}
    await (await received.open(await got(home, away, alice, provider_id="p2", protocol=legacy))).storage.entry("")
    assert remote.urls == ["https://files.away.example/x/y", "https://away.example/dav/ocm/"]
    assert remote.sent == ["Bearer s3cr3t", basic("0ld")]


@pytest.mark.spec("ACC-4", "MFA-1")
async def test_a_second_factor_is_not_ours_to_give(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote
) -> None:
    share = await got(home, away, alice)
    protocol = webdav("must-use-mfa")
    object.__setattr__(share, "protocol", protocol)
    await refused(received.open(share), "mfa-required", AccessDenied)
    assert remote.urls == []


async def test_what_is_remembered_is_bounded(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opencloudmesh.services.resource_access.received._MAX_PLANS", 2)
    for number in range(4):
        await (await received.open(await got(home, away, alice, provider_id=f"q{number}"))).storage.entry("")
    assert len(received._plans) == 2


# ---------------------------------------------------------------- unavailable
DOWN = PeerUnreachable("away.example cannot be reached.", code="idle-timeout")
BROKEN = PeerRefused("The other server answered 503.", code="http-503", status=503)


async def drain(tree: Storage) -> None:
    assert [entry async for entry in tree.list("")]


async def read(tree: Storage) -> None:
    opened = await tree.open("a.txt")
    try:
        assert opened.fileno() == 7
        await content(opened)
    finally:
        await opened.aclose()


ACTS: dict[str, Callable[[Storage], Awaitable[object]]] = {
    "entry": lambda tree: tree.entry("a.txt"),
    "list": drain,
    "read": read,
    "write": lambda tree: tree.write("n.txt", pieces(b"n"), size=1),
    "make_folder": lambda tree: tree.make_folder("new"),
    "copy": lambda tree: tree.copy("a.txt", "c.txt"),
    "move": lambda tree: tree.move("a.txt", "m.txt"),
    "set_modified": lambda tree: tree.set_modified("a.txt", 1.0),
    "remove": lambda tree: tree.remove("sub"),
}


@pytest.mark.parametrize("fault", [DOWN, BROKEN])
@pytest.mark.parametrize("act", list(ACTS))
async def test_whatever_fails_marks_the_share_and_whatever_works_clears_it(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote, act: str, fault: OCMError
) -> None:
    share = await got(home, away, alice)
    tree = (await received.open(share)).storage
    remote.storage.fault = fault
    with pytest.raises(type(fault)):
        await ACTS[act](tree)
    found = await home.incoming(share.id)
    assert (found.unavailable_since, found.state) == (NOW, "accepted"), "down is not gone"
    remote.storage.fault = None
    await ACTS[act](tree)
    assert (await home.incoming(share.id)).unavailable_since is None


async def test_a_denial_is_the_reason_though_the_server_is_away_too(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote
) -> None:
    share = await got(home, away, alice)
    with may_be_remembered():
        tree = (await received.open(share)).storage
        assert [entry.path async for entry in tree.list((await tree.entry("")).path)]
    await received.marks.peer_away(away.host, "idle-timeout")
    home.peers.trust = TrustBook.configured(denylist=(away.host,))
    await refused(received.open(share), "policy-denied", Forbidden)
    with may_be_remembered():
        await refused(received.open(share), "policy-denied", Forbidden)


@pytest.mark.parametrize("act", ["list", "read"])
async def test_breaking_off_in_the_middle_marks_too(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote, act: str
) -> None:
    share = await got(home, away, alice)
    tree = (await received.open(share)).storage
    remote.storage.fault_amid = DOWN
    with pytest.raises(PeerUnreachable):
        await ACTS[act](tree)
    assert (await home.incoming(share.id)).unavailable_since == NOW
    assert remote.storage.open_lists == 0
    assert all(file.is_closed for file in remote.storage.files)


async def test_since_is_the_first_time(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote, time: SimulatedTime
) -> None:
    share = await got(home, away, alice)
    trees = [(await received.open(share)).storage for _ in range(2)]
    remote.storage.fault = DOWN
    for tree in (*trees, *trees):
        time.advance(5)
        with pytest.raises(PeerUnreachable):
            await tree.entry("")
    assert (await home.incoming(share.id)).unavailable_since == NOW + 5


@pytest.mark.parametrize(
    ("path", "told", "fault"), [("/.well-known/ocm", answer(503), PeerRefused), ("", answer(0), PeerUnreachable)]
)
async def test_a_server_that_cannot_be_discovered_marks_too(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, path: str, told: object, fault: type[OCMError]
) -> None:
    share = await got(home, away, alice)
    home.time.advance(4000)
    if path:
        away.route("GET", path, lambda _: told)  # type: ignore[arg-type, return-value]
    else:
        away.network.down.add(away.host)
    with pytest.raises(fault):
        await received.open(share)
    assert (await home.incoming(share.id)).unavailable_since == home.time.now


async def test_what_the_server_does_not_have_is_no_outage(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote
) -> None:
    share = await got(home, away, alice)
    tree = (await received.open(share)).storage
    for fault in (NotFound("No."), AccessDenied("No."), Conflict("No.")):
        remote.storage.fault = fault
        with pytest.raises(type(fault)):
            await tree.entry("x")
    assert (await home.incoming(share.id)).unavailable_since is None


async def test_the_fault_of_a_source_is_not_the_targets(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise PeerUnreachable("The third server broke off.", code="connection-lost")

    share = await got(home, away, alice)
    with pytest.raises(PeerUnreachable):
        await (await received.open(share)).storage.write("n.txt", broken(), size=8)
    assert (await home.incoming(share.id)).unavailable_since is None


async def test_what_cannot_be_noted_does_not_hide_the_answer(
    home: Home, away: SimulatedServer, alice: User, received: ReceivedShares, remote: SimulatedRemote
) -> None:
    share = await got(home, away, alice)
    tree = (await received.open(share)).storage
    await tree.entry("")
    await home.deliveries.stop()
    await home.database.aclose()
    remote.storage.fault = DOWN
    with pytest.raises(PeerUnreachable):
        await tree.entry("")


# ---------------------------------------------------------------- the user's tree
@pytest.fixture
def accounts(home: Home) -> Accounts:
    return Accounts(database=home.database, hasher=MemoryHasher(), clock=home.time, new_token=new_token)


def new_trees(home: Home, accounts: Accounts, received: ReceivedShares) -> UserTrees:
    return UserTrees(
        database=home.database,
        accounts=accounts,
        received=received,
        storage_for=home.homes,
        states=TreeStates(home.database, home.time, new_token),
        clock=home.time,
    )


@pytest.fixture
def trees(home: Home, accounts: Accounts, received: ReceivedShares) -> UserTrees:
    return new_trees(home, accounts, received)


@pytest.fixture
def other_trees(home: Home, accounts: Accounts, received: ReceivedShares) -> UserTrees:
    """Those of another process on the same database."""
    return new_trees(home, accounts, received)


@pytest.fixture
async def carol(accounts: Accounts) -> User:
    return await accounts.add_user("carol", Secret("wonderland"), "Carol")


async def of_carol(trees: UserTrees) -> DavTree:
    return await trees.resolve("carol", basic("carol", "wonderland"))


async def test_who_is_shut_out_meanwhile_is_told_before_anything_is_kept(
    trees: UserTrees, accounts: Accounts, carol: User
) -> None:
    _, token, _ = await accounts.login("carol", Secret("wonderland"))
    for authorization in (f"Bearer {token.reveal()}", basic("carol", "wonderland")):
        tree = await trees.resolve("carol", authorization)
        assert tree.may_still is not None
        await tree.may_still("PUT", "a")
        await refused(tree.may_still("PUT", "Shared with me/none"), "path-refused", AccessDenied)
        await accounts.set_password("carol", Secret("looking-glass"))
        with pytest.raises(Unauthorized):
            await tree.may_still("PUT", "a")
        await accounts.set_password("carol", Secret("wonderland"))


async def test_a_share_that_ends_meanwhile_takes_no_more(home: Home, shared: SharedTrees, open_share: OutgoingShare) -> None:
    tree = await shared.resolve(open_share.provider_id, basic(open_share.secret.reveal(), ""))
    assert tree.may_still is not None
    await tree.may_still("PUT", "a.txt")
    await home.database.write(lambda tx: tx.outgoing_shares.set_state(open_share.id, "revoked", "", NOW))
    await refused(tree.may_still("PUT", "a.txt"), "share-revoked", AccessDenied)
    await home.database.write(lambda tx: tx.users.set_disabled(open_share.user_id, True))
    await refused(tree.may_still("PUT", "a.txt"), "token-invalid")


async def mounted(home: Home, away: SimulatedServer, carol: User, name: str, **parts: object) -> IncomingShare:
    parts = {"share_with": "carol@home.example", "name": name, "provider_id": name} | parts
    return await got(home, away, carol, **parts)


async def test_everybody_comes_to_his_own_tree_only(trees: UserTrees, accounts: Accounts, carol: User, alice: User) -> None:
    _, token, _ = await accounts.login("carol", Secret("wonderland"))
    for authorization in (f"Bearer {token.reveal()}", basic("carol", "wonderland")):
        tree = await trees.resolve("carol", authorization)
        assert await names(tree.storage, "") == ["b.txt", "notes"]
        await refused(trees.resolve("alice", authorization), "access-denied", AccessDenied)
    for authorization, code in (
        (None, "login-required"),
        ("Digest x", "login-required"),
        ("Bearer x", "session-expired"),
        (basic("carol", "wrong"), "wrong-password"),
    ):
        await refused(trees.resolve("carol", authorization), code)


async def test_received_shares_stand_in_a_folder_and_listing_asks_nobody(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote, network: SimulatedNetwork
) -> None:
    await mounted(home, away, carol, "photos")
    sized = webdav(size=123)
    await mounted(home, away, carol, "song.ogg", resource_type="file", protocol=sized)
    declined = await mounted(home, away, carol, "gone")
    await home.reception.leave(carol, declined.id)
    await home.settle()
    network.asked.clear()
    tree = await of_carol(trees)
    assert await names(tree.storage, "") == ["Shared with me", "b.txt", "notes"]
    listed = {entry.path: entry async for entry in tree.storage.list("Shared with me")}
    assert {path: (entry.is_folder, entry.size, entry.unavailable) for path, entry in listed.items()} == {
        "Shared with me/photos": (True, 0, False),
        "Shared with me/song.ogg": (False, 123, False),
    }
    assert (await tree.storage.entry("Shared with me")).is_folder
    assert network.asked == remote.sent == []
    home.peers.trust = TrustBook.configured(denylist=(away.host,))
    async for entry in (await of_carol(trees)).storage.list("Shared with me"):
        assert (entry.unavailable, entry.unavailable_since) == (True, None)
        assert "This server does not deal with the owner's (policy-denied)" in remembered_as(entry)
    home.peers.trust = TrustBook.configured()
    await home.reception.leave(carol, (await home.reception.inbox(carol))[0].id)
    before = (await tree.storage.entry("Shared with me")).etag
    assert (await (await of_carol(trees)).storage.entry("Shared with me")).etag != before


ABOVE = ("", "Shared with me")


async def test_the_folders_above_change_when_something_in_a_share_does(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    own = (await (await of_carol(trees)).storage.entry("")).etag
    await mounted(home, away, carol, "song.ogg", resource_type="file", protocol=webdav(size=5))
    remote.storage.nodes[""] = b"alpha"

    async def poll() -> list[str]:
        with may_be_remembered():
            etags = [(await (await of_carol(trees)).storage.entry(path)).etag for path in ABOVE]
        await home.settle()
        return etags

    await poll()
    before, asked = await poll(), len(remote.sent)
    assert before[0] != own
    remote.storage.nodes[""] = b"longer"
    home.time.advance(29)
    assert await poll() == before
    assert len(remote.sent) == asked, "its ETag is not asked for at each poll"
    home.time.advance(2)
    assert (await poll())[0] == before[0], "nobody is waited for"
    after = await poll()
    assert [one != two for one, two in zip(before, after, strict=True)] == [True, True]
    remote.storage.fault = DOWN
    home.time.advance(31)
    for _ in range(2):
        assert await poll() == after, "a sync client would go there and meet errors"
    remote.storage.fault = None
    asked = len(remote.sent)
    for path in ABOVE:
        await (await of_carol(trees)).storage.entry(path)
    assert len(remote.sent) == asked


async def test_a_poll_looks_at_some_roots_those_first_that_wait_longest(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    for number in range(25):
        await mounted(home, away, carol, f"{number}")
    counts = []
    for _ in range(4):
        remote.urls.clear()
        with may_be_remembered():
            await (await of_carol(trees)).storage.entry("")
        await home.settle()
        counts.append(len(remote.urls))
    assert counts == [20, 5, 0, 0]


async def test_after_a_change_through_the_mount_the_root_is_asked_for_soon(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    share = await mounted(home, away, carol, "photos")

    async def poll() -> int:
        remote.urls.clear()
        with may_be_remembered():
            await (await of_carol(trees)).storage.entry("")
        await home.settle()
        return len(remote.urls)

    assert [await poll(), await poll()] == [1, 0]
    await (await of_carol(trees)).storage.make_folder(f"Shared with me/{share.mount_name}/new")
    home.time.advance(1.5)
    assert [await poll(), await poll()] == [1, 0]


async def test_a_file_of_unknown_size_is_asked_for_and_never_listed_as_empty(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    await mounted(home, away, carol, "song.ogg", resource_type="file")
    remote.storage.nodes[""] = b"twelve bytes"
    listed = [entry async for entry in (await of_carol(trees)).storage.list("Shared with me")]
    assert [(entry.path, entry.size, entry.unavailable) for entry in listed] == [("Shared with me/song.ogg", 12, False)]


async def test_a_file_of_untold_size_is_asked_for_and_not_waited_for(
    home: Home,
    away: SimulatedServer,
    trees: UserTrees,
    carol: User,
    remote: SimulatedRemote,
    received: ReceivedShares,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sizes that nobody told are looked up in the background, a few of each server at once."""
    monkeypatch.setattr("opencloudmesh.services.resource_access.user_tree._LEARN_SECONDS", 0.0)
    for number in range(6):
        await mounted(home, away, carol, f"{number}.txt", resource_type="file")
    remote.storage.nodes[""] = b"eleven char"
    remote.gate = asyncio.Event()

    async def listed() -> list[tuple[int, bool]]:
        found = [entry async for entry in (await of_carol(trees)).storage.list("Shared with me")]
        return [(entry.size, entry.unavailable) for entry in found]

    for _ in range(2):
        assert await listed() == [(0, False)] * 6
        await home.settle()
        assert len(remote.sent) == 4, "not asked again for the next listing"
    remote.gate.set()
    await home.settle()
    assert await listed() == [(11, False)] * 6
    assert len(remote.sent) == 6
    await received.aclose()


async def test_a_file_of_untold_size_of_a_server_that_is_down_is_unavailable(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    share = await mounted(home, away, carol, "old.txt", resource_type="file")
    remote.storage.fault = DOWN
    for _ in range(2):
        (entry,) = [entry async for entry in (await of_carol(trees)).storage.list("Shared with me")]
        assert entry.unavailable
    assert len(remote.sent) == 1
    found = await home.incoming(share.id)
    assert (found.unavailable_since, found.unavailable_reason) == (NOW, "idle-timeout")


async def test_what_was_seen_of_a_share_is_listed(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    await mounted(home, away, carol, "song.ogg", resource_type="file")
    remote.storage.nodes[""] = b"twelve bytes"
    place = "Shared with me/song.ogg"
    for act in ("entry", "open", "write"):
        storage = (await of_carol(trees)).storage
        if act == "entry":
            await storage.entry(place)
        elif act == "open":
            await storage.open(place)
        else:
            await storage.write(place, pieces(b"six!!!"), size=6)
        (listed,) = [entry async for entry in storage.list("Shared with me")]
        assert (listed.path, listed.size) == (place, 6 if act == "write" else 12)
    remote.storage.fault = DOWN
    with pytest.raises(PeerUnreachable):
        await storage.entry(place)
    (listed,) = [entry async for entry in (await of_carol(trees)).storage.list("Shared with me")]
    assert listed.unavailable


async def test_a_row_that_cannot_be_read_spoils_no_listing(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User
) -> None:
    share = await mounted(home, away, carol, "song.ogg", resource_type="file", protocol=webdav(size=5))
    await mounted(home, away, carol, "other.ogg", resource_type="file", protocol=webdav(size=6))

    def damage(tx: object) -> None:
        raw = tx.incoming_shares._connection.raw  # type: ignore[attr-defined]
        raw.execute("UPDATE incoming_shares SET sealed_protocol = x'00' WHERE id = ?", (share.id,))

    await home.database.write(damage)
    tree = await of_carol(trees)
    assert [entry.size async for entry in tree.storage.list("Shared with me")] == [6, 0], "by name"
    await refused(tree.storage.entry("Shared with me/song.ogg"), "seal-broken", OCMError)


async def test_inside_a_share_one_works_as_in_ones_own_files(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    await mounted(home, away, carol, "photos")
    storage, nodes = (await of_carol(trees)).storage, remote.storage.nodes
    place = "Shared with me/photos"
    assert (await storage.entry(place)).path == place
    assert (await storage.entry(f"{place}/sub/b.txt")).path == f"{place}/sub/b.txt"
    assert await names(storage, place) == [f"{place}/a.txt", f"{place}/sub"]
    opened = await storage.open(f"{place}/a.txt")
    assert (opened.entry.path, await content(opened)) == (f"{place}/a.txt", b"alpha")
    entry, created = await storage.write(f"{place}/n.txt", pieces(b"new"), size=3, modified_at=9.0)
    assert (entry.path, created, nodes["n.txt"]) == (f"{place}/n.txt", True, b"new")
    await storage.make_folder(f"{place}/d")
    await storage.copy(f"{place}/n.txt", f"{place}/d/n.txt")
    await storage.move(f"{place}/n.txt", f"{place}/m.txt")
    await storage.set_modified(f"{place}/m.txt", 7.0)
    await storage.remove(f"{place}/d")
    assert set(nodes) == {"", "a.txt", "sub", "sub/b.txt", "m.txt"}
    assert remote.storage.modified["m.txt"] == 7.0
    assert len(set(remote.urls)) == len(remote.urls) == 1, "opened once for the request"


async def test_no_user_takes_all_places_for_files_of_a_server(
    home: Home,
    away: SimulatedServer,
    alice: User,
    carol: User,
    received: ReceivedShares,
    remote: SimulatedRemote,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("opencloudmesh.services.resource_access.received._FILES_OF_USER_AND_PEER", 2)
    monkeypatch.setattr("opencloudmesh.services.resource_access.received._FILE_SECONDS", 0.05)
    of_alice, of_carol = await got(home, away, alice), await mounted(home, away, carol, "photos")
    first, second = [(await received.open(of_alice)).storage for _ in range(2)]
    files = [await tree.open("a.txt") for tree in (first, second)]
    await refused(first.open("a.txt"), "too-many-at-once", TemporarilyUnavailable)
    await refused(second.write("n.txt", pieces(b"new"), size=3), "too-many-at-once", TemporarilyUnavailable)
    assert "n.txt" not in remote.storage.nodes
    await (await (await received.open(of_carol)).storage.open("a.txt")).aclose()
    for file in files:
        await file.aclose()
    assert (await second.write("n.txt", pieces(b"new"), size=3))[1]
    assert (await home.incoming(of_alice.id)).unavailable_since is None


async def test_between_trees_bytes_go_through_this_server(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    await mounted(home, away, carol, "photos")
    storage, own = (await of_carol(trees)).storage, home.homes(carol)
    remote.storage.modified["sub/b.txt"] = 5.0
    await storage.copy("Shared with me/photos/sub", "copied")
    assert (own.nodes["copied"], own.nodes["copied/b.txt"], own.modified["copied/b.txt"]) == (None, b"beta", 5.0)
    await storage.move("notes", "Shared with me/photos/notes")
    assert remote.storage.nodes["notes/a.txt"] == b"alpha"
    assert "notes" not in own.nodes
    assert all(file.is_closed for file in (*remote.storage.files, *own.files))
    assert remote.storage.open_lists == own.open_lists == 0


@pytest.mark.parametrize("fault", [None, NotFound("It has gone.", code="not-found")])
async def test_a_few_files_of_a_folder_are_under_way_at_once(
    home: Home,
    away: SimulatedServer,
    trees: UserTrees,
    carol: User,
    remote: SimulatedRemote,
    monkeypatch: pytest.MonkeyPatch,
    fault: NotFound | None,
) -> None:
    await mounted(home, away, carol, "photos")
    storage, own = (await of_carol(trees)).storage, home.homes(carol)
    remote.storage.nodes |= {f"sub/{number}.txt": b"%d" % number for number in range(9)}
    before, open_file = dict(own.nodes), remote.storage.open
    under_way, most = set[str](), 0

    async def slow(path: str, *args: int) -> OpenFile:
        nonlocal most
        under_way.add(path)
        most = max(most, len(under_way))
        for _ in range(20):
            await asyncio.sleep(0)
        under_way.remove(path)
        if fault is not None and path == "sub/5.txt":
            raise fault
        return await open_file(path, *args)

    monkeypatch.setattr(remote.storage, "open", slow)
    if fault is None:
        await storage.copy("Shared with me/photos/sub", "copied")
        assert {own.nodes[f"copied/{number}.txt"] for number in range(9)} == {b"%d" % number for number in range(9)}
    else:
        await refused(storage.copy("Shared with me/photos/sub", "copied"), "not-found", NotFound)
        assert own.nodes == before
    assert most == 4
    assert all(file.is_closed for file in (*remote.storage.files, *own.files))


async def test_what_a_broken_copy_left_behind_is_removed_when_its_server_is_back(
    home: Home,
    away: SimulatedServer,
    trees: UserTrees,
    carol: User,
    remote: SimulatedRemote,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await mounted(home, away, carol, "photos")
    before, waited = set(remote.storage.nodes), list[float]()

    async def goes_away(*_: object, **more: object) -> None:
        remote.storage.fault = DOWN
        raise DOWN

    async def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            remote.storage.fault = None
        home.peers.trust = TrustBook.configured(denylist=(away.host,) if len(waited) == 2 else ())

    monkeypatch.setattr(trees.leftovers, "_pause", pause)
    monkeypatch.setattr(remote.storage, "write", goes_away)
    with pytest.raises(PeerUnreachable):
        await (await of_carol(trees)).storage.move("notes", "Shared with me/photos/notes")
    assert len(set(remote.storage.nodes) - before) == 1
    await asyncio.gather(*trees.leftovers._tasks.values())
    assert (set(remote.storage.nodes), waited) == (before, [30.0, 60.0, 120.0]), "whoever moved it did not wait for that"
    assert "notes/a.txt" in home.homes(carol).nodes
    assert await home.database.read(lambda tx: tx.unfinished_folders.holders()) == []


@pytest.mark.parametrize(
    ("source", "target"),
    [("notes", "Shared with me/photos/notes"), ("Shared with me/photos/sub", "copied")],
    ids=["there", "here"],
)
async def test_what_an_ended_process_was_making_is_removed_by_the_next_one(
    home: Home,
    away: SimulatedServer,
    trees: UserTrees,
    other_trees: UserTrees,
    carol: User,
    remote: SimulatedRemote,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    target: str,
) -> None:
    await mounted(home, away, carol, "photos")
    remote.storage.nodes |= {"sub": None, "sub/c.txt": b"gamma"}
    storage = remote.storage if target.startswith("Shared") else home.homes(carol)
    before, is_writing = set(storage.nodes), asyncio.Event()

    async def hangs(*_: object, **more: object) -> None:
        is_writing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(storage, "write", hangs)
    copying = asyncio.create_task((await of_carol(trees)).storage.copy(source, target))
    await is_writing.wait()
    await trees.leftovers.look()
    for processes in (MemoryProcesses(), OnlyProcess()):
        assert len(set(storage.nodes) - before) == 1, "one that another living process makes stays"
        await other_trees.leftovers.start(processes)
        await asyncio.gather(*other_trees.leftovers._tasks.values())
    assert set(storage.nodes) == before
    assert await home.database.read(lambda tx: tx.unfinished_folders.holders()) == []
    copying.cancel()
    await asyncio.gather(copying, return_exceptions=True)


async def test_nobody_looks_for_what_is_left_in_a_share_that_has_ended(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    share = await mounted(home, away, carol, "photos")
    remote.storage.nodes[".part"] = None
    old, ended = UnfinishedFolder(carol.id, None, "old"), UnfinishedFolder(carol.id, share.id, ".part")
    home.homes(carol).nodes["old"] = None
    await home.database.write(lambda tx: tx.unfinished_folders.add(old, "killed", home.time() - 31 * 86400))
    await home.database.write(lambda tx: tx.unfinished_folders.add(ended, "killed", home.time()))
    await home.database.write(lambda tx: tx.incoming_shares.set_state(share.id, "left", "", home.time()))
    await trees.leftovers.start(OnlyProcess())
    await asyncio.gather(*trees.leftovers._tasks.values())
    assert ".part" in remote.storage.nodes
    assert "old" in home.homes(carol).nodes
    assert await home.database.read(lambda tx: tx.unfinished_folders.holders()) == []


NAME = Name("urn:x", "colour")
RED = '<colour xmlns="urn:x">red</colour>'


async def test_dead_properties_and_times_go_along_from_tree_to_tree(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    await mounted(home, away, carol, "photos")
    tree = await of_carol(trees)
    for path in ("notes", "notes/a.txt", "b.txt"):
        await tree.properties.change(path, [PropertyChange(NAME, RED)])
    home.homes(carol).modified["notes"] = 7.0
    there = "Shared with me/photos"
    await tree.storage.copy("b.txt", f"{there}/b.txt")
    await tree.properties.copy("b.txt", f"{there}/b.txt", deep=True)
    await tree.storage.move("notes", f"{there}/notes")
    await tree.properties.move("notes", f"{there}/notes")
    assert remote.storage.modified["notes"] == 7.0
    tree = await of_carol(trees)
    for path in ("notes", "notes/a.txt", "b.txt"):
        assert await tree.properties.of(f"{there}/{path}") == {NAME: RED}
    assert await tree.properties.of("b.txt") == {NAME: RED}
    assert await tree.properties.around("") == {"b.txt": {NAME: RED}}, "what was moved away is forgotten here"
    assert set(await tree.properties.around(there)) == {f"{there}/notes", f"{there}/b.txt"}
    await tree.storage.move(f"{there}/b.txt", "c.txt")
    await tree.properties.move(f"{there}/b.txt", "c.txt")
    assert await tree.properties.of("c.txt") == {NAME: RED}
    assert set(await tree.properties.around(there)) == {f"{there}/notes"}
    await tree.properties.move(f"{there}/notes", f"{there}/other")
    await tree.properties.copy(f"{there}/other", f"{there}/third", deep=False)
    assert set(await tree.properties.around(there)) == {f"{there}/other", f"{there}/third"}
    await tree.properties.forget(f"{there}/other")
    assert await tree.properties.of(f"{there}/other") == await tree.properties.around("Shared with me") == {}


async def test_locks_of_a_share_are_kept_where_it_is(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    await mounted(home, away, carol, "photos")
    await mounted(home, away, carol, "films", protocol=webdav(uri="p2"))
    locks = (await of_carol(trees)).locks
    here = "Shared with me/photos"
    theirs, _ = await locks.take(WantedLock(f"{here}/sub", True, True, "", 60.0))
    own, _ = await locks.take(WantedLock("notes", True, False, "", 60.0))
    assert (theirs.path, own.path) == (f"{here}/sub", "notes")
    locks = (await of_carol(trees)).locks
    locks.submit([theirs.token, own.token])
    paths = [f"{here}/sub/b.txt", "notes", "Shared with me/films/x", "Shared with me/nothing"]
    assert {lock.path for lock in await locks.covering(paths)} == {f"{here}/sub", "notes"}
    assert [lock.path for lock in await locks.within(here)] == [f"{here}/sub"]
    assert [lock.path for lock in await locks.around(here)] == [f"{here}/sub"]
    assert [lock.path for lock in await locks.around("")] == ["notes"]
    assert list(await locks.around("Shared with me")) == []
    assert (await locks.refresh(f"{here}/sub", theirs.token, 90.0)).path == f"{here}/sub"
    await locks.release(f"{here}/sub", theirs.token)
    assert await locks.within(here) == []
    again, _ = await locks.take(WantedLock(f"{here}/sub", True, True, "", 60.0))
    await locks.forget(f"{here}/sub")
    assert await locks.within(here) == []
    assert again.token != theirs.token


async def test_a_lock_of_the_root_holds_in_the_shares_too(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    await mounted(home, away, carol, "photos")
    here = "Shared with me/photos"
    locks = (await of_carol(trees)).locks
    root, _ = await locks.take(WantedLock("", True, True, "", 60.0))
    locks = (await of_carol(trees)).locks
    locks.submit([root.token])
    for paths in ([here], [f"{here}/a.txt", here], ["b.txt"], ["b.txt", f"{here}/a.txt"]):
        assert [(lock.path, lock.mine) for lock in await locks.covering(paths)] == [("", True)]
    for folder in ("", "Shared with me", here):
        assert [lock.token for lock in await locks.around(folder)] == [root.token]
    for exclusive in (True, False):
        with pytest.raises(Locked) as refused:
            await locks.take(WantedLock(f"{here}/a.txt", exclusive, False, "", 60.0))
        assert refused.value.paths == ("",)
    assert (await locks.refresh(f"{here}/a.txt", root.token, 90.0)).seconds == 90.0
    await locks.release(f"{here}/a.txt", root.token)
    assert list(await locks.covering([f"{here}/a.txt", "b.txt"])) == []
    await locks.take(WantedLock("", False, True, "", 60.0))
    shared, _ = await locks.take(WantedLock(f"{here}/a.txt", False, False, "", 60.0))
    assert shared.path == f"{here}/a.txt"


async def test_a_folder_appears_in_the_other_tree_in_one_step(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    await mounted(home, away, carol, "photos")
    storage, own = (await of_carol(trees)).storage, home.homes(carol)
    before = dict(remote.storage.nodes)
    own.fault_amid = InvalidInput("The disk is broken.")
    for replace in (False, True):
        target = "Shared with me/photos/" + ("sub" if replace else "new")
        with pytest.raises(InvalidInput):
            await storage.move("notes", target, replace=replace)
        assert remote.storage.nodes == before, "what stood there stands there, and nothing half-made"
        assert "notes/a.txt" in own.nodes
    own.fault_amid = None
    await storage.move("notes", "Shared with me/photos/sub", replace=True)
    assert {name for name in remote.storage.nodes if name} == {"a.txt", "sub", "sub/a.txt"}
    with pytest.raises(Conflict):
        await storage.copy("b.txt", "Shared with me/photos/a.txt")
    await storage.copy("b.txt", "Shared with me/photos/a.txt", replace=True)
    assert remote.storage.nodes["a.txt"] == b"beta"
    await storage.copy("b.txt", "Shared with me/photos/sub", replace=True)
    assert set(remote.storage.nodes) == {"", "a.txt", "sub"}


async def test_what_was_changed_while_it_was_moved_away_stays(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mounted(home, away, carol, "photos")
    storage, own = (await of_carol(trees)).storage, home.homes(carol)
    write = remote.storage.write

    async def while_somebody_writes(path: str, *args: object, **more: object) -> object:
        written = await write(path, *args, **more)  # type: ignore[arg-type]
        own.nodes["b.txt"] = b"changed meanwhile"
        return written

    monkeypatch.setattr(remote.storage, "write", while_somebody_writes)
    with pytest.raises(Changed):
        await storage.move("b.txt", "Shared with me/photos/b.txt")
    assert (own.nodes["b.txt"], remote.storage.nodes["b.txt"]) == (b"changed meanwhile", b"beta")


async def test_a_move_that_fails_half_way_loses_nothing(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User, remote: SimulatedRemote
) -> None:
    await mounted(home, away, carol, "photos")
    storage, own = (await of_carol(trees)).storage, home.homes(carol)
    own.fault_amid = InvalidInput("The disk is broken.")
    with pytest.raises(InvalidInput):
        await storage.move("b.txt", "Shared with me/photos/b.txt")
    assert own.nodes["b.txt"] == b"beta"
    assert "b.txt" not in remote.storage.nodes
    assert all(file.is_closed for file in own.files)


async def test_the_folder_of_received_shares_is_no_file_of_ones_own(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User
) -> None:
    await mounted(home, away, carol, "photos")
    storage = (await of_carol(trees)).storage
    here = "Shared with me"
    for act in (
        storage.write(here, pieces(b""), size=0),
        storage.make_folder(here),
        storage.remove(here),
        storage.set_modified(here, 1.0),
        storage.move(here, "elsewhere"),
        storage.move("notes", here),
        storage.copy("notes", here),
    ):
        await refused(act, "name-reserved", Conflict)
    await refused(storage.copy(here, "elsewhere"), "path-refused", AccessDenied)
    for act in (storage.entry(f"{here}/nothing"), storage.write(f"{here}/nothing", pieces(b""), size=0), storage.open(here)):
        await refused(act, "not-found", NotFound)


async def test_a_physical_folder_of_that_name_is_hidden(home: Home, trees: UserTrees, carol: User) -> None:
    home.homes(carol).nodes["Shared with me"] = None
    assert await names((await of_carol(trees)).storage, "") == ["b.txt", "notes"]


async def test_the_gate(home: Home, away: SimulatedServer, trees: UserTrees, carol: User, time: SimulatedTime) -> None:
    await mounted(home, away, carol, "photos", expiration=int(NOW) + 50)
    await mounted(home, away, carol, "book.pdf", resource_type="file", protocol=webdav(permissions=("read",)))
    may = (await of_carol(trees)).may
    for method in (*READ, *WRITE):
        may(method, "notes/a.txt")
        may(method, "Shared with me/photos/x")
    for method in READ:
        may(method, "Shared with me")
        may(method, "Shared with me/photos")
        may(method, "Shared with me/book.pdf")
        may(method, "Shared with me/nothing")
    may("COPY", "Shared with me/book.pdf")  # into the own tree, for one
    cases = [(method, "Shared with me", "path-refused") for method in WRITE]
    cases += [(method, "Shared with me/nothing", "path-refused") for method in WRITE]
    cases += [(method, "Shared with me/photos", "method-not-allowed") for method in ("DELETE", "MOVE")]
    cases += [(method, "Shared with me/book.pdf", "read-only") for method in ("PUT", "DELETE")]
    for method, path, code in cases:
        with pytest.raises(AccessDenied) as refusal:
            may(method, path)
        assert refusal.value.code == code, (method, path)
    time.advance(50)
    with pytest.raises(AccessDenied) as expired:
        may("GET", "Shared with me/photos/x")
    assert expired.value.code == "share-expired"


@pytest.mark.spec("NOTIF-5")
async def test_what_was_taken_back_is_gone_from_the_tree(
    home: Home, away: SimulatedServer, trees: UserTrees, carol: User
) -> None:
    await mounted(home, away, carol, "photos")
    await home.notifications.receive(away.notification("SHARE_UNSHARED", "photos"))
    storage = (await of_carol(trees)).storage
    assert await names(storage, "") == ["b.txt", "notes"]
    assert await names(storage, "Shared with me") == []
    await refused(storage.entry("Shared with me/photos"), "not-found", NotFound)


async def test_more_shares_than_a_page_are_all_there(home: Home, away: SimulatedServer, trees: UserTrees, carol: User) -> None:
    share = await mounted(home, away, carol, "first")

    def many(tx: object) -> None:
        raw = tx.incoming_shares._connection.raw  # type: ignore[attr-defined]
        columns = [row[1] for row in raw.execute("PRAGMA table_info(incoming_shares)") if row[1] != "id"]
        chosen = ["provider_id || n" if c == "provider_id" else "mount_name || n" if c == "mount_name" else c for c in columns]
        raw.execute(
            f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1500) "  # noqa: S608
            f"INSERT INTO incoming_shares ({', '.join(columns)}) SELECT {', '.join(chosen)} FROM incoming_shares, c WHERE id = 1"
        )

    await home.database.write(many)
    assert share.id == 1
    assert len(await names((await of_carol(trees)).storage, "Shared with me")) == 1501


def test_an_entry_elsewhere_is_the_same_in_all_else() -> None:
    entry = Entry("a/b", True, 1, 2.0, '"e"', "text/plain", "SHA1:00", 3.0, 4.0, True, 5)
    assert all(getattr(entry, field.name) != field.default for field in dataclasses.fields(entry)), (
        "a field that is new is to be given here"
    )
    assert entry.at("c") == dataclasses.replace(entry, path="c")
