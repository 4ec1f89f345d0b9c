"""Limits by source address at every endpoint: what is answered, and what is not even looked at."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from opencloudmesh.protocol.errors import Forbidden, SignatureRefused, TokenRefused
from opencloudmesh.services.callers import NOBODY, current_caller
from opencloudmesh.web.limiting import AddressLimits, EndpointLimits
from opencloudmesh.web.refusal_log import RefusalLog
from opencloudmesh.web.source_address import SourceAddresses
from tests.web.conftest import Answered, MemoryServer, ask

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
MESSAGES = [("/ocm/shares", JSON), ("/ocm/notifications", JSON), ("/ocm/token", FORM)]
DOCUMENTS = ["/.well-known/ocm", "/ocm-provider", "/ocm-provider/", "/.well-known/jwks.json", "/ocm/nothing"]


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """Which rules turned somebody away."""

    def __init__(self) -> None:
        self.rules: list[str] = []

    def rate_limited(self, rule: str) -> None:
        self.rules.append(rule)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def make_server(time: Time, counted: Counted) -> Callable[..., MemoryServer]:
    def make(*, a_minute: int = 1000, at_once: int = 100, failures: int = 1000) -> MemoryServer:
        limits = AddressLimits(
            messages=EndpointLimits.of(a_minute, at_once),
            shared=EndpointLimits.of(a_minute, at_once),
            failures_a_minute=failures,
            addresses=SourceAddresses(["127.0.0.1/32"]),
            clock=time,
            refusals=RefusalLog(time),
            measures=counted,  # type: ignore[arg-type]
        )
        return MemoryServer(limits=limits)

    return make


def of(address: str, headers: Mapping[str, str] = JSON) -> dict[str, str]:
    """The headers of a request that a trusted proxy took from this address."""
    return {**headers, "x-forwarded-for": address}


def signed(keyid: str) -> dict[str, str]:
    return {**JSON, "signature-input": f'ocm=("@method");created=1;keyid="{keyid}";alg="ed25519"'}


# ---------------------------------------------------------------- requests
@pytest.mark.parametrize(("method", "path"), [("POST", path) for path, _ in MESSAGES] + [("GET", path) for path in DOCUMENTS])
async def test_every_endpoint_for_peers_says_when_to_come_back(
    make_server: Callable[..., MemoryServer], time: Time, counted: Counted, method: str, path: str
) -> None:
    server = make_server(a_minute=6)
    statuses = [(await server.ask(method, path, headers=of("192.0.2.1"))).status for _ in range(6)]
    assert 429 not in statuses
    refused = await server.ask(method, path, headers=of("192.0.2.1"))
    assert (refused.status, refused.header("retry-after"), refused.header("cache-control")) == (429, "10", "no-store")
    assert refused.json == {"message": "rate-limited", "validationErrors": []}
    assert counted.rules == ["requests"]
    assert (await server.ask(method, path, headers=of("192.0.2.2"))).status == statuses[0], "others are not touched"
    time.now += 10
    assert (await server.ask(method, path, headers=of("192.0.2.1"))).status == statuses[0]


async def test_the_rate_is_one_for_all_endpoints_and_webdav_has_its_own(make_server: Callable[..., MemoryServer]) -> None:
    server = make_server(a_minute=4)
    for path in DOCUMENTS[:4]:
        assert (await server.ask("GET", path)).status == 200
    assert (await server.ask("POST", "/ocm/shares", headers=JSON)).status == 429
    assert [(await server.ask("PROPFIND", "/dav/ocm/p1/x")).status for _ in range(5)] == [207] * 4 + [429]
    for path in ("/healthz", "/readyz", "/dav/files/alice/", "/api/v1/me"):
        assert (await server.ask("GET", path)).status != 429, path


async def test_a_refused_head_has_no_body(make_server: Callable[..., MemoryServer]) -> None:
    server = make_server(a_minute=1)
    await server.ask("HEAD", "/.well-known/ocm")
    refused = await server.ask("HEAD", "/.well-known/ocm")
    assert (refused.status, refused.body) == (429, b"")


@pytest.mark.parametrize(
    ("headers", "closes"),
    [({"content-length": "100"}, None), ({"content-length": "100000"}, "close"), ({"transfer-encoding": "chunked"}, "close")],
)
async def test_the_body_of_a_refused_request_is_not_waited_for(
    make_server: Callable[..., MemoryServer], headers: dict[str, str], closes: str | None
) -> None:
    server = make_server(a_minute=1)
    await server.ask("GET", "/.well-known/ocm")

    async def receive() -> Any:
        raise AssertionError("the body is not read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in {**JSON, **headers}.items()]
    scope = {"type": "http", "method": "POST", "path": "/ocm/shares", "headers": pairs, "client": ("127.0.0.1", 1)}
    await server.app(scope, receive, send)
    told = dict(sent[0]["headers"])
    assert (sent[0]["status"], told.get(b"connection", b"").decode() or None) == (429, closes)


# ---------------------------------------------------------------- at once
async def test_so_many_at_once(counted: Counted) -> None:
    gate = asyncio.Event()
    limits = AddressLimits(messages=EndpointLimits.of(1000, 2), measures=counted)  # type: ignore[arg-type]
    app = limits.around_messages(_waiting(gate))

    async def post(**headers: str) -> Answered:
        answered = await ask(app, "POST", "/ocm/notifications", headers=headers)
        assert answered is not None
        return answered

    under_way = [asyncio.create_task(post()) for _ in range(2)]
    await asyncio.sleep(0)
    refused = await post()
    assert (refused.status, refused.header("retry-after"), refused.json["message"]) == (503, "1", "too-many-at-once")
    assert (await post(**{"x-forwarded-for": "1.2.3.4"})).status == 503, "anybody may write that"
    gate.set()
    assert [(await task).status for task in under_way] == [204, 204]
    assert (await post()).status == 204
    assert counted.rules == ["requests-at-once"] * 2


def _waiting(gate: asyncio.Event) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    return app


async def test_places_are_given_back_whatever_happens(make_server: Callable[..., MemoryServer]) -> None:
    server = make_server(at_once=1)
    for _ in range(5):
        assert (await server.ask("GET", "/dav/ocm/p1/broken")).status == 500
        assert await ask(server.app, "POST", "/ocm/shares", body=b"{", headers=JSON, gone=True) is None
    assert (await server.ask("GET", "/.well-known/ocm")).status == 200


# ---------------------------------------------------------------- refused signatures, tokens and secrets
@pytest.mark.parametrize(("path", "headers"), MESSAGES)
@pytest.mark.parametrize(
    "error",
    [
        SignatureRefused("no", code="sig-mismatch"),
        TokenRefused("invalid_grant", "no", code="code-unknown"),
        TokenRefused("invalid_client", "no", code="sig-mismatch"),
        Forbidden("no", code="sender-not-signer"),
    ],
    ids=lambda error: error.code,
)
async def test_after_too_many_refused_ones_nothing_is_looked_at(
    make_server: Callable[..., MemoryServer],
    time: Time,
    counted: Counted,
    path: str,
    headers: dict[str, str],
    error: Exception,
) -> None:
    server = make_server(failures=3)
    asked = _refusing(server, error)
    statuses = [(await server.ask("POST", path, body=b"{}", headers=of("192.0.2.1", headers))).status for _ in range(3)]
    assert 429 not in statuses
    before = len(asked)
    for _ in range(20):
        refused = await server.ask("POST", path, body=b"{}", headers=of("192.0.2.1", headers))
        assert (refused.status, refused.header("retry-after"), refused.json["message"]) == (429, "20", "too-many-failures")
    assert len(asked) == before
    assert counted.rules == ["failures"] * 20
    await server.ask("POST", path, body=b"{}", headers=of("192.0.2.2", headers))
    assert len(asked) == before + 1, "another address"
    for other, of_other in MESSAGES:
        if other != path:
            await server.ask("POST", other, body=b"{}", headers=of("192.0.2.1", of_other))
    assert len(asked) == before + 3, "other endpoints"
    time.now += 20
    await server.ask("POST", path, body=b"{}", headers=of("192.0.2.1", headers))
    assert len(asked) == before + 4, "and what was answered 429 did not count"


def _refusing(server: MemoryServer, error: Exception) -> list[Any]:
    """Let every endpoint end in this error; the list grows with what they are asked."""
    asked: list[Any] = []
    for service in (server.share_reception, server.notifications, server.code_flow):
        service.error, service.asked = error, asked
    return asked


async def test_other_refusals_are_no_guesses(make_server: Callable[..., MemoryServer]) -> None:
    server = make_server(failures=3)
    server.notifications.error = Forbidden("no", code="not-a-party")
    statuses = {(await server.ask("POST", "/ocm/notifications", body=b"{}", headers=JSON)).status for _ in range(20)}
    assert statuses == {403}


async def test_a_key_that_was_right_lately_is_not_kept_out_by_its_neighbours(
    make_server: Callable[..., MemoryServer], time: Time
) -> None:
    server = make_server(failures=3)
    good, bad = of("192.0.2.1", signed("https://good.example/key#1")), of("192.0.2.1", signed("https://bad.example/key#1"))

    async def post(headers: dict[str, str], error: Exception | None = None) -> int:
        server.notifications.error = error
        return (await server.ask("POST", "/ocm/notifications", body=b"{}", headers=headers)).status

    refusal = SignatureRefused("no", code="sig-mismatch")
    assert await post(good) == 201
    assert [await post(bad, refusal) for _ in range(4)] == [401, 401, 401, 429]
    assert await post(of("192.0.2.1", JSON)) == 429
    assert [await post(good) for _ in range(9)] == [201] * 9
    assert [await post(good, refusal) for _ in range(4)] == [401, 401, 401, 429], "who uses its name has a count of his own"
    elsewhere = {**good, "x-forwarded-for": "192.0.2.2"}
    assert [await post(elsewhere, refusal) for _ in range(4)] == [401, 401, 401, 429]
    assert await post(bad) == 429
    time.now += 3601
    assert await post(bad) == 201


async def test_asking_for_the_options_proves_nothing(make_server: Callable[..., MemoryServer]) -> None:
    server = make_server(failures=1)
    server.notifications.error = SignatureRefused("no", code="sig-mismatch")
    headers = of("192.0.2.1", signed("https://any.example/key#1"))
    assert (await server.ask("POST", "/ocm/notifications", body=b"{}", headers=headers)).status == 401
    assert (await server.ask("OPTIONS", "/ocm/notifications", headers=of("192.0.2.1", {}))).status == 429
    assert (await server.ask("OPTIONS", "/ocm/token", headers=headers)).status == 204
    server.code_flow.error = TokenRefused("invalid_grant", "no", code="code-unknown")
    form = {**headers, **FORM}
    assert [(await server.ask("POST", "/ocm/token", headers=form)).status for _ in range(3)] == [400, 429, 429]


# ---------------------------------------------------------------- WebDAV
class Dav:
    """Opens for one token, and counts whom it looked at."""

    def __init__(self) -> None:
        self.looked_at = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.looked_at += 1
        status = 207 if (b"authorization", b"Bearer right") in scope["headers"] else 401
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})


async def dav(app: Any, authorization: str = "", address: str = "192.0.2.1") -> int:
    headers = {"x-forwarded-for": address, **({"authorization": authorization} if authorization else {})}
    answered = await ask(app, "PROPFIND", "/dav/ocm/p1/", headers=headers)
    assert isinstance(answered, Answered)
    return answered.status


def shared(app: Any, time: Time, failures: int = 3) -> Any:
    limits = AddressLimits(failures_a_minute=failures, addresses=SourceAddresses(["127.0.0.1/32"]), clock=time)
    return limits.around_shared(app)


async def test_guessed_tokens_are_not_looked_at_for_long(time: Time) -> None:
    inner = Dav()
    app = shared(inner, time)
    assert [await dav(app, f"Bearer wrong {n}") for n in range(6)] == [401] * 3 + [429] * 3
    assert [await dav(app, f"Basic wrong{n}") for n in range(6)] == [429] * 6, "secrets count with them"
    assert inner.looked_at == 3
    assert await dav(app, "Bearer right") == 429
    assert await dav(app, "Bearer right", "192.0.2.2") == 207
    time.now += 20
    assert await dav(app, "Bearer right") == 207


async def test_a_token_that_was_right_lately_goes_on_beside_a_guesser(time: Time) -> None:
    inner = Dav()
    app = shared(inner, time)
    assert await dav(app, "Bearer right") == 207
    for number in range(50):
        await dav(app, f"Bearer wrong {number}")
        assert await dav(app, "Bearer right") == 207


async def test_who_brings_nothing_is_asked_for_it_and_counts_for_nothing(time: Time) -> None:
    app = shared(Dav(), time)
    assert [await dav(app) for _ in range(20)] == [401] * 20
    assert await dav(app, "Bearer wrong") == 401
    for number in range(5):
        await dav(app, f"Bearer wrong {number}")
    assert await dav(app) == 401, "also while guesses are turned away"


# ---------------------------------------------------------------- who asks
async def test_every_part_hears_who_asks_for_as_long_as_it_asks(time: Time) -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        caller = current_caller.get()
        heard.append((caller, caller.address, caller.is_peer, caller.active))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    limits = AddressLimits(clock=time)
    for wrap in (limits.around_messages, limits.around_shared, limits.with_caller):
        await ask(wrap(app), "POST", "/x")
    assert [told[1:] for told in heard] == [("127.0.0.1", True, True), ("127.0.0.1", True, True), ("127.0.0.1", False, True)]
    assert not any(told[0].active for told in heard)
    assert current_caller.get() is NOBODY


# ---------------------------------------------------------------- the log
def lines_of(work: Callable[[], None]) -> list[Any]:
    with capture_logs() as lines:
        work()
    return [(line["event"], line.get("number", 1), line["reason"], line["address"]) for line in lines]


def test_repeated_refusals_are_one_line_a_minute(time: Time) -> None:
    log = RefusalLog(time)

    def flood() -> None:
        for _ in range(1000):
            log.note(address="192.0.2.1", path="/ocm/shares", status=401, reason="sig-mismatch")
        log.note(address="192.0.2.1", path="/ocm/shares", status=429, reason="too-many-failures")
        log.note(address="192.0.2.2", path="/ocm/shares", status=401, reason="sig-mismatch")

    assert lines_of(flood) == [
        ("request refused", 1, "sig-mismatch", "192.0.2.1"),
        ("request refused", 1, "too-many-failures", "192.0.2.1"),
        ("request refused", 1, "sig-mismatch", "192.0.2.2"),
    ]
    time.now += 60
    assert lines_of(flood)[:2] == [
        ("requests refused", 999, "sig-mismatch", "192.0.2.1"),
        ("request refused", 1, "sig-mismatch", "192.0.2.1"),
    ]
    assert lines_of(log.tell) == [("requests refused", 999, "sig-mismatch", "192.0.2.1")]
    assert lines_of(log.tell) == []


def test_a_flood_from_everywhere_fills_no_log(time: Time) -> None:
    log = RefusalLog(time, most_kinds=10)

    def flood() -> None:
        for number in range(5000):
            log.note(address=f"2001:db8:{number:x}::/64", path="/ocm/shares", status=401, reason="sig-missing")

    assert len(lines_of(flood)) == 10
    assert lines_of(log.tell) == [("requests refused", 4990, "various", "various")]


async def test_the_log_tells_by_itself(time: Time) -> None:
    log = RefusalLog(time)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 1:
            raise asyncio.CancelledError

    for _ in range(3):
        log.note(address="192.0.2.1", path="/x", status=401, reason="sig-missing")
    with capture_logs() as lines, pytest.raises(asyncio.CancelledError):
        await log.run(pause)
    assert [line["number"] for line in lines] == [2]
    assert pauses == [60.0, 60.0]
