"""Messages signed as draft-cavage has it: from whom they are taken, from whom never, to whom they are sent, keys that change."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from opencloudmesh.protocol.errors import Conflict, Forbidden, OCMError, PeerUnreachable, SignatureRefused
from opencloudmesh.protocol.http_signatures import Request, read_signature
from opencloudmesh.protocol.legacy.cavage import is_cavage, parse_public_key, verify_cavage
from opencloudmesh.services.peers import Peers, TrustBook
from opencloudmesh.services.ports import Database, HttpAnswer
from opencloudmesh.services.records import User
from tests.services.home import make_home, make_peers
from tests.services.nextcloud import MemoryCavageKey, SimulatedNextcloud, rsa_key
from tests.services.test_trust import ACT, Office, make_office
from tests.services.world import NOW, Asked, SimulatedNetwork, SimulatedServer, SimulatedTime, answer

CLOUD = "cloud.example"
DISCOVERY = "/.well-known/ocm"
KEYS = "/.well-known/jwks.json"


@pytest.fixture
def cloud(network: SimulatedNetwork) -> SimulatedNextcloud:
    """A server that knows no other signatures."""
    return SimulatedNextcloud(network, CLOUD)


@pytest.fixture
def office(database: Database, peers: Peers, time: SimulatedTime) -> Office:
    """An operator's desk at our server."""
    return make_office(database, peers, time, TrustBook())


async def refused(peers: Peers, request: Request, host: str = CLOUD) -> str:
    with pytest.raises(OCMError) as raised:
        await peers.verify(request, host)
    return raised.value.code


# ---------------------------------------------------------------- from whom it is taken
async def test_shares_and_notifications_of_such_a_server(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, cloud: SimulatedNextcloud, alice: User
) -> None:
    home = make_home(database, network, time)
    await home.reception.receive(cloud.share())
    (share,) = await home.reception.inbox(alice)
    assert (share.peer, share.state) == (CLOUD, "pending")
    given, _ = await home.creation.create(alice, path="notes", share_with=f"dora@{CLOUD}")
    await home.notifications.receive(cloud.notification("SHARE_ACCEPTED", given.provider_id))
    assert (await home.outgoing(given.id)).state == "accepted"
    await home.notifications.receive(cloud.notification("SHARE_UNSHARED", "p1"))
    assert [share.state for share in await home.reception.inbox(alice)] == ["revoked"]


async def test_it_counts_once(peers: Peers, cloud: SimulatedNextcloud) -> None:
    request = cloud.share()
    assert (await peers.verify(request, CLOUD)).keyid == cloud.keyid
    assert await refused(peers, request) == "sig-replay"


async def test_a_token_is_not_given_for_it(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, cloud: SimulatedNextcloud
) -> None:
    home = make_home(database, network, time)
    with pytest.raises(OCMError) as raised:
        await home.code_flow.issue(cloud.token_request("s3cr3t"))
    assert raised.value.code == "sig-missing"


@pytest.mark.parametrize("profiles", [("draft-05", "draft-07"), ("draft-05",)])
async def test_not_where_the_operator_takes_others_only(
    database: Database,
    network: SimulatedNetwork,
    time: SimulatedTime,
    cloud: SimulatedNextcloud,
    profiles: tuple[str, ...],
) -> None:
    book = TrustBook.configured(profiles=profiles)
    peers = make_peers(database, network, time, book)
    office = make_office(database, peers, time, book)
    assert await refused(peers, cloud.share()) == "sig-missing"
    await office.decisions.set_profiles(CLOUD, ["draft-cavage"], ACT)
    await peers.verify(cloud.share(), CLOUD)
    away = SimulatedServer(network, "away.example")
    await office.decisions.set_profiles(away.host, ["draft-cavage"], ACT)
    assert await refused(peers, away.share(), away.host) == "sig-missing", "and there nothing else is"


# ---------------------------------------------------------------- from whom never
def says_http_sig(cloud: SimulatedNextcloud) -> None:
    cloud.discovery["capabilities"] = ["http-sig"]


def publishes_a_key_set(cloud: SimulatedNextcloud) -> None:
    cloud.route("GET", KEYS, lambda _: answer(200, cloud.key_set))


def publishes_a_key_set_elsewhere(cloud: SimulatedNextcloud) -> None:
    cloud.discovery["jwksUri"] = f"{cloud.origin}/keys"
    cloud.route("GET", "/keys", lambda _: answer(200, cloud.key_set))


def publishes_an_unusable_key_set(cloud: SimulatedNextcloud) -> None:
    cloud.route("GET", KEYS, lambda _: answer(200, {"keys": [{"kty": "oct", "kid": "a", "k": "AAAA"}]}))


def has_a_broken_key_set(cloud: SimulatedNextcloud) -> None:
    cloud.route("GET", KEYS, lambda _: answer(503))


def lets_nobody_ask(cloud: SimulatedNextcloud) -> None:
    cloud.route("GET", KEYS, lambda _: answer(429))


