"""Draft-cavage between real servers and one like Nextcloud 33, both ways; and RFC 9421 between servers that know it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.federation.nextcloud import DISCOVERY, KEYS, SimulatedNextcloud
from tests.federation.peer import JSON, SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.wire import Answer, ask, free_port, wait_until


@pytest.fixture(scope="module")
def older(start_site: Callable[..., Site]) -> Site:
    """A server that publishes an RSA key."""
    return start_site("older", ["gina"], {"cavage_key": "true"})


@pytest.fixture
def gina(older: Site) -> User:
    """The user of `older`."""
    return User(older, "gina")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SimulatedNextcloud]:
    """The other server, with keys of its own for each test."""
    with ExitStack() as stack:
        made = SimulatedNextcloud(tmp_path, free_port())
        stack.enter_context(made.serving())
        yield made


def share_of(cloud: SimulatedNextcloud, recipient: User, **changes: Any) -> dict[str, Any]:
    """As Nextcloud 33 writes it."""
    return cloud.share(
        recipient.address,
        protocol={
            "name": "webdav",
            "options": {
                "sharedSecret": cloud.webdav("x")["sharedSecret"],
                "permissions": "{http://open-cloud-mesh.org/ns}share-permissions",
            },
        },
        sharedBy=f"carol@{cloud.host}",
        **changes,
    )


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json.get("message", "")


# ---------------------------------------------------------------- to us
def test_a_share_comes_and_goes(older: Site, gina: User, cloud: SimulatedNextcloud) -> None:
    message = share_of(cloud, gina)
    assert cloud.post(older.origin, "/ocm/shares", message).status == 201
    assert gina.received(message["providerId"])["state"] == "pending"
    gina.answer("accept", message["providerId"])
    wait_until(lambda: [seen["notificationType"] for seen in cloud.taken] == ["SHARE_ACCEPTED"])
    assert cloud.notify(older.origin, "SHARE_UNSHARED", message["providerId"]).status == 201
    assert gina.received(message["providerId"])["state"] == "revoked"


def test_one_that_publishes_no_key_of_its_own_takes_it_as_well(site: Site, bob: User, cloud: SimulatedNextcloud) -> None:
    assert "publicKey" not in ask(site.origin, "GET", DISCOVERY).json
    message = share_of(cloud, bob)
    assert cloud.post(site.origin, "/ocm/shares", message).status == 201
    assert bob.received(message["providerId"])["state"] == "pending"


def test_what_is_not_so_is_refused_with_its_code(older: Site, gina: User, cloud: SimulatedNextcloud) -> None:
    message = share_of(cloud, gina)
    body = json.dumps(message).encode()
    headers = cloud.signed(f"{older.origin}/ocm/shares", JSON, body)

    def post(headers: list[tuple[str, str]], body: bytes = body) -> tuple[int, str]:
        return code(older.ask("POST", "/ocm/shares", headers, body))

    def without(name: str) -> list[tuple[str, str]]:
        return [pair for pair in headers if pair[0] != name]

    def sent(**how: Any) -> tuple[int, str]:
        return code(cloud.post(older.origin, "/ocm/shares", message, **how))

    now = time.time()
    assert sent(created=now - 400) == (401, "sig-stale")
    assert sent(created=now + 100) == (401, "sig-future")
    assert sent(signer=rsa.generate_private_key(65537, 2048)) == (401, "sig-mismatch")
    assert sent(keyid=f"{cloud.origin}/ocm#other") == (401, "sig-keyid-unknown")
    assert sent(keyid="https://attacker.example/ocm#signature") == (403, "sender-not-signer")
    assert post(headers, body.replace(b"measurements", b"measurement5")) == (401, "sig-digest")
    assert post(without("digest")) == (401, "sig-digest-missing")
    assert post(without("date")) == (401, "sig-date")
    assert post(without("signature")) == (401, "sig-missing")
    other = cloud.signed("http://127.0.0.1:1/ocm/shares", JSON, body)
    assert post([*(pair for pair in other if pair[0] != "host"), ("host", older.host)]) == (401, "sig-mismatch")
    assert older.stored_from(cloud.host) == 0
    assert older.ask("POST", "/ocm/shares", headers, body).status == 201
    assert post(headers) == (401, "sig-replay")


def test_a_server_that_knows_better_is_not_taken_at_it(older: Site, gina: User, cloud: SimulatedNextcloud) -> None:
    cloud.introduce(capabilities=["http-sig", "notifications"])
    assert code(cloud.post(older.origin, "/ocm/shares", share_of(cloud, gina))) == (401, "sig-downgrade")


def test_nor_one_that_publishes_a_key_set(older: Site, gina: User, cloud: SimulatedNextcloud) -> None:
    cloud.documents[KEYS] = cloud.signer.public_jwks()
    message = share_of(cloud, gina)
    assert code(cloud.post(older.origin, "/ocm/shares", message)) == (401, "sig-downgrade")
    headers = SimulatedPeer.signed(cloud, f"{older.origin}/ocm/shares", JSON, json.dumps(message).encode())
    assert older.ask("POST", "/ocm/shares", headers, json.dumps(message).encode()).status == 201, "by RFC 9421 it is"


def test_operators_forbid_it_for_one_server(older: Site, gina: User, cloud: SimulatedNextcloud) -> None:
    older.ocm("peer", "profiles", cloud.host, "draft-05", "draft-07", "--dir", str(older.folder))

    def is_refused() -> bool:
        return code(cloud.post(older.origin, "/ocm/shares", share_of(cloud, gina))) == (401, "sig-missing")

    wait_until(is_refused)


# ---------------------------------------------------------------- from us
def test_our_key_is_published(older: Site) -> None:
    found = ask(older.origin, "GET", DISCOVERY).json
    assert found["publicKey"]["keyId"] == f"{older.origin}/ocm#signature"
    assert found["publicKey"]["publicKeyPem"].startswith("-----BEGIN PUBLIC KEY-----\n")
    assert "http-sig" in found["capabilities"]
    assert (older.folder / "keys" / "cavage.pem").stat().st_mode & 0o777 == 0o600


def test_what_we_send_is_taken_there(older: Site, gina: User, cloud: SimulatedNextcloud, place: str) -> None:
    gina.put(place, b"what is shared")
    share = gina.share(place, f"carol@{cloud.host}")
    assert share["state"] == "sent"
    assert cloud.notify(older.origin, "SHARE_ACCEPTED", share["provider_id"]).status == 201
    assert gina.state_of(share) == "accepted"
    gina.unshare(share)
    wait_until(lambda: len(cloud.taken) == 2)
    assert [message.get("notificationType") for message in cloud.taken] == [None, "SHARE_UNSHARED"]
    posts = [dict(seen.headers) for seen in cloud.requests if seen.method == "POST"]
    assert all("signature" in headers and "signature-input" not in headers for headers in posts)


def test_without_a_key_such_a_server_is_sent_unsigned_messages(alice: User, cloud: SimulatedNextcloud, place: str) -> None:
    cloud.demands = False
    alice.put(place, b"what is shared")
    assert alice.share(place, f"carol@{cloud.host}")["state"] == "sent"
    (headers,) = [dict(seen.headers) for seen in cloud.requests if seen.method == "POST"]
    assert not any(name.startswith("signature") for name in headers)


def test_servers_that_know_rfc_9421_speak_it_whatever_else_they_publish(alice: User, gina: User, place: str) -> None:
    """Both say `http-sig`: a signature of draft-cavage would be refused as a downgrade."""
    for giver, taker in ((alice, gina), (gina, alice)):
        giver.put(place, b"what is shared")
        share = giver.share(place, taker.address)
        assert share["state"] == "sent"
        assert taker.received(share["provider_id"])["state"] == "pending"
