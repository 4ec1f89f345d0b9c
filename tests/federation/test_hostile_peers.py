"""Whatever another server does wrong: the user sees why and when it is tried again, it ends as it should, nobody else waits."""

import asyncio
import gzip
import itertools
import json
import resource
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from opencloudmesh import bootstrap
from opencloudmesh.adapters.http_connections import AddressInfo
from opencloudmesh.bootstrap import outside
from opencloudmesh.config import load_settings
from opencloudmesh.config.settings import RouteSettings
from opencloudmesh.services.exchanges import budgets
from opencloudmesh.services.records import Secret
from tests.federation.guarded_internet import GuardedInternet, Home
from tests.federation.rude_server import (
    DISCOVERY,
    HUGE,
    SHARES,
    ImpatientClient,
    Manner,
    RudeServer,
    at_first,
    dripping,
    hanging,
    huge,
    polite,
    rude_server,
    saying,
    writing,
)
from tests.services.world import ORIGIN

pytestmark = pytest.mark.asyncio(loop_scope="module")

_FIRST = 30.0
_PATIENCE = 90.0
"""Seconds that anything may take on a busy machine."""
_BUFFERS = 64 << 20
"""More than any system keeps between two sockets."""


@dataclass
class Loopback:
    """Where sockets are made: only for the servers of these tests."""

    ports: set[int] = field(default_factory=set)
    servers: dict[str, RudeServer] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)

    def new_socket(self, info: AddressInfo) -> socket.socket:
        if info[4][0] == "127.0.0.1" and info[4][1] in self.ports:
            return socket.socket(*info[:3])
        self.breaches.append(str(info[4]))
        raise OSError("nobody is there")


@dataclass
class Clock:
    """The time of day, and what a test lets pass."""

    passed: float = 0.0
    stands_at: float | None = None

    def __call__(self) -> float:
        return (time.time() if self.stands_at is None else self.stands_at) + self.passed

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Within: no time passes but what the test lets pass, however slow the machine."""
        self.stands_at = time.time()
        try:
            yield
        finally:
            self.stands_at = None


clock = Clock()
_recipients = itertools.count(1)


@pytest.fixture(scope="module")
def loopback() -> Loopback:
    return Loopback()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory, loopback: Loopback) -> AsyncIterator[Home]:
    """Our server, with the pauses that it has by default: nothing is tried again by itself within a test."""
    folder = tmp_path_factory.mktemp("hostile") / "home"
    bootstrap.initialise(folder, ORIGIN)
    settings = load_settings(folder, environ={})
    routes = (RouteSettings(name="tests", hosts=("127.0.0.1",), networks=("127.0.0.0/8",), plain_http=True),)
    assert settings.delivery.retry_first == _FIRST
    delivery = replace(settings.delivery, wait_for_first_try=_PATIENCE)
    with pytest.MonkeyPatch.context() as patch:
        client = partial(ImpatientClient, servers=loopback.servers, new_socket=loopback.new_socket)
        patch.setattr(outside, "guarded_client", client)
        patch.setattr(outside.Outside, "clock", staticmethod(clock))
        for limit in ("REFUSALS_OF_ADDRESS", "REFUSALS_OF_ALL"):  # all come from one address
            patch.setattr(budgets, limit, 1000)
        async with bootstrap.open_server(replace(settings, routes=routes, delivery=delivery)) as server:
            await server.accounts.add_user("alice", Secret("a password of alice"), admin=True)
            _, token, _ = await server.accounts.login("alice", Secret("a password of alice"))
            home = Home(server.app, GuardedInternet(), token.reveal())
            await home.dav("MKCOL", "data")
            yield home


@pytest_asyncio.fixture(loop_scope="module")
async def servers(loopback: Loopback) -> AsyncIterator[list[RudeServer]]:
    """One that a test makes rude, one that is healthy, and one that nobody may be led to."""
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(rude_server()) for _ in range(3)]
        loopback.ports = {server.port for server in made[:2]}
        loopback.servers.clear()
        loopback.servers.update({server.host: server for server in made})
        loopback.breaches.clear()
        yield made
        assert loopback.breaches == []


@pytest.fixture
def rude(servers: list[RudeServer]) -> RudeServer:
    return servers[0]


@pytest.fixture
def healthy(servers: list[RudeServer]) -> RudeServer:
    return servers[1]


@pytest.fixture
def elsewhere(servers: list[RudeServer]) -> RudeServer:
    return servers[2]


# ---------------------------------------------------------------- what a user does and sees
async def share(home: Home, server: RudeServer) -> Any:
    """Share with somebody there whom nothing was shared with."""
    body = {"path": "data", "share_with": f"bob{next(_recipients)}@{server.host}"}
    answered = await home.api("POST", "/shares", body)
    assert answered.status == 201, answered
    return answered.json


async def delivery_of(home: Home, given: Any, kind: str = "SHARE_CREATION") -> Any:
    """What `ocm deliveries` lists of a share."""
    items = (await home.api("GET", "/deliveries", query="limit=500")).json["items"]
    [found] = [item for item in items if (item["outgoing_share_id"], item["kind"]) == (given["id"], kind)]
    return found


async def push(home: Home, delivery: Any) -> None:
    """`ocm deliveries retry ID`."""
    assert (await home.api("POST", f"/deliveries/{delivery['id']}/retry")).status == 200


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what our server does on its own."""
    async with asyncio.timeout(_PATIENCE):
        while not await condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)


