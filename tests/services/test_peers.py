"""What is known of other servers: discovery, keys, who signed, replays, notes."""

import asyncio
import dataclasses
import gc
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from opencloudmesh.adapters.keys.signing_key import SigningKey
from opencloudmesh.protocol.errors import Forbidden, PeerRefused, PeerUnreachable, SignatureRefused, TemporarilyUnavailable
from opencloudmesh.protocol.http_signatures import Request, VerifiedSignature, verify
from opencloudmesh.protocol.jwks import parse_key_set
from opencloudmesh.services.peers import Peers, TrustBook
from opencloudmesh.services.peers.fetched import Fetched, Got
from opencloudmesh.services.peers.seen_signatures import SeenSignatures
from opencloudmesh.services.ports import Database, HttpAnswer
from opencloudmesh.services.records import PeerRecord
from tests.services.home import make_peers
from tests.services.world import HOST, NOW, ORIGIN, Asked, SimulatedNetwork, SimulatedServer, SimulatedTime, answer

DISCOVERY = "/.well-known/ocm"
KEYS = "/.well-known/jwks.json"


async def noted(database: Database, host: str = "away.example") -> PeerRecord | None:
    return await database.read(lambda tx: tx.peers.get(host))


# ---------------------------------------------------------------- trust
@pytest.mark.spec("TRUST-1")
@pytest.mark.parametrize(
    ("trust", "host", "is_allowed"),
    [
        (TrustBook(), "a.example", True),
        (TrustBook.configured(denylist=("a.example",)), "a.example", False),
        (TrustBook.configured(denylist=("a.example",)), "a.example:8443", False),
        (TrustBook.configured(denylist=("[2001:db8::1]",)), "[2001:db8::1]:8443", False),
        (TrustBook.configured(denylist=("a.example:8443",)), "a.example", True),
        (TrustBook.configured(denylist=("a.example",)), "b.a.example", True),
        (TrustBook.configured(denylist=(".a.example",)), "b.a.example:8443", False),
        (TrustBook.configured(denylist=(".a.example",)), "ba.example", True),
        (TrustBook.configured(allowlist=("a.example",)), "a.example", True),
        (TrustBook.configured(allowlist=("a.example",)), "a.example:8443", False),
        (TrustBook.configured(allowlist=(".a.example",)), "b.a.example", True),
        (TrustBook.configured(allowlist=("a.example",)), "b.example", False),
        (TrustBook.configured(allowlist=("a.example",), denylist=("a.example",)), "a.example", False),
    ],
)
async def test_lists_come_before_any_request(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, trust: TrustBook, host: str, is_allowed: bool
) -> None:
    server = SimulatedServer(network, host)
    peers = make_peers(database, network, time, trust)
    assert peers.is_allowed(host) is is_allowed
    if is_allowed:
        assert (await peers.discover(host)).end_point == f"{server.origin}/ocm"
        return
    for ask in (
        lambda: peers.discover(host),
        lambda: peers.verify(server.share(), host),
        lambda: peers.post_signed(host, f"{server.origin}/ocm/shares", content_type="x/y", body=b""),
        lambda: peers.post_message(host, "/shares", b""),
    ):
        with pytest.raises(Forbidden) as refusal:
            await ask()
        assert refusal.value.code == "policy-denied"
    assert network.asked == []


# ---------------------------------------------------------------- discovery
@pytest.mark.spec("DISC-9", "SHARE-1")
async def test_a_document_is_fetched_once_an_hour(peers: Peers, away: SimulatedServer, time: SimulatedTime) -> None:
    first = await peers.discover(away.host)
    time.advance(3599)
    assert await peers.discover(away.host) is first
    assert away.fetched(DISCOVERY) == 1
    time.advance(2)
    assert await peers.discover(away.host) is not first
    await peers.discover(away.host, fresh=True)
    assert away.fetched(DISCOVERY) == 3