def does_not_answer_for_keys(cloud: SimulatedNextcloud) -> None:
    cloud.route("GET", KEYS, unreachable)


def unreachable(_: Asked) -> HttpAnswer:
    raise PeerUnreachable("No answer.", code="idle-timeout")


def is_down(cloud: SimulatedNextcloud) -> None:
    cloud.network.down.add(CLOUD)


def has_no_document(cloud: SimulatedNextcloud) -> None:
    cloud.route("GET", DISCOVERY, lambda _: answer(404))


def publishes_no_key(cloud: SimulatedNextcloud) -> None:
    cloud.discovery["publicKey"] = None


def publishes_another_keyid(cloud: SimulatedNextcloud) -> None:
    cloud.discovery["publicKey"]["keyId"] += "2"


def publishes_a_weak_key(cloud: SimulatedNextcloud) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    weak = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505
    cloud.discovery["publicKey"]["publicKeyPem"] = weak.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (says_http_sig, "sig-downgrade"),
        (publishes_a_key_set, "sig-downgrade"),
        (publishes_a_key_set_elsewhere, "sig-downgrade"),
        (publishes_an_unusable_key_set, ""),
        (has_a_broken_key_set, "sig-keys-unavailable"),
        (lets_nobody_ask, "sig-keys-unavailable"),
        (does_not_answer_for_keys, "sig-keys-unavailable"),
        (is_down, "sig-keys-unavailable"),
        (has_no_document, "sig-keys-unavailable"),
        (publishes_no_key, "sig-keyid-unknown"),
        (publishes_another_keyid, "sig-keyid-unknown"),
        (publishes_a_weak_key, "sig-key-unusable"),
    ],
)
async def test_only_from_a_server_that_can_do_nothing_else(
    peers: Peers, cloud: SimulatedNextcloud, change: Callable[[SimulatedNextcloud], None], code: str
) -> None:
    change(cloud)
    if code:
        assert await refused(peers, cloud.share()) == code
    else:
        await peers.verify(cloud.share(), CLOUD)


async def test_a_server_that_learned_to_sign_is_not_taken_at_its_old_way(
    peers: Peers, cloud: SimulatedNextcloud, time: SimulatedTime
) -> None:
    """With its private RSA key, stolen or not, nobody goes back to the older scheme."""
    await peers.verify(cloud.share(), CLOUD)
    publishes_a_key_set(cloud)
    time.advance(11)
    await peers.verify(SimulatedServer.signed(cloud, "/ocm/shares", b"{}"), CLOUD)  # by RFC 9421: its keys are known now
    assert await refused(peers, cloud.share(name="other")) == "sig-downgrade"
    says_http_sig(cloud)
    time.advance(3601)
    assert await refused(peers, cloud.share(at=time.now)) == "sig-downgrade"


async def test_another_server_speaks_for_itself_only(peers: Peers, network: SimulatedNetwork, cloud: SimulatedNextcloud) -> None:
    mallory = SimulatedNextcloud(network, "mallory.example")
    mallory.change_key(2)
    assert await refused(peers, mallory.share(owner=f"dora@{CLOUD}")) == "sender-not-signer"
    assert network.asked == [], "not even its document was asked for"
    mallory.keyid = cloud.keyid
    assert await refused(peers, mallory.share(owner=f"dora@{CLOUD}")) == "sig-mismatch"
    mallory.keyid = "signature"
    assert await refused(peers, mallory.share(owner=f"dora@{CLOUD}")) == "sig-keyid-unknown"


async def test_what_has_a_signature_input_is_never_read_in_the_older_way(peers: Peers, cloud: SimulatedNextcloud) -> None:
    request = cloud.share()
    both = replace(request, headers=(*request.headers, ("signature-input", "ocm=()")))
    assert await refused(peers, both) not in ("", "sig-replay")
    with pytest.raises(SignatureRefused):
        peers.named_keyid(both)
    assert peers.named_keyid(request) == cloud.keyid


# ---------------------------------------------------------------- unsigned messages
@pytest.mark.parametrize(
    ("change", "is_taken"),
    [
        (publishes_no_key, True),
        (None, False),
        (is_down, False),
        (has_a_broken_key_set, False),
        (does_not_answer_for_keys, False),
    ],
)
async def test_who_can_sign_has_to_where_unsigned_messages_are_taken(
    database: Database,
    network: SimulatedNetwork,
    time: SimulatedTime,
    cloud: SimulatedNextcloud,
    alice: User,
    change: Callable[[SimulatedNextcloud], None] | None,
    is_taken: bool,
) -> None:
    home = make_home(database, network, time, require_signature=False)
    if change is not None:
        change(cloud)
    request = cloud.share()
    unsigned = replace(request, headers=(("content-type", "application/json"),))
    if is_taken:
        await home.reception.receive(unsigned)
        return
    with pytest.raises(SignatureRefused) as raised:
        await home.reception.receive(unsigned)
    assert raised.value.code == "sig-missing"


