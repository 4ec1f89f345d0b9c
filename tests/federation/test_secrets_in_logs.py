"""Nothing that opens anything stands in a log or in a URL, whatever happens on the way."""

import base64
import re
from contextlib import suppress

import pytest

from tests.federation.left_behind import examine
from tests.federation.peer import FORM, SimulatedPeer, json_answer
from tests.federation.secrets_told import told
from tests.federation.site import PASSWORD, Site, User
from tests.federation.wire import Answer, wait_until

_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
_CREDENTIALS = re.compile(r"(?i)\b(bearer|basic) +[A-Za-z0-9+/=._-]{8,}")


@pytest.mark.spec("CODE-7", "SHARE-10")
def test_a_whole_story_leaves_no_secret_in_any_log(
    site: Site, strict: Site, alice: User, bob: User, erin: User, peer: SimulatedPeer, place: str
) -> None:
    before = len(site.log_text()), len(strict.log_text())
    two_servers(alice, erin, place)
    app_password(site, alice)
    given(site, alice, peer, place)
    received(site, bob, peer)
    faults(site, bob, peer)
    logs = site.log_text()[before[0] :], strict.log_text()[before[1] :]
    for log in logs:
        assert '"event": "exchange"' in log
        assert told.found_in(log) == []
        assert _JWT.findall(log) == []
        assert _CREDENTIALS.findall(log) == []
    assert told.found_in("\n".join(seen.path for seen in peer.requests)) == []


def two_servers(alice: User, erin: User, place: str) -> None:
    """erin's folder is used by alice through both servers, and taken back."""
    erin.make_folder(f"{place} of erin")
    erin.put(f"{place} of erin/file", b"of erin")
    share = erin.share(f"{place} of erin", alice.address, ("read", "write"))
    path = alice.answer("accept", share["provider_id"])["path"]
    assert alice.dav("GET", f"{path}/file").body == b"of erin"
    alice.put(f"{path}/back", b"of alice")
    assert erin.dav("GET", f"{place} of erin/back").body == b"of alice"
    erin.unshare(share)
    wait_until(lambda: alice.received(share["provider_id"])["state"] == "revoked")
    assert alice.dav("GET", f"{path}/file").status == 404


def app_password(site: Site, alice: User) -> None:
    """Right and wrong, at the files and at the user API, and where none belongs."""
    made = alice.api("POST", "/app-passwords", {"name": "a client"})
    secret = told.add(made["password"])
    right, wrong, other = (
        [("authorization", "Basic " + base64.b64encode(f"{pair}".encode()).decode())]
        for pair in (f"alice:{secret}", f"alice:{told.add('ocm-' + told.new())}", f"bob:{secret}")
    )
    for target, method in (("/dav/files/alice/", "PROPFIND"), ("/api/v1/me", "GET"), ("/api/v1/shares", "GET")):
        assert site.ask(method, target, right).status in (200, 207)
        assert site.ask(method, target, wrong).status == 401
    assert site.ask("PROPFIND", "/dav/files/bob/", other).status == 401
    assert site.ask("GET", "/api/v1/app-passwords", right).status == 403
    assert site.ask("PROPFIND", "/dav/ocm/no-such-share/", right).status == 401
    assert site.ask("PROPFIND", "/dav/files/alice/", [("authorization", f"Bearer {secret}")]).status == 401
    (listed,) = [one for one in alice.api("GET", "/app-passwords")["items"] if one["id"] == made["id"]]
    assert listed["last_used_at"] >= listed["created_at"]


def given(site: Site, alice: User, peer: SimulatedPeer, place: str) -> None:
    """alice's file is read with a token, with the secret, and with neither."""
    alice.put(place)
    alice.share(place, f"carol@{peer.host}")
    webdav = peer.shares[0]["protocol"]["webdav"]
    secret, target = webdav["sharedSecret"], webdav["uri"].removeprefix(site.origin)
    token = peer.access_token(site.origin, secret)
    basic = base64.b64encode(f"{secret}:".encode()).decode()
    told.add(basic)
    statuses = [
        site.ask("GET", target, [("authorization", value)]).status
        for value in (f"Bearer {token}", f"Bearer {secret}", f"Basic {basic}", f"Bearer {token}x")
    ]
    assert statuses == [200, 401, 401, 401]
    assert site.ask("GET", target + "/..", [("authorization", f"Bearer {token}")]).status == 403
    assert site.ask("LOCK", target, [("authorization", f"Bearer {token}")]).status in (403, 405)


