"""Codes exchanged for tokens: what we ask for, what we give, whom we refuse in which words, and that nothing is interrupted."""

import time
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from opencloudmesh.protocol.code_flow import build_token_request
from tests.federation.peer import FORM, JSON, SimulatedPeer, json_answer
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import Answer, wait_until


@pytest.fixture
def code(alice: User, peer: SimulatedPeer, place: str) -> str:
    """The secret of a file of alice shared with the peer."""
    alice.put(place, b"what is shared")
    alice.share(place, f"carol@{peer.host}")
    return str(peer.shares[0]["protocol"]["webdav"]["sharedSecret"])


@pytest.fixture
def mounted(site: Site, bob: User, peer: SimulatedPeer) -> str:
    """Where bob finds a file that the peer shares with him by tokens only."""
    return mount(bob, peer)


def mount(user: User, peer: SimulatedPeer, **webdav: object) -> str:
    message = peer.share(user.address)
    message["protocol"]["webdav"] |= webdav
    peer.files[f"/dav/ocm/{message['providerId']}"] = b"of carol"
    assert peer.post(user.site.origin, "/ocm/shares", message).status == 201
    return str(user.answer("accept", message["providerId"])["path"])


def refusal(answer: Answer) -> str:
    """The OAuth word of a refusal in the form of the draft."""
    assert (answer.status, answer.headers["content-type"], answer.headers["cache-control"]) == (400, JSON, "no-store")
    assert set(answer.json) <= {"error", "error_description"}
    return str(answer.json["error"])


# ---------------------------------------------------------------- what we ask for
@pytest.mark.spec("CODE-1", "ACC-2")
def test_our_token_request(site: Site, bob: User, peer: SimulatedPeer) -> None:
    peer.introduce(tokenEndPoint=f"{peer.origin}/deep/token?tenant=1")
    given = json_answer(200, {"access_token": "opaque", "token_type": "bearer", "expires_in": 60})
    peer.answers["POST", "/deep/token?tenant=1"] = given
    peer.tokens["opaque"] = time.time() + 60
    path = mount(bob, peer, sharedSecret="the-secret-of-carol")
    assert bob.dav("GET", path).body == b"of carol"
    (asked,) = peer.asked("POST", "/deep/token?tenant=1")
    assert asked.header("content-type") == FORM
    assert asked.form == {"grant_type": ["authorization_code"], "client_id": [site.host], "code": ["the-secret-of-carol"]}
    assert f'keyid="{site.host}#' in asked.header("signature-input")
    assert all("the-secret-of-carol" not in seen.path for seen in peer.requests)


@pytest.mark.spec("CODE-4", "CODE-8")
def test_one_token_serves_many_requests(bob: User, peer: SimulatedPeer, mounted: str) -> None:
    for _ in range(5):
        assert bob.dav("GET", mounted).body == b"of carol"
    assert len(peer.asked("POST", "/ocm/token")) == 1


@pytest.mark.spec("CODE-8")
def test_a_new_token_is_fetched_before_the_old_one_ends(bob: User, peer: SimulatedPeer) -> None:
    """They open for longer than the peer says: so none is refused, and what is fetched is fetched because of the time."""

    def brief(_: object) -> Answer:
        token = told.new()
        peer.tokens[token] = time.time() + 300
        return json_answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 1})

    peer.answers["POST", "/ocm/token"] = brief
    path = mount(bob, peer)

    def read() -> bool:
        assert bob.dav("GET", path).body == b"of carol"
        return len({seen.header("authorization") for seen in peer.asked("GET", path_there)}) >= 3

    path_there = next(iter(peer.files))
    wait_until(read)


@pytest.mark.spec("CODE-8")
def test_a_token_that_is_refused_early_is_renewed(bob: User, peer: SimulatedPeer, mounted: str) -> None:
    assert bob.dav("GET", mounted).status == 200
    peer.tokens.clear()
    assert bob.dav("GET", mounted).body == b"of carol"
    assert len(peer.asked("POST", "/ocm/token")) == 2


