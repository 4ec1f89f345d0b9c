"""Requests without a valid signature are refused at every endpoint, whatever is wrong with them."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from opencloudmesh.protocol.code_flow import build_token_request
from tests.federation.peer import FORM, JSON, SimulatedPeer, unsigned
from tests.federation.site import Site, User
from tests.federation.wire import Answer

COMPONENTS = ("@method", "@target-uri", "content-digest", "content-length", "date")


@dataclass(frozen=True)
class Message:
    """A signed request before it is sent; `at` is the path that it goes to."""

    at: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    url: str
    peer: SimulatedPeer

    def send(self, site: Site) -> Answer:
        return site.ask("POST", self.at, self.headers, self.body)

    def header(self, name: str) -> str:
        return dict(self.headers)[name]

    def with_header(self, name: str, value: str | None) -> "Message":
        kept = tuple(pair for pair in self.headers if pair[0] != name)
        return replace(self, headers=kept if value is None else (*kept, (name, value)))

    def signed_anew(
        self,
        *,
        components: tuple[str, ...] = COMPONENTS,
        parameters: str | None = None,
        sign: Callable[[bytes], bytes] | None = None,
        label: str = "ocm",
    ) -> "Message":
        """Signed by hand: with other components, parameters, signature or label."""
        if parameters is None:
            parameters = f';created={int(time.time())};keyid="{self.peer.signer.keyid}";alg="ed25519"'
        fields = {"@method": "POST", "@target-uri": self.url, **dict(self.headers)}
        listed = "(" + " ".join(f'"{name}"' for name in components) + ")" + parameters
        base = "\n".join([*(f'"{name}": {fields[name]}' for name in components), f'"@signature-params": {listed}'])
        signature = base64.b64encode((sign or self.peer.signer.sign)(base.encode())).decode()
        bare = replace(self, headers=tuple(unsigned(self.headers)))
        return bare.with_header("signature-input", f"{label}={listed}").with_header("signature", f"{label}=:{signature}:")


def message_for(endpoint: str, site: Site, recipient: User, peer: SimulatedPeer) -> Message:
    bodies = {
        "/ocm/shares": json.dumps(peer.share(recipient.address)).encode(),
        "/ocm/notifications": json.dumps({"notificationType": "SHARE_ACCEPTED", "providerId": "x"}).encode(),
        "/ocm/token": build_token_request("x" * 32, peer.host),
    }
    body, url = bodies[endpoint], site.origin + endpoint
    headers = peer.signed(url, FORM if endpoint == "/ocm/token" else JSON, body)
    return Message(endpoint, tuple(headers), body, url, peer)


def refused(answer: Answer, endpoint: str) -> bool:
    """Whether it was refused for its signature: 401, at the token endpoint the OAuth error in its place."""
    if endpoint == "/ocm/token":
        assert answer.headers["cache-control"] == "no-store"
        return (answer.status, answer.json) == (400, {"error": "invalid_client"})
    return answer.status == 401 and answer.json["message"].startswith("sig-")


def parameters_of(message: Message, **changes: str | None) -> str:
    values = {"created": str(int(time.time())), "keyid": f'"{message.peer.signer.keyid}"', "alg": '"ed25519"', **changes}
    return "".join(f";{name}={value}" for name, value in values.items() if value is not None)


def second_in_one_line(message: Message) -> Message:
    bad = message
    for name in ("signature-input", "signature"):
        bad = bad.with_header(name, f"{message.header(name)}, {message.header(name)}")
    return bad


def second_in_two_lines(message: Message) -> Message:
    return replace(message, headers=(*message.headers, *message.headers[-2:]))


def by_hmac(message: Message) -> Message:
    """With our public key as the shared secret."""
    public = base64.urlsafe_b64decode(message.peer.signer.public_jwks()["keys"][0]["x"] + "=")
    parameters = parameters_of(message, alg='"hmac-sha256"')
    return message.signed_anew(parameters=parameters, sign=lambda base: hmac.digest(public, base, "sha256"))


def sha512_beside(message: Message) -> Message:
    wrong = base64.b64encode(hashlib.sha512(b"another body").digest()).decode()
    both = f"{message.header('content-digest')}, sha-512=:{wrong}:"
    return message.with_header("content-digest", both).signed_anew()


def changed(body: bytes) -> bytes:
    """Another body of the same length and form."""
    return body.replace(b'"user"', b'"usar"').replace(b'"x"', b'"y"').replace(b"xx", b"xy")


def other_body(message: Message) -> Message:
    """With its own digest, which then is not the one that was signed."""
    body = changed(message.body)
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return replace(message, body=body).with_header("content-digest", f"sha-256=:{digest}:")


BAD: dict[str, Callable[[Message], Message]] = {
    "unsigned": lambda m: replace(m, headers=tuple(unsigned(m.headers))),
    "body": lambda m: replace(m, body=changed(m.body)),
    "body-and-digest": other_body,
    "date": lambda m: m.with_header("date", "Mon, 02 Feb 2026 02:40:00 GMT"),
    "digest-missing": lambda m: m.with_header("content-digest", None),
    "digest-wrong-beside-right": sha512_beside,
    "path": lambda m: replace(m, at=m.at + "?a=b"),
    "target-of-another-server": lambda m: replace(m, url=m.url.replace("127.0.0.1", "127.0.0.2")).signed_anew(),
    "plain-target": lambda m: replace(m, url=m.url.replace("http:", "https:")).signed_anew(),
    "stale": lambda m: m.signed_anew(parameters=parameters_of(m, created=str(int(time.time()) - 301))),
    "future": lambda m: m.signed_anew(parameters=parameters_of(m, created=str(int(time.time()) + 90))),
    "expired": lambda m: m.signed_anew(parameters=parameters_of(m) + f";expires={int(time.time()) - 1}"),
    "no-created": lambda m: m.signed_anew(parameters=parameters_of(m, created=None)),
    "no-keyid": lambda m: m.signed_anew(parameters=parameters_of(m, keyid=None)),
    "unknown-keyid": lambda m: m.signed_anew(parameters=parameters_of(m, keyid=f'"{m.peer.host}#other"')),
    "hmac": by_hmac,
    "none": lambda m: m.signed_anew(parameters=parameters_of(m, alg='"none"'), sign=lambda base: b""),
    "none-signed": lambda m: m.signed_anew(parameters=parameters_of(m, alg='"none"')),
    "rsa-said": lambda m: m.signed_anew(parameters=parameters_of(m, alg='"rsa-v1_5-sha256"')),
    "zeros": lambda m: m.signed_anew(sign=lambda base: bytes(64)),
    "empty": lambda m: m.signed_anew(sign=lambda base: b""),
    "other-label": lambda m: m.signed_anew(label="sig1"),
    "second-in-one-line": second_in_one_line,
    "second-in-two-lines": second_in_two_lines,
    "label-only-in-input": lambda m: m.with_header("signature", m.header("signature").replace("ocm=", "sig1=")),
    "garbage": lambda m: m.with_header("signature-input", "ocm=("),
    **{
        f"without {name}": lambda m, name=name: m.signed_anew(components=tuple(c for c in COMPONENTS if c != name))  # type: ignore[misc]
        for name in COMPONENTS
    },
    "nothing-covered": lambda m: m.signed_anew(components=()),
}


@pytest.mark.spec("SIG-2", "SIG-9", "RECV-3", "RECV-9", "CODE-2", "NOTIF-4", "SIG-3", "SIG-4", "SIG-5", "SIG-6", "SIG-7")
@pytest.mark.parametrize("endpoint", ["/ocm/shares", "/ocm/notifications", "/ocm/token"])
@pytest.mark.parametrize("defect", BAD)
def test_a_bad_signature_is_refused(site: Site, bob: User, peer: SimulatedPeer, defect: str, endpoint: str) -> None:
    answer = BAD[defect](message_for(endpoint, site, bob, peer)).send(site)
    assert refused(answer, endpoint), answer
    assert site.stored_from(peer.host) == 0


@pytest.mark.spec("SIG-2", "SIG-9")
def test_what_the_defects_start_from_is_good(site: Site, bob: User, peer: SimulatedPeer) -> None:
    assert message_for("/ocm/shares", site, bob, peer).send(site).status == 201
    assert message_for("/ocm/shares", site, bob, peer).signed_anew().send(site).status == 201
    assert message_for("/ocm/notifications", site, bob, peer).signed_anew().send(site).status == 403
    assert message_for("/ocm/token", site, bob, peer).signed_anew().send(site).json == {"error": "invalid_grant"}
    aged = message_for("/ocm/shares", site, bob, peer)
    aged = aged.signed_anew(parameters=parameters_of(aged, created=str(int(time.time()) - 240)))
    assert aged.send(site).status == 201


@pytest.mark.spec("SIG-9", "SIG-5")
@pytest.mark.parametrize("endpoint", ["/ocm/shares", "/ocm/notifications", "/ocm/token"])
def test_a_replay_is_refused(site: Site, bob: User, peer: SimulatedPeer, endpoint: str) -> None:
    message = message_for(endpoint, site, bob, peer)
    assert not refused(message.send(site), endpoint)
    assert refused(message.send(site), endpoint)
    headers = [(name.title(), value) for name, value in reversed(message.headers)]
    assert refused(site.ask("POST", endpoint, headers, message.body), endpoint)


@pytest.mark.spec("SIG-8", "SIG-9")
@pytest.mark.parametrize("endpoint", ["/ocm/shares", "/ocm/notifications", "/ocm/token"])
def test_the_key_of_another_server_is_refused(
    site: Site, bob: User, peer: SimulatedPeer, stranger: SimulatedPeer, endpoint: str
) -> None:
    message = message_for(endpoint, site, bob, peer)
    as_peer = message.signed_anew(sign=stranger.signer.sign)
    assert refused(as_peer.send(site), endpoint)
    as_itself = message.signed_anew(
        sign=stranger.signer.sign, parameters=parameters_of(message, keyid=f'"{stranger.signer.keyid}"')
    )
    answer = as_itself.send(site)
    assert answer.status == (400 if endpoint == "/ocm/token" else 403)
    assert site.stored_from(peer.host) == site.stored_from(stranger.host) == 0


@pytest.mark.spec("SIG-9")
def test_the_host_header_is_not_what_is_signed(site: Site, bob: User, peer: SimulatedPeer) -> None:
    """The configured origin is; so a message for another server cannot be handed to us with its Host header."""
    message = message_for("/ocm/shares", site, bob, peer)
    elsewhere = replace(message, url=message.url.replace(site.host, "other.example.org")).signed_anew()
    assert refused(elsewhere.with_header("host", "other.example.org").send(site), "/ocm/shares")


@pytest.mark.spec("SIG-1", "SIG-9")
def test_discovery_says_that_signatures_are_demanded(site: Site, closed: Site) -> None:
    document = site.ask("GET", "/.well-known/ocm").json
    assert "must-use-http-sig" in document["criteria"]
    assert "http-sig" in document["capabilities"]
    assert "must-use-http-sig" not in closed.ask("GET", "/.well-known/ocm").json["criteria"]
    answer = site.ask("GET", "/.well-known/jwks.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    keys: list[dict[str, Any]] = answer.json["keys"]
    assert all(key["kid"] and key["kty"] == "OKP" and "d" not in key for key in keys)
    assert len(keys) >= 1


@pytest.mark.spec("SIG-9", "CODE-2", "NOTIF-4")
@pytest.mark.parametrize("endpoint", ["/ocm/notifications", "/ocm/token"])
def test_unsigned_shares_switched_on_open_nothing_else(
    closed: Site, frank: User, make_peer: Any, allowed_ports: tuple[int, int], endpoint: str
) -> None:
    message = message_for(endpoint, closed, frank, make_peer(allowed_ports[0]))
    assert refused(BAD["unsigned"](message).send(closed), endpoint)