def received(site: Site, bob: User, peer: SimulatedPeer) -> None:
    """carol's file is read, by each scheme, while its server answers, errs, refuses and breaks off."""
    for protocol in ("exchange", "secret", "options"):
        message = peer.share(bob.address, provider_id=None)
        webdav = message["protocol"]["webdav"]
        if protocol == "secret":
            webdav["requirements"] = []
            peer.answers["POST", "/ocm/token"] = json_answer(
                400, {"error": "invalid_grant", "error_description": webdav["sharedSecret"]}
            )
        if protocol == "options":
            message["protocol"] = {"name": "webdav", "options": {"sharedSecret": webdav["sharedSecret"]}}
        peer.files[f"/dav/ocm/{message['providerId']}"] = b"of carol"
        assert peer.post(site.origin, "/ocm/shares", message).status == 201
        path = bob.answer("accept", message["providerId"])["path"]
        bob.dav("GET", path)
        for answer in (Answer(500), Answer(401), Answer(302, {"location": f"{peer.origin}/elsewhere"})):
            peer.answers["GET", f"/dav/ocm/{message['providerId']}"] = answer
            assert bob.dav("GET", path).status >= 400
    peer.answers.clear()


def faults(site: Site, bob: User, peer: SimulatedPeer) -> None:
    """Secrets in requests that are refused: malformed, unknown, unsigned, wrong."""
    secret = told.new()
    share = peer.share(bob.address)
    share["protocol"]["webdav"] |= {"sharedSecret": secret, "permissions": [secret], "uri": 7}
    assert peer.post(site.origin, "/ocm/shares", share).status == 400
    assert peer.post(site.origin, "/ocm/shares", secret.encode()).status == 400
    assert peer.request_token(site.origin, secret).status == 400
    assert peer.post(site.origin, "/ocm/token", f"code={secret}&code={secret}".encode(), content_type=FORM).status == 400
    assert site.ask("GET", f"/dav/ocm/{told.new()}/x", [("authorization", f"Bearer {secret}")]).status == 401
    wrong = bob.ask_api("POST", "/session", {"username": "bob", "password": secret})
    assert wrong.status == 401
    assert bob.ask_api("POST", "/session", {"username": "bob", "password": [PASSWORD]}).status == 422
    basic = base64.b64encode(f"bob:{PASSWORD}".encode()).decode()
    told.add(basic)
    assert site.ask("PROPFIND", "/dav/files/bob/", [("authorization", f"Basic {basic}"), ("depth", "0")]).status == 207
    session = User(site, "bob")
    assert session.ask_api("DELETE", "/session").status == 204
    assert session.ask_api("GET", "/me").status == 401


@pytest.mark.spec("CODE-7", "SHARE-10")
def test_nothing_that_a_server_leaves_behind_holds_a_secret(
    site: Site, alice: User, bob: User, peer: SimulatedPeer, place: str
) -> None:
    """Database, exchange log, log, what commands say: of this story, and of all tests before it."""
    given(site, alice, peer, place)
    received(site, bob, peer)
    wait_until(lambda: site.exchanges("--peer", peer.host))
    for command in (["log", "show", str(site.exchanges("--limit", "1")[0]["id"])], ["doctor", peer.host], ["doctor"]):
        with suppress(RuntimeError):  # a finding; what was said is kept
            site.ocm(*command, "--dir", str(site.folder))
    found = examine(site, told)
    assert found.leaks == []
    assert found.exchanges >= 20
    assert found.secrets >= 6
    assert len(told) >= 15
    assert found.searched_bytes > 100_000
    assert sum(map(len, site.said)) > 2000
    for file in site.folder.rglob("*.key"):
        assert file.stat().st_mode & 0o077 == 0