@pytest.mark.spec("CODE-8")
def test_a_long_use_of_a_real_server_goes_on(strict: Site, erin: User, bob: User, place: str) -> None:
    """`strict` gives tokens of one second."""
    erin.make_folder(place)
    for number in range(3):
        erin.put(f"{place}/{number}", b"%d" % number)
    share = erin.share(place, bob.address)
    path = bob.answer("accept", share["provider_id"])["path"]
    end = time.time() + 2.2
    rounds = 0
    while time.time() < end or rounds < 4:
        assert bob.dav("PROPFIND", path + "/", [("depth", "1")]).status == 207
        for number in range(3):
            assert bob.dav("GET", f"{path}/{number}").body == b"%d" % number
        rounds += 1


# ---------------------------------------------------------------- what we give
@pytest.mark.spec("CODE-4", "CODE-5")
def test_our_answer(site: Site, strict: Site, peer: SimulatedPeer, code: str) -> None:
    answers = [peer.request_token(site.origin, code) for _ in range(3)]
    for answer in answers:
        assert (answer.status, answer.headers["content-type"], answer.headers["cache-control"]) == (200, JSON, "no-store")
        assert set(answer.json) == {"access_token", "token_type", "expires_in"}
        assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 300)
    tokens = {answer.json["access_token"] for answer in answers}
    assert len(tokens) == 3
    target = peer.shares[0]["protocol"]["webdav"]["uri"].removeprefix(site.origin)
    for token in tokens:
        assert site.ask("GET", target, [("authorization", f"Bearer {token}")]).status == 200


@pytest.mark.spec("CODE-3")
def test_further_parameters_are_ignored(site: Site, peer: SimulatedPeer, code: str) -> None:
    body = build_token_request(code, peer.host) + b"&redirect_uri=https%3A%2F%2Fx&scope=&state=1&code_verifier=v&state2"
    assert peer.post(site.origin, "/ocm/token", body, content_type=FORM).status == 200
    body = body.replace(b"authorization_code", b"ocm_share")  # of deployed servers
    assert peer.post(site.origin, "/ocm/token", body, content_type=FORM).status == 200