async def becomes(home: Home, given: Any, state: str, kind: str = "SHARE_CREATION") -> Any:
    """The delivery, as soon as it is in this state."""

    async def is_so() -> bool:
        return bool((await delivery_of(home, given, kind))["state"] == state)

    await until(is_so)
    return await delivery_of(home, given, kind)


async def was_tried(home: Home, given: Any, tries: int) -> bool:
    return bool((await delivery_of(home, given))["attempts"] == tries)


async def state_of(home: Home, given: Any) -> str:
    return str((await home.api("GET", f"/shares/{given['id']}")).json["state"])


def assert_paused(delivery: Any, since: float, step: float = _FIRST) -> None:
    """The next try comes after a half to the whole of `step`, counted from a moment after `since`."""
    assert since + 0.5 * step <= delivery["due_at"] <= clock() + step


CREATED = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
FAULTS: dict[str, tuple[Manner, str]] = {
    "hangs before headers": (hanging(), "idle-timeout"),
    "hangs in headers": (hanging(b"HTTP/1.1 201 Created\r\nX-"), "idle-timeout"),
    "hangs after headers": (hanging(CREATED), "idle-timeout"),
    "drips": (dripping(0.05), "idle-timeout"),
    "sends garbage": (writing(bytes(range(256))), "connection-lost"),
    "closes before the body": (writing(CREATED), "connection-lost"),
    "sends 10 GB": (huge(sized=True), "answer-too-large"),
    "sends 10 GB without saying so": (huge(sized=False), "answer-too-large"),
    "answers 500": (saying(500), "http-500"),
}
REDIRECTS = ("http://{elsewhere}/ocm/shares", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd")


# ---------------------------------------------------------------- faults of a server
@pytest.mark.parametrize("where", [DISCOVERY, SHARES])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_told_and_passes(home: Home, rude: RudeServer, healthy: RudeServer, where: str, fault: str) -> None:
    manner, reason = FAULTS[fault]
    rude.manners = {where: manner, "/ocm-provider": manner, "/ocm-provider/": manner}
    begun = clock()
    given, beside = await asyncio.gather(share(home, rude), share(home, healthy))
    assert (given["state"], beside["state"]) == ("pending", "sent")  # while the user waited for the first try
    found = await delivery_of(home, given)
    assert (found["state"], found["reason"], found["attempts"]) == ("queued", reason, 1)
    assert_paused(found, begun)
    assert rude.written < _BUFFERS < HUGE

    rude.manners.clear()
    await push(home, found)
    assert (await becomes(home, given, "done"))["attempts"] == 2
    assert await state_of(home, given) == "sent"
    assert {heard.json["providerId"] for heard in rude.got(SHARES)} == {given["provider_id"]}


async def test_a_server_that_refuses_connections_is_told_when_it_calls(home: Home, rude: RudeServer, healthy: RudeServer) -> None:
    known = await share(home, rude)
    await rude.go()
    with clock.standing():
        given, beside = await asyncio.gather(share(home, rude), share(home, healthy))
        assert (given["state"], beside["state"]) == ("pending", "sent")
        found = await delivery_of(home, given)
        assert (found["reason"], found["attempts"]) == ("tcp-refused", 1)
        later = await share(home, rude)
    assert (await delivery_of(home, later))["attempts"] == 0  # the breaker is open: it is not even tried
    await rude.come()
    answered = await home.hear(rude.notification(ORIGIN, "SHARE_ACCEPTED", known["provider_id"], clock()))
    assert answered.status == 201
    for one in (given, later):
        await becomes(home, one, "done")
        assert await state_of(home, one) == "sent"
    assert await state_of(home, known) == "accepted"


async def test_500_three_times_and_then_201(home: Home, rude: RudeServer) -> None:
    rude.manners[SHARES] = at_first(3, saying(500))
    begun = clock()
    given = await share(home, rude)
    for tries in (1, 2, 3):
        found = await becomes(home, given, "queued")
        assert (found["reason"], found["attempts"]) == ("http-500", tries)
        assert_paused(found, begun, _FIRST * 2 ** (tries - 1))  # the pauses double
        begun = clock()
        await push(home, found)
        await until(partial(was_tried, home, given, tries + 1))
    assert (await becomes(home, given, "done"))["attempts"] == 4
    bodies = [heard.body for heard in rude.got(SHARES)]
    assert len(bodies) == 4
    assert len(set(bodies)) == 1  # the same message each time
    assert await state_of(home, given) == "sent"


async def test_429_holds_the_whole_server_back_as_long_as_it_asks(home: Home, rude: RudeServer, healthy: RudeServer) -> None:
    rude.manners[SHARES] = at_first(1, saying(429, **{"Retry-After": "3600"}))
    begun = clock()
    given = await share(home, rude)
    found = await delivery_of(home, given)
    assert found["reason"] == "http-429"
    assert begun + 3600 <= found["due_at"] <= clock() + 3600
    second, beside = await share(home, rude), await share(home, healthy)
    assert (second["state"], beside["state"]) == ("pending", "sent")
    assert len(rude.got(SHARES)) == 1
    await push(home, found)
    await becomes(home, given, "done")


@pytest.mark.parametrize("location", REDIRECTS)
@pytest.mark.parametrize("where", [DISCOVERY, SHARES])
async def test_no_redirect_is_followed(
    home: Home, rude: RudeServer, elsewhere: RudeServer, loopback: Loopback, where: str, location: str
) -> None:
    loopback.ports.add(elsewhere.port)  # it could be reached
    away = saying(307, Location=location.format(elsewhere=elsewhere.host))
    rude.manners = {where: away, "/ocm-provider": away, "/ocm-provider/": away}
    given = await share(home, rude)
    found = await delivery_of(home, given)
    assert (given["state"], found["state"], found["http_status"]) == ("pending", "queued", 307)
    assert "307" in found["reason"] or "307" in found["detail"]
    assert elsewhere.heard == []
    rude.manners.clear()
    await push(home, found)
    await becomes(home, given, "done")


@pytest.mark.parametrize("body", [bytes(range(256)), b"", b"[" * 100_000, b'"not an object"', b"\xff\xfe{"])
async def test_garbage_after_201_is_a_success(home: Home, rude: RudeServer, body: bytes) -> None:
    rude.manners[SHARES] = saying(201, body)
    assert (await share(home, rude))["state"] == "sent"


@pytest.mark.parametrize("body", [bytes(range(256)), b"", b"[" * 100_000, b'"not an object"', b"{}", b'{"endPoint": 7}'])
async def test_a_garbled_discovery_document_is_told(home: Home, rude: RudeServer, body: bytes) -> None:
    rude.manners = dict.fromkeys((DISCOVERY, "/ocm-provider", "/ocm-provider/"), saying(200, body))
    given = await share(home, rude)
    found = await delivery_of(home, given)
    assert (found["state"], found["reason"] in ("discovery-not-json", "discovery-invalid")) == ("queued", True)

    async def is_in_the_log() -> bool:
        query = f"peer={rude.host}&direction=out&reason={found['reason']}"
        return bool((await home.api("GET", "/admin/exchanges", query=query)).json["items"])

    await until(is_in_the_log)
    rude.manners.clear()
    await push(home, found)
    await becomes(home, given, "done")


# ---------------------------------------------------------------- key sets
_KEYS = "/.well-known/jwks.json"
_BOMB = gzip.compress(b" " * (50 << 20))
KEY_SETS: dict[str, tuple[Manner, str]] = {
    "10 MB": (saying(200, b'{"keys": [' + b" " * (10 << 20) + b"]}"), "answer-too-large"),
    "10 GB": (huge(sized=True), "answer-too-large"),
    "10 GB without saying so": (huge(sized=False), "answer-too-large"),
    "10,000 keys": (saying(200, b'{"keys": [' + b"{}," * 9_999 + b"{}]}"), "keys-too-many"),
    "dripping": (dripping(0.05), "idle-timeout"),
    "hanging": (hanging(), "idle-timeout"),
    "a gzip bomb": (saying(200, _BOMB, **{"Content-Encoding": "gzip"}), "keys-invalid"),
    "html": (saying(200, b"<html>no keys here</html>", **{"Content-Type": "text/html"}), "keys-invalid"),
    "cut off": (writing(CREATED.replace(b"201 Created", b"200 OK") + b'{"keys'), "connection-lost"),
    "not there": (saying(404), "http-404"),
    "redirecting to itself": (saying(302, Location="/keys"), "http-302"),
    "redirecting to another server": (saying(302, Location="http://{elsewhere}/keys"), "http-302"),
}


@pytest.mark.parametrize("defect", KEY_SETS)
async def test_a_key_set_of_no_use_refuses_the_message_in_bounded_time_and_space(
    home: Home, rude: RudeServer, healthy: RudeServer, elsewhere: RudeServer, loopback: Loopback, defect: str
) -> None:
    loopback.ports.add(elsewhere.port)
    manner, reason = KEY_SETS[defect]
    rude.manners = {_KEYS: manner, DISCOVERY: saying(404), "/ocm-provider": saying(404), "/ocm-provider/": saying(404)}
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = rude.notification(ORIGIN, "SHARE_ACCEPTED", "p1", clock())
    refused, beside = await asyncio.gather(
        home.hear(message), home.hear(healthy.notification(ORIGIN, "SHARE_ACCEPTED", "p1", clock()))
    )
    assert (refused.status, refused.json["message"]) == (401, "sig-keys-unavailable")
    assert (beside.status, beside.json["message"]) == (403, "not-a-party"), "nobody else waits"
    assert time.monotonic() - begun < _PATIENCE / 2
    assert rude.written < _BUFFERS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10, "KiB"
    assert elsewhere.heard == []
    assert [heard.path for heard in rude.heard].count(_KEYS) == 1
    assert f"({reason})" in (await told_of(home, rude))["detail"]


async def told_of(home: Home, server: RudeServer) -> Any:
    """What the exchange log says of the last refused message of a server."""
    found: list[Any] = []

    async def is_there() -> bool:
        query = f"peer={server.host}&direction=in&failed=true"
        found[:] = (await home.api("GET", "/admin/exchanges", query=query)).json["items"]
        return bool(found)

    await until(is_there)
    return found[0]


async def test_a_key_set_of_any_media_type_is_taken(home: Home, rude: RudeServer) -> None:
    keys = json.dumps(rude.key.public_jwks()).encode()
    rude.manners[_KEYS] = saying(200, keys, **{"Content-Type": "text/plain"})
    message = rude.notification(ORIGIN, "SHARE_ACCEPTED", "p1", clock())
    assert (await home.hear(message)).json["message"] == "not-a-party"


# ---------------------------------------------------------------- a server that is another one now
async def test_a_server_with_new_keys_is_believed_and_goes_on(home: Home, rude: RudeServer) -> None:
    given = await share(home, rude)
    accepted = rude.notification(ORIGIN, "SHARE_ACCEPTED", given["provider_id"], clock())
    assert (await home.hear(accepted)).status == 201
    clock.passed += 2
    unknown = rude.notification(ORIGIN, "SHARE_DECLINED", given["provider_id"], clock(), kid=f"{rude.host}#unknown")
    with clock.standing():
        for _ in range(20):
            clock.passed += 0.01
            assert (await home.hear(unknown)).status == 401
    fetched = [heard.path for heard in rude.heard].count(_KEYS)
    assert 13 <= fetched <= 15, "once, then twelve times in a row, then now and then: not at every unknown name of a key"
    rude.change_keys()
    clock.passed += 6
    declined = rude.notification(ORIGIN, "SHARE_DECLINED", given["provider_id"], clock())
    assert (await home.hear(declined)).status == 201
    assert await state_of(home, given) == "declined"
    assert (await share(home, rude))["state"] == "sent"


async def test_a_server_that_lost_its_data_is_given_the_shares_again(home: Home, rude: RudeServer) -> None:
    kept, taken_back = await share(home, rude), await share(home, rude)
    rude.heard.clear()
    rude.manners["/ocm/notifications"] = saying(400, b'{"message": "RESOURCE_NOT_FOUND"}')  # it knows of nothing
    await home.api("POST", f"/shares/{taken_back['id']}/unshare")
    found = await becomes(home, taken_back, "dead", "SHARE_UNSHARED")
    assert (found["reason"], found["detail"]) == ("http-400", "RESOURCE_NOT_FOUND")
    assert await state_of(home, taken_back) == "revoked"

    repair = {"dry_run": True, "resend": True, "peer": rude.host}
    asked = len(rude.heard)
    would = (await home.api("POST", "/shares/repair", repair)).json["items"]
    assert len(rude.heard) == asked  # a dry run tells nobody anything
    done = (await home.api("POST", "/shares/repair", {**repair, "dry_run": False})).json["items"]
    acts = {kept["id"]: "announce", taken_back["id"]: "tell-end"}
    assert {line["id"]: line["act"] for line in would} == acts == {line["id"]: line["act"] for line in done}

    async def is_announced() -> bool:
        return bool(rude.got(SHARES))

    await until(is_announced)
    assert [heard.json["providerId"] for heard in rude.got(SHARES)] == [kept["provider_id"]]


async def test_one_after_the_other_of_bad_manners_slows_nobody(home: Home, rude: RudeServer, healthy: RudeServer) -> None:
    rude.manners = dict.fromkeys((SHARES, DISCOVERY), hanging())
    waiting = [asyncio.create_task(share(home, rude)) for _ in range(40)]
    for _ in range(10):
        assert (await share(home, healthy))["state"] == "sent"
    assert {given["state"] for given in await asyncio.gather(*waiting)} == {"pending"}
    rude.manners = {SHARES: polite}