@pytest.mark.parametrize(("status", "signs"), [(404, False), (503, True), (429, True)])
async def test_who_cannot_be_asked_may_sign(peers: Peers, cloud: SimulatedNextcloud, status: int, signs: bool) -> None:
    for path in (DISCOVERY, "/ocm-provider/", "/ocm-provider"):
        cloud.route("GET", path, lambda _: answer(status))
    assert await peers.publishes_keys(CLOUD) is signs


# ---------------------------------------------------------------- keys that change
async def test_a_new_key_under_the_same_keyid(office: Office, cloud: SimulatedNextcloud, time: SimulatedTime) -> None:
    peers = office.peers
    await peers.verify(cloud.share(), CLOUD)
    (first,) = (await office.registry.peer(CLOUD)).keys
    assert (first.kid, first.algorithm) == (cloud.keyid, "rsa-v1_5-sha256")
    cloud.change_key(2)
    assert await refused(peers, cloud.share()) == "sig-mismatch", "the document was just read"
    fetched = cloud.fetched(DISCOVERY)
    time.advance(31)
    await peers.verify(cloud.share(at=time.now), CLOUD)
    assert cloud.fetched(DISCOVERY) == fetched + 1
    peer = await office.registry.peer(CLOUD)
    assert peer.record.alert.startswith("key-changed: ")
    assert [key.gone_at is None for key in peer.keys] == [False, True]


async def test_bad_signatures_fetch_the_document_at_a_bounded_rate(
    peers: Peers, cloud: SimulatedNextcloud, time: SimulatedTime
) -> None:
    await peers.verify(cloud.share(), CLOUD)
    cloud.rsa_key = rsa_key(2)  # and the old one stays published
    time.advance(31)
    for _ in range(5):
        assert await refused(peers, cloud.share(at=time.now)) == "sig-mismatch"
    assert (cloud.fetched(DISCOVERY), cloud.fetched(KEYS)) == (2, 2)


async def test_the_key_is_pinned_as_any_other(office: Office, cloud: SimulatedNextcloud, time: SimulatedTime) -> None:
    await office.peers.verify(cloud.share(), CLOUD)
    (key,) = await office.decisions.pin(CLOUD, ACT)
    time.advance(4000)
    cloud.change_key(2)
    assert await refused(office.peers, cloud.share(at=time.now)) == "sig-key-not-pinned"
    (renewed,) = await office.decisions.pin(CLOUD, ACT, renew=True)
    assert renewed.thumbprint != key.thumbprint
    await office.peers.verify(cloud.share(at=time.now), CLOUD)


@pytest.mark.parametrize("change", [publishes_no_key, says_http_sig, has_a_broken_key_set])
async def test_without_such_a_key_nothing_is_pinned(
    office: Office, cloud: SimulatedNextcloud, change: Callable[[SimulatedNextcloud], None]
) -> None:
    change(cloud)
    with pytest.raises(OCMError) as raised:
        await office.decisions.pin(CLOUD, ACT)
    assert raised.value.code in ("http-404", "http-503")
    assert not isinstance(raised.value, Conflict | Forbidden)


# ---------------------------------------------------------------- to whom it is sent
@pytest.mark.parametrize("with_key", [True, False])
async def test_what_such_a_server_is_sent(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, cloud: SimulatedNextcloud, with_key: bool
) -> None:
    key = MemoryCavageKey()
    peers = make_peers(database, network, time, None, key if with_key else None)
    await peers.post_message(CLOUD, "/shares", b"{}")
    (asked,) = cloud.got("/ocm/shares")
    if not with_key:
        assert set(asked.headers) == {"content-type", "accept"}
        return
    assert is_cavage(asked.headers.items())
    request = Request("POST", asked.url, tuple(asked.headers.items()), asked.body)
    ours = parse_public_key(replace(await peers.discover(CLOUD), raw={"publicKey": key.document}))
    assert verify_cavage(request, ours, now=NOW).keyid == key.keyid


async def test_everybody_else_is_sent_rfc_9421(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, cloud: SimulatedNextcloud
) -> None:
    peers = make_peers(database, network, time, None, MemoryCavageKey())
    says_http_sig(cloud)
    old: dict[str, Any] = {**away.discovery, "capabilities": []}
    other = SimulatedServer(network, "old.example")
    other.route("GET", DISCOVERY, lambda _: answer(200, old | {"endPoint": f"{other.origin}/ocm"}))
    for server in (away, cloud, other):
        await peers.post_message(server.host, "/shares", b"{}")
        (asked,) = server.got("/ocm/shares")
        read_signature(Request("POST", asked.url, tuple(asked.headers.items()), asked.body))
    await peers.post_signed("never.example", "https://away.example/ocm/token", content_type="x/y", body=b"")
    (asked,) = away.got("/ocm/token")
    assert "signature-input" in asked.headers, "a server that was not discovered is sent what the draft says"