async def test_many_who_wait_share_one_fetch_and_a_cancelled_one_harms_nobody(peers: Peers, away: SimulatedServer) -> None:
    gate = asyncio.Event()

    async def slow(_: Asked) -> HttpAnswer:
        await gate.wait()
        return answer(200, away.discovery)

    away.route("GET", DISCOVERY, slow)
    waiters = [asyncio.ensure_future(peers.discover(away.host, fresh=number % 2 == 0)) for number in range(6)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiters[0].cancel()
    await asyncio.sleep(0)
    gate.set()
    found = await asyncio.gather(*waiters[1:])
    assert away.fetched(DISCOVERY) == 1
    assert len({id(document) for document in found}) == 1
    with pytest.raises(asyncio.CancelledError):
        await waiters[0]


async def test_a_failure_that_nobody_waits_for_makes_no_noise(peers: Peers, away: SimulatedServer) -> None:
    gate = asyncio.Event()

    async def slow(_: Asked) -> HttpAnswer:
        await gate.wait()
        raise PeerUnreachable("Gone.", code="connection-lost")

    away.route("GET", DISCOVERY, slow)
    waiter = asyncio.ensure_future(peers.discover(away.host))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiter.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    with pytest.raises(PeerUnreachable):
        await peers.discover(away.host)
    assert away.fetched(DISCOVERY) == 1
    gc.collect()


async def test_a_fetch_that_was_cancelled_itself_is_begun_anew(time: SimulatedTime) -> None:
    fetches = 0
    gate = asyncio.Event()

    async def fetch(host: str) -> Got[str]:
        nonlocal fetches
        fetches += 1
        if fetches == 1:
            await gate.wait()
        return Got(host, 1)

    fetched = Fetched(fetch, time)
    waiter = asyncio.ensure_future(fetched.get("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task = next(task for task in asyncio.all_tasks() if task.get_name() == "fetch from a")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await fetched.get("a") == "a"


async def test_what_many_hosts_publish_is_remembered_up_to_so_many_bytes(time: SimulatedTime) -> None:
    sizes = {"a": 40, "b": 40, "c": 40, "huge": 500, "d": 60}

    async def fetch(host: str) -> Got[str]:
        return Got(host, sizes[host])

    fetched = Fetched(fetch, time, most_bytes=100)
    held = []
    for host in ("a", "b", "a", "c", "huge", "d"):
        await fetched.get(host, fresh=True)
        held.append("".join(one[0] for one in sizes if fetched.held(one)))
    assert held == ["a", "ab", "ab", "ac", "h", "d"]


async def test_a_long_document_is_used_and_not_stored(peers: Peers, away: SimulatedServer, database: Database) -> None:
    await database.write(lambda tx: tx.peers.set_contact(away.host, 1.0))
    await peers.discover(away.host)
    stored = await database.read(lambda tx: tx.peers.get(away.host))
    assert stored is not None
    assert "endPoint" in stored.discovery
    away.discovery["padding"] = "x" * 17_000
    assert (await peers.discover(away.host, fresh=True)).end_point
    stored = await database.read(lambda tx: tx.peers.get(away.host))
    assert stored is not None
    assert stored.discovery == ""


async def test_a_failure_is_remembered_for_some_seconds(
    peers: Peers, away: SimulatedServer, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    network.down.add(away.host)
    faults = []
    for _ in range(3):
        with pytest.raises(PeerUnreachable) as refusal:
            await peers.discover(away.host)
        faults.append(refusal.value)
    assert away.fetched(DISCOVERY) == 1
    assert {(fault.code, fault.sentence) for fault in faults} == {("tcp-refused", "away.example cannot be reached.")}
    assert len({id(fault) for fault in faults}) == 3, "one that is raised again and again would gather frames"
    network.down.clear()
    time.advance(9)
    with pytest.raises(PeerUnreachable):
        await peers.discover(away.host)
    time.advance(2)
    await peers.discover(away.host)
    network.down.add(away.host)
    await peers.discover(away.host)
    with pytest.raises(PeerUnreachable):
        await peers.discover(away.host, fresh=True)
    assert await peers.discover(away.host), "a failure does not make a fresh document worse"


async def test_a_clock_that_is_set_back_keeps_no_failure_and_no_old_document(
    peers: Peers, away: SimulatedServer, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    network.down.add(away.host)
    with pytest.raises(PeerUnreachable):
        await peers.discover(away.host)
    network.down.clear()
    time.set_back(400)
    await peers.discover(away.host)
    time.set_back(400)
    await peers.discover(away.host)
    assert away.fetched(DISCOVERY) == 3


async def test_a_server_that_a_user_wants_asked_is_asked(peers: Peers, away: SimulatedServer, network: SimulatedNetwork) -> None:
    network.down.add(away.host)
    with pytest.raises(PeerUnreachable):
        await peers.discover(away.host)
    network.down.clear()
    peers.forgive(away.host)
    await peers.discover(away.host)


async def test_a_server_that_called_is_asked_again_at_once(
    peers: Peers, away: SimulatedServer, network: SimulatedNetwork
) -> None:
    await peers.verify(away.share(), away.host)
    network.down.add(away.host)
    with pytest.raises(PeerUnreachable):
        await peers.discover(away.host)
    network.down.clear()
    await peers.verify(away.share(), away.host)
    assert await peers.discover(away.host)


@pytest.mark.spec("DISC-9")
@pytest.mark.parametrize("place", ["/ocm-provider/", "/ocm-provider"])
async def test_the_older_places_are_tried(peers: Peers, away: SimulatedServer, place: str) -> None:
    away.route("GET", DISCOVERY, lambda _: answer(200, b"<html>"))
    away.route("GET", place, lambda _: answer(200, away.discovery))
    assert (await peers.discover(away.host)).end_point == f"{away.origin}/ocm"


@pytest.mark.parametrize(
    ("told", "code", "retry_after"),
    [
        (answer(404), "http-404", None),
        (answer(503, retry_after="90"), "http-503", 90.0),
        (answer(302, location="/login"), "http-302", None),
        (answer(200, b"<html>"), "discovery-not-json", None),
        (answer(200, {}), "discovery-invalid", None),
    ],
)
async def test_the_first_refusal_is_told(
    peers: Peers, away: SimulatedServer, told: HttpAnswer, code: str, retry_after: float | None
) -> None:
    away.route("GET", DISCOVERY, lambda _: told)
    with pytest.raises(PeerRefused) as refusal:
        await peers.discover(away.host)
    assert (refusal.value.code, refusal.value.retry_after) == (code, retry_after)


async def test_without_any_place_to_ask_there_is_no_document(
    peers: Peers, away: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opencloudmesh.services.peers.peers.well_known_urls", lambda origin: ())
    with pytest.raises(PeerRefused):
        await peers.discover(away.host)


@pytest.mark.spec("DISC-11")
async def test_switched_off_is_no_answer_for_an_hour(peers: Peers, away: SimulatedServer, time: SimulatedTime) -> None:
    away.discovery["enabled"] = False
    with pytest.raises(PeerRefused) as refusal:
        await peers.discover(away.host)
    assert refusal.value.code == "discovery-disabled"
    away.discovery["enabled"] = True
    time.advance(11)
    assert await peers.discover(away.host)


# ---------------------------------------------------------------- keys and signatures
@pytest.mark.spec("SIG-8")
async def test_a_signature_is_verified_with_the_keys_of_the_server_that_is_named(peers: Peers, away: SimulatedServer) -> None:
    seen: list[str] = []
    peers.on_contact.append(seen.append)
    for _ in range(3):
        verified = await peers.verify(away.share(), away.host)
        assert verified.keyid == away.kid
    assert away.fetched(KEYS) == 1
    assert seen == [away.host] * 3


@pytest.mark.spec("SIG-8")
async def test_a_key_of_another_server_never_verifies(peers: Peers, away: SimulatedServer, network: SimulatedNetwork) -> None:
    mallory = SimulatedServer(network, "mallory.example")
    with pytest.raises(Forbidden) as refusal:
        await peers.verify(mallory.share(), away.host)
    assert refusal.value.code == "sender-not-signer"
    impostor = SimulatedServer(network, "impostor.example", kid=away.kid)
    with pytest.raises(SignatureRefused) as mismatch:
        await peers.verify(impostor.share(), away.host)
    assert mismatch.value.code == "sig-mismatch"


async def test_a_key_that_took_the_place_of_another_under_its_name_is_asked_for_once(
    peers: Peers, away: SimulatedServer, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    await peers.verify(away.share(), away.host)
    time.advance(60)
    successor = SimulatedServer(network, away.host, kid=away.kid)
    assert (await peers.verify(successor.share(at=time.now), away.host)).keyid == away.kid
    assert away.fetched(KEYS) == 2
    impostor = SimulatedServer(network, "impostor.example", kid=away.kid)
    for seconds, fetched in ((0, 2), *((0.001, number) for number in range(3, 14)), (0.001, 13), (4, 13), (2, 14), (1, 14)):
        time.advance(seconds)
        with pytest.raises(SignatureRefused) as mismatch:
            await peers.verify(impostor.share(at=time.now), away.host)
        assert mismatch.value.code == "sig-mismatch"
        assert away.fetched(KEYS) == fetched, "a flood of bad signatures makes us ask now and then only"
    network.down.add(away.host)
    time.advance(60)
    with pytest.raises(SignatureRefused) as mismatch:
        await peers.verify(impostor.share(at=time.now), away.host)
    assert mismatch.value.code == "sig-mismatch"


@pytest.mark.spec("SIG-9")
async def test_without_a_signature_nobody_is_asked(peers: Peers, away: SimulatedServer, network: SimulatedNetwork) -> None:
    request = away.share()
    unsigned = dataclasses.replace(request, headers=tuple(h for h in request.headers if not h[0].startswith("signature")))
    with pytest.raises(SignatureRefused) as refusal:
        await peers.verify(unsigned, away.host)
    assert refusal.value.code == "sig-missing"
    assert network.asked == []


@pytest.mark.spec("SIG-11")
async def test_an_unknown_kid_makes_us_look_again_at_a_bounded_rate(
    peers: Peers, away: SimulatedServer, time: SimulatedTime
) -> None:
    await peers.verify(away.share(), away.host)

    async def refused() -> str:
        with pytest.raises(SignatureRefused) as refusal:
            await peers.verify(away.share(at=time.now), away.host)
        return refusal.value.code

    old, away.kid = away.kid, "new-key"
    assert [await refused() for _ in range(5)] == ["sig-keyid-unknown"] * 5
    assert away.fetched(KEYS) == 1, "fetched since these came"
    for number in range(2, 12):  # keys may change several times within a second
        time.advance(0.1)
        away.kid = f"new-key-{number}"
        away.key_set["keys"].append(away.key_set["keys"][0] | {"kid": away.kid})
        await peers.verify(away.share(at=time.now), away.host)
        assert away.fetched(KEYS) == number, "the first one that is unknown is asked for at once"
    away.kid = old
    await peers.verify(away.share(at=time.now), away.host)
    assert away.fetched(KEYS) == 11, "all stand side by side"
    for seconds, fetches in ((0.1, 12), (0.1, 13), (0.1, 13), (3, 13), (2, 14), (3, 14), (2, 15)):
        time.advance(seconds)
        away.kid = f"unknown-{seconds}"
        assert [await refused() for _ in range(3)] == ["sig-keyid-unknown"] * 3
        assert away.fetched(KEYS) == fetches, "whoever makes up names makes us ask at a bounded rate"


@pytest.mark.spec("SIG-11")
async def test_of_many_at_once_with_unknown_kids_one_looks(peers: Peers, away: SimulatedServer, time: SimulatedTime) -> None:
    await peers.verify(away.share(), away.host)
    time.advance(2)
    away.kid = "unknown"
    came = await asyncio.gather(*(peers.verify(away.share(at=time.now), away.host) for _ in range(20)), return_exceptions=True)
    assert {one.code for one in came if isinstance(one, SignatureRefused)} == {"sig-keyid-unknown"}
    assert away.fetched(KEYS) == 2


@pytest.mark.parametrize(
    ("said", "fresh"),
    [
        (None, 3600),
        ("public, max-age=300", 300),
        ("max-age=5", 60),
        ("no-store", 60),
        ('Max-Age="900", no-cache', 60),
        ("max-age=999999999", 86400),
        ("max-age=soon", 3600),
        ("s-maxage=7, max-age=600, max-age=9000", 600),
    ],
)
async def test_keys_are_kept_as_long_as_their_server_says_within_bounds(
    peers: Peers, away: SimulatedServer, time: SimulatedTime, said: str | None, fresh: int
) -> None:
    headers = {} if said is None else {"cache_control": said}
    away.route("GET", KEYS, lambda _: answer(200, away.key_set, **headers))
    await peers.verify(away.share(), away.host)
    for seconds, fetches in ((fresh - 1, 1), (2, 2)):
        time.advance(seconds)
        await peers.verify(away.share(at=time.now), away.host)
        assert away.fetched(KEYS) == fetches


async def test_what_stood_in_a_cache_on_the_way_is_older(peers: Peers, away: SimulatedServer, time: SimulatedTime) -> None:
    away.route("GET", KEYS, lambda _: answer(200, away.key_set, cache_control="max-age=300", age="200"))
    await peers.verify(away.share(), away.host)
    time.advance(101)
    await peers.verify(away.share(at=time.now), away.host)
    assert away.fetched(KEYS) == 2


async def test_keys_of_the_last_hour_hold_while_their_server_cannot_be_asked(
    peers: Peers, away: SimulatedServer, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    away.route("GET", KEYS, lambda _: answer(200, away.key_set, cache_control="max-age=60"))
    await peers.verify(away.share(), away.host)
    time.advance(61)
    for trouble in (answer(503), answer(429)):
        away.route("GET", KEYS, lambda _, trouble=trouble: trouble)
        await peers.verify(away.share(at=time.now), away.host)
        time.advance(11)
    network.down.add(away.host)
    await peers.verify(away.share(at=time.now), away.host)
    time.advance(3600 - 61 - 22)
    with pytest.raises(SignatureRefused) as refusal:
        await peers.verify(away.share(at=time.now), away.host)
    assert refusal.value.code == "sig-keys-unavailable"


async def test_keys_that_are_taken_away_are_gone(peers: Peers, away: SimulatedServer, time: SimulatedTime) -> None:
    away.route("GET", KEYS, lambda _: answer(200, away.key_set, cache_control="max-age=60"))
    await peers.verify(away.share(), away.host)
    time.advance(61)
    away.route("GET", KEYS, lambda _: answer(404))
    with pytest.raises(SignatureRefused) as refusal:
        await peers.verify(away.share(at=time.now), away.host)
    assert refusal.value.code == "sig-keys-unavailable"


@pytest.mark.spec("SIG-11")
async def test_an_unknown_kid_does_not_hammer_a_server_that_is_down(
    peers: Peers, away: SimulatedServer, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    await peers.verify(away.share(), away.host)
    network.down.add(away.host)
    time.advance(31)
    known, away.kid = away.kid, "unknown"
    for _ in range(5):
        with pytest.raises(SignatureRefused) as refusal:
            await peers.verify(away.share(at=time.now), away.host)
        assert refusal.value.code == "sig-keys-unavailable"
    assert away.fetched(KEYS) == 2
    away.kid = known
    await peers.verify(away.share(at=time.now), away.host)


async def test_keys_may_stand_where_discovery_says(peers: Peers, away: SimulatedServer) -> None:
    away.route("GET", KEYS, lambda _: answer(200, b"<html>"))
    away.route("GET", "/keys", lambda _: answer(200, away.key_set))
    away.discovery["jwksUri"] = f"{away.origin}/keys"
    await peers.verify(away.share(), away.host)


@pytest.mark.parametrize("uri", [None, "https://away.example/.well-known/jwks.json", "https://evil.example/keys"])
async def test_keys_stand_nowhere_else(peers: Peers, away: SimulatedServer, network: SimulatedNetwork, uri: str | None) -> None:
    evil = SimulatedServer(network, "evil.example")
    evil.route("GET", "/keys", lambda _: answer(200, away.key_set))
    away.route("GET", KEYS, lambda _: answer(404))
    away.discovery["jwksUri"] = uri
    with pytest.raises(SignatureRefused) as refusal:
        await peers.verify(away.share(), away.host)
    assert refusal.value.code == "sig-keys-unavailable"
    assert network.urls(host="evil.example") == []


async def test_who_publishes_keys(peers: Peers, away: SimulatedServer, network: SimulatedNetwork, time: SimulatedTime) -> None:
    assert await peers.publishes_keys(away.host)
    cases = [(answer(404), False), (answer(200, {"keys": []}), False), (answer(503), True), (answer(429), True)]
    for told, expected in cases:
        away.route("GET", KEYS, lambda _, told=told: told)
        time.advance(4000)
        assert await peers.publishes_keys(away.host) is expected
    network.down.add(away.host)
    time.advance(4000)
    assert await peers.publishes_keys(away.host), "it cannot be asked: nothing is taken unsigned in its name"


async def test_that_keys_are_pinned_is_told_to_nobody_but_their_holder(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer
) -> None:
    peers = make_peers(database, network, time, TrustBook(pins={away.host: frozenset({"another"})}))
    forger = SimulatedServer(network, "forger.example", kid=away.kid)
    for request, code in ((forger.share(), "sig-mismatch"), (away.share(), "sig-key-not-pinned")):
        with pytest.raises(SignatureRefused) as refusal:
            await peers.verify(request, away.host)
        assert refusal.value.code == code


# ---------------------------------------------------------------- replays
@pytest.mark.spec("SIG-5")
async def test_a_signature_counts_once(peers: Peers, away: SimulatedServer, time: SimulatedTime) -> None:
    request = away.share()
    await peers.verify(request, away.host)
    for seconds in (0, 200, 99):
        time.advance(seconds)
        with pytest.raises(SignatureRefused) as refusal:
            await peers.verify(request, away.host)
        assert refusal.value.code == "sig-replay"
    time.advance(2)
    with pytest.raises(SignatureRefused) as stale:
        await peers.verify(request, away.host)
    assert stale.value.code == "sig-stale"


async def test_of_many_at_once_one_counts(peers: Peers, away: SimulatedServer) -> None:
    request = away.share()
    came = await asyncio.gather(*(peers.verify(request, away.host) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, VerifiedSignature) for one in came) == 1


def signature(number: int, created: float) -> VerifiedSignature:
    return VerifiedSignature("k", int(created), str(number).encode())


def test_a_signature_is_remembered_as_long_as_it_is_fresh() -> None:
    seen = SeenSignatures(360.0)
    assert seen.add(signature(1, NOW), NOW)
    for later in (1, 359, 361, 719):
        assert not seen.add(signature(1, NOW), NOW + later)
    assert seen.add(signature(1, NOW + 1500), NOW + 1500), "forgotten when it is stale at the latest"
    assert not seen.add(signature(1, NOW + 1500), NOW + 1500)


def test_the_keyid_belongs_to_it() -> None:
    seen = SeenSignatures(360.0)
    assert seen.add(VerifiedSignature("a", int(NOW), b"same"), NOW)
    assert seen.add(VerifiedSignature("b", int(NOW), b"same"), NOW)


def test_a_flood_makes_the_window_short_and_lets_no_replay_through() -> None:
    seen = SeenSignatures(360.0, most=100)
    first = [signature(number, NOW + number) for number in range(350)]
    for number, one in enumerate(first):
        assert seen.add(one, NOW + number)
    assert not any(seen.add(one, NOW + 351) for one in first), "of those that were forgotten none is taken"
    assert seen.add(signature(1000, NOW + 352), NOW + 352)
    assert len(seen._new) + len(seen._old) <= 200


# ---------------------------------------------------------------- floods
async def test_a_flood_of_hosts_and_keyids_leaves_a_bounded_trace_and_honest_ones_pass(
    peers: Peers, away: SimulatedServer, network: SimulatedNetwork
) -> None:
    await peers.verify(away.share(), away.host)
    flood = SimulatedServer(network, "flood.example")
    forged = flood.share()
    for number in range(100_000):
        seen = peers._seen.add(signature(number, NOW), NOW)
        assert seen
    for number in range(100_000):  # what 100,000 hosts with a set of 2 KiB each leave
        peers._keys._keep(f"h{number}.example", Got(parse_key_set(b'{"keys": []}'), 2048), NOW)
        peers._keys._failures[f"f{number % 4096}.example"] = (PeerRefused("No."), NOW)
    headers = dict(forged.headers)
    for number in range(5_000):
        named = headers["signature-input"].replace(flood.kid, f"flood.example#{number}")
        with pytest.raises(SignatureRefused):
            await peers.verify(
                dataclasses.replace(forged, headers=tuple((headers | {"signature-input": named}).items())), flood.host
            )
    assert flood.fetched(KEYS) <= 13
    assert len(peers._keys._values) <= 4096
    assert peers._keys._bytes <= 8 << 20
    assert len(peers._seen._new) + len(peers._seen._old) <= 1_000_000
    await peers.verify(away.share(), away.host)


async def test_many_hosts_after_each_other(time: SimulatedTime) -> None:
    async def fetch(host: str) -> Got[bytes]:
        if host.startswith("bad"):
            raise PeerUnreachable("Gone.", code="dns")
        return Got(host.encode(), 4096)

    fetched = Fetched(fetch, time)
    for number in range(0, 10_000, 1000):
        hosts = [f"{'bad' if one % 10 == 0 else 'h'}{one}" for one in range(number, number + 1000)]
        await asyncio.gather(*map(fetched.get, hosts), return_exceptions=True)
        await fetched.newer(f"n{number}", since=NOW)
    assert (len(fetched._values), fetched._bytes) == (2048, 8 << 20)
    assert len(fetched._failures) == 1000
    assert fetched._running == {}


# ---------------------------------------------------------------- what we send
@pytest.mark.spec("SIG-2", "SHARE-2")
async def test_what_we_send_is_signed_for_its_receiver(peers: Peers, away: SimulatedServer, network: SimulatedNetwork) -> None:
    for _ in range(2):
        answered = await peers.post_message(away.host, "/shares", b'{"a": 1}')
        assert answered.status == 201
    assert away.fetched(DISCOVERY) == 1
    keys = parse_key_set(json.dumps(peers._signer.public_jwks()).encode())
    for asked in away.got("/ocm/shares"):
        assert asked.headers["content-type"] == asked.headers["accept"] == "application/json"
        request = Request(asked.method, asked.url, tuple(asked.headers.items()), asked.body)
        assert verify(request, keys, now=NOW).keyid.startswith(HOST)
    one, two = (asked.headers["signature"] for asked in away.got("/ocm/shares"))
    assert one != two, "a repeat is no replay"


@pytest.mark.parametrize("status", [404, 405, 410])
async def test_an_end_point_that_moved_is_found(peers: Peers, away: SimulatedServer, status: int) -> None:
    await peers.discover(away.host)
    away.route("POST", "/ocm/shares", lambda _: answer(status))
    away.route("POST", "/new/shares", lambda _: answer(201))
    assert (await peers.post_message(away.host, "/shares", b"{}")).status == status, "it did not move"
    away.discovery["endPoint"] = f"{away.origin}/new"
    assert (await peers.post_message(away.host, "/shares", b"{}")).status == 201
    assert len(away.got("/new/shares")) == 1


@pytest.mark.parametrize(("status", "sent"), [(400, 2), (401, 2), (403, 1), (201, 1)])
async def test_what_was_signed_with_a_key_that_ended_on_the_way_is_signed_again(
    peers: Peers, away: SimulatedServer, status: int, sent: int
) -> None:
    keyids = [peers._signer.keyid]

    def refuse(_: object) -> HttpAnswer:
        peers._signer = SigningKey(Ed25519PrivateKey.generate(), host=HOST)
        keyids.append(peers._signer.keyid)
        return answer(201 if len(keyids) > 2 else status)

    away.route("POST", "/ocm/shares", refuse)
    assert (await peers.post_message(away.host, "/shares", b"{}")).status == (201 if sent == 2 else status)
    posts = [Request("POST", one.url, tuple(one.headers.items()), one.body) for one in away.got("/ocm/shares")]
    assert [peers.named_keyid(post) for post in posts] == keyids[:sent]


async def test_a_key_that_is_refused_as_it_is_is_not_tried_again(peers: Peers, away: SimulatedServer) -> None:
    away.route("POST", "/ocm/shares", lambda _: answer(401))
    assert (await peers.post_message(away.host, "/shares", b"{}")).status == 401
    assert len(away.got("/ocm/shares")) == 1


async def test_keys_that_were_asked_for_before_a_message_came_do_not_count_for_it(time: SimulatedTime) -> None:
    published, begun, gate, asked = "old", asyncio.Event(), asyncio.Event(), 0

    async def fetch(host: str) -> Got[str]:
        nonlocal asked
        asked += 1
        then = published
        begun.set()
        await gate.wait()
        return Got(then, 1)

    fetched = Fetched(fetch, time)
    first = asyncio.create_task(fetched.get("a"))
    await begun.wait()
    published = "new"
    time.advance(1)
    others = [asyncio.create_task(fetched.newer("a", since=time.now)) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    assert await first == "old"
    assert await asyncio.gather(*others) == ["new"] * 5
    assert asked == 2, "one fetch for all of them"


async def test_a_refusal_is_an_answer(peers: Peers, away: SimulatedServer) -> None:
    away.route("POST", "/ocm/shares", lambda _: answer(503))
    assert (await peers.post_message(away.host, "/shares", b"{}")).status == 503


# ---------------------------------------------------------------- notes
async def test_contacts_are_noted_now_and_then(
    peers: Peers, away: SimulatedServer, database: Database, time: SimulatedTime
) -> None:
    assert await noted(database) is None
    await peers.verify(away.share(), away.host)
    first = await noted(database)
    assert first is not None
    assert (first.first_contact, first.last_contact, first.failing_since) == (NOW, NOW, None)
    time.advance(59)
    await peers.verify(away.share(at=time.now), away.host)
    assert (await noted(database)) == first
    time.advance(2)
    await peers.post_message(away.host, "/notifications", b"{}")
    again = await noted(database)
    assert again is not None
    assert again.last_contact == NOW + 61
    assert json.loads(again.discovery)["endPoint"] == f"{away.origin}/ocm"
    time.advance(4000)
    await peers.verify(away.share(at=time.now), away.host)
    again = await noted(database)
    assert again is not None
    assert json.loads(again.key_set) == away.key_set


async def test_failing_is_noted_since_its_beginning_and_ends(
    peers: Peers, away: SimulatedServer, database: Database, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    await peers.post_message(away.host, "/notifications", b"{}")
    network.down.add(away.host)
    for _ in range(3):
        time.advance(5)
        with pytest.raises(PeerUnreachable):
            await peers.post_message(away.host, "/notifications", b"{}")
    failing = await noted(database)
    assert failing is not None
    assert (failing.failing_since, failing.last_reason) == (NOW + 5, "tcp-refused")
    network.down.clear()
    await peers.discover(away.host, fresh=True)
    back = await noted(database)
    assert back is not None
    assert (back.failing_since, back.last_contact) == (None, NOW + 15)


async def test_strangers_leave_nothing(
    peers: Peers, away: SimulatedServer, database: Database, network: SimulatedNetwork
) -> None:
    mallory = SimulatedServer(network, "mallory.example", kid=away.kid)
    with pytest.raises(SignatureRefused):
        await peers.verify(mallory.share(), away.host)
    with pytest.raises(SignatureRefused):
        await peers.verify(mallory.share(), "nowhere.example")
    await peers.discover(away.host)
    away.route("POST", "/ocm/shares", lambda _: answer(500))
    await peers.post_message(away.host, "/shares", b"{}")
    assert await database.read(lambda tx: tx.peers.all()) == []


async def test_the_exchange_goes_on_where_nothing_can_be_noted(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer
) -> None:
    peers = make_peers(database, network, time)
    await database.aclose()
    with pytest.raises(TemporarilyUnavailable):
        await database.read(lambda tx: None)
    await peers.verify(away.share(), away.host)
    assert (await peers.post_message(away.host, "/shares", b"{}")).status == 201


async def test_memory_is_bounded(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("peers", "notes", "fetched"):
        monkeypatch.setattr(f"opencloudmesh.services.peers.{module}._MAX_HOSTS", 3)
    peers = make_peers(database, network, time)
    servers = [SimulatedServer(network, f"s{number}.example") for number in range(8)]
    for server in servers:
        await peers.post_message(server.host, "/shares", b"{}")
        await peers.verify(server.share(), server.host)
    for server in servers:
        network.down.add(server.host)
        with pytest.raises(PeerUnreachable):
            await peers.post_signed(server.host, f"{server.origin}/ocm/shares", content_type="x/y", body=b"")
        with pytest.raises(PeerUnreachable):
            await peers.discover(server.host, fresh=True)
    for kept in (
        peers._notes._contacts,
        peers._notes._failing,
        peers._documents._values,
        peers._documents._failures,
        peers._keys._values,
    ):
        assert len(kept) <= 3
    assert ORIGIN not in servers[0].origin