@pytest.mark.spec("CODE-5")
@pytest.mark.parametrize(
    ("body", "content_type", "word"),
    [
        ("", FORM, "invalid_request"),
        ("grant_type=authorization_code&client_id={host}", FORM, "invalid_request"),
        ("grant_type=authorization_code&code=x", FORM, "invalid_request"),
        ("client_id={host}&code=x", FORM, "invalid_request"),
        ("grant_type=password&client_id={host}&code=x", FORM, "unsupported_grant_type"),
        ("grant_type=authorization_code&client_id={host}&code=x&code=x", FORM, "invalid_request"),
        ("grant_type=authorization_code&client_id={host}&client_id={host}&code=x", FORM, "invalid_request"),
        ("grant_type=authorization_code&client_id=a%20b%2F&code=x", FORM, "invalid_client"),
        ("grant_type=authorization_code&client_id={host}&code=%00", FORM, "invalid_request"),
        ("grant_type=authorization_code&client_id={host}&code=%ff", FORM, "invalid_request"),
        ("grant_type=authorization_code&client_id={host}&code=" + "x" * 5000, FORM, "invalid_request"),
        ("a=b&" * 1000, FORM, "invalid_request"),
        ("grant_type=authorization_code&client_id={host}&code=there-is-no-such-code", FORM, "invalid_grant"),
        ("grant_type=authorization_code&client_id={host}&code=x", "text/plain", "invalid_request"),
        ("x" * (1 << 20 | 1), FORM, "invalid_request"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_request_gets_its_word(site: Site, peer: SimulatedPeer, body: str, content_type: str, word: str) -> None:
    sent = body.replace("{host}", urlencode({"": peer.host})[1:]).encode()
    assert refusal(peer.post(site.origin, "/ocm/token", sent, content_type=content_type)) == word


@pytest.mark.spec("CODE-2", "CODE-5")
def test_only_the_recipients_server_gets_a_token(site: Site, peer: SimulatedPeer, stranger: SimulatedPeer, code: str) -> None:
    assert refusal(stranger.request_token(site.origin, code)) == "invalid_grant"
    assert refusal(stranger.request_token(site.origin, code, client_id=peer.host)) == "invalid_client"
    assert refusal(peer.request_token(site.origin, code, client_id=stranger.host)) == "invalid_client"
    assert refusal(peer.request_token(site.origin, code, client_id="elsewhere.invalid")) == "invalid_client"
    assert peer.request_token(site.origin, code).status == 200


@pytest.mark.spec("CODE-2", "CODE-5")
def test_a_code_of_anothers_share_looks_like_none(site: Site, peer: SimulatedPeer, stranger: SimulatedPeer, code: str) -> None:
    other, unknown = stranger.request_token(site.origin, code), stranger.request_token(site.origin, "x" * 32)
    assert (other.status, other.body) == (unknown.status, unknown.body)


@pytest.mark.spec("CODE-2", "CODE-5", "SHARE-19")
@pytest.mark.parametrize("how", ["unshared", "declined", "expired"])
def test_a_share_that_ended_gives_no_token(site: Site, alice: User, peer: SimulatedPeer, place: str, how: str) -> None:
    alice.put(place)
    share = alice.share(place, f"carol@{peer.host}", expires_at=time.time() + 3600 if how == "expired" else None)
    code = peer.shares[0]["protocol"]["webdav"]["sharedSecret"]
    acts: dict[str, Callable[[], object]] = {
        "unshared": lambda: alice.unshare(share),
        "declined": lambda: peer.notify(site.origin, "SHARE_DECLINED", share["provider_id"]),
        "expired": lambda: site.let_expire("outgoing_shares", share["provider_id"]),
    }
    assert peer.request_token(site.origin, code).status == 200
    acts[how]()
    assert refusal(peer.request_token(site.origin, code)) == "invalid_grant"


@pytest.mark.spec("ACC-9", "CODE-7")
def test_a_token_opens_its_own_share_only_and_ends(
    strict: Site, site: Site, alice: User, erin: User, peer: SimulatedPeer, place: str
) -> None:
    targets, secrets = [], []
    for number, user in enumerate((alice, alice, erin)):
        user.put(f"{place} {number}")
        user.share(f"{place} {number}", f"carol@{peer.host}")
        webdav = peer.shares[number]["protocol"]["webdav"]
        targets.append(webdav["uri"].removeprefix(user.site.origin))
        secrets.append(webdav["sharedSecret"])
    tokens = [peer.access_token(site.origin, secret) for secret in secrets[:2]]

    def status(target: str, token: str, server: Site = site) -> int:
        return server.ask("GET", target, [("authorization", f"Bearer {token}")]).status

    assert [status(targets[0], tokens[0]), status(targets[1], tokens[1])] == [200, 200]
    assert [status(targets[0], tokens[1]), status(targets[1], tokens[0])] == [401, 401]
    assert status(targets[2], tokens[0], strict) == 401
    head, claims, signature = tokens[0].split(".")
    for forged in (
        f"{head}.{claims}.",
        f"{head}.{claims}.{signature[::-1]}",
        f"eyJhbGciOiJub25lIn0.{claims}.",
        f"..{signature}",
        "a.b.c",
    ):
        assert status(targets[0], forged) == 401

    def of_one_second() -> str:
        """One that opened a moment ago."""
        token = peer.access_token(strict.origin, secrets[2])
        return token if status(targets[2], token, strict) == 200 else ""

    ended = wait_until(of_one_second)
    wait_until(lambda: status(targets[2], ended, strict) == 401)


# ---------------------------------------------------------------- what a peer's token endpoint may do to us
@pytest.mark.spec("ACC-2", "CODE-7")
@pytest.mark.parametrize(
    "answer",
    [
        json_answer(400, {"error": "invalid_grant"}),
        json_answer(200, {}),
        json_answer(200, {"access_token": "a\r\nb", "token_type": "Bearer", "expires_in": 3}),
        json_answer(200, {"access_token": "a", "token_type": "mac", "expires_in": 3}),
        json_answer(200, {"access_token": "a", "token_type": "Bearer", "expires_in": -3}),
        json_answer(200, ["list"]),
        Answer(500),
        Answer(302, {"location": "http://127.0.0.1:1/"}),
        Answer(200, {}, b"x" * (2 << 20)),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:40]!r}",
)
def test_without_a_token_nothing_is_read(bob: User, peer: SimulatedPeer, mounted: str, answer: Answer) -> None:
    peer.answers["POST", "/ocm/token"] = answer
    refused = bob.dav("GET", mounted)
    assert refused.status in (403, 502, 503, 504), refused
    assert bob.received(mounted_id(peer))["state"] == "accepted"
    assert not any(seen.header("authorization") for seen in peer.requests)


def mounted_id(peer: SimulatedPeer) -> str:
    return next(iter(peer.files)).rpartition("/")[2]
