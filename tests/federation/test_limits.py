"""What one address, one server and one sender may take of a real server: 429 or 503 with Retry-After, and others go on."""

import base64
import contextlib
import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import pytest

from tests.federation.peer import SimulatedPeer
from tests.federation.site import PASSWORD, Site, User
from tests.federation.test_own_files import is_clean, sending, status_of
from tests.federation.wire import SECONDS, Answer, ask_raw, wait_until

IDLE = 1.5
SMALL = {
    "header_bytes": "4096",
    "message_bytes": "4096",
    "failures_per_address": "5",
    "logins_per_user": "3",
    "logins_per_address": "6",
    "messages_per_peer": "12",
    "shares_per_recipient": "4",
}


@pytest.fixture(scope="module")
def start(start_site: Callable[..., Site]) -> Callable[..., Site]:
    """A server with small limits; `more` are others."""
    return lambda name, **more: start_site(f"limited {name}", ["alice", "bob"], SMALL | more)


def refused(answers: Iterable[Answer], status: int = 429) -> list[Answer]:
    """Those of a limit; each says when to come again."""
    found = [answer for answer in answers if answer.status == status]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in found)
    return found


def offer(peer: SimulatedPeer, user: User) -> Answer:
    return peer.post(user.site.origin, "/ocm/shares", peer.share(user.address))


def test_shares_of_one_server_for_one_recipient(start: Callable[..., Site], peer: SimulatedPeer, stranger: SimulatedPeer) -> None:
    site = start("by recipient")
    alice, bob = User(site, "alice"), User(site, "bob")
    answers = [offer(peer, alice) for _ in range(6)]
    assert [answer.status for answer in answers] == [201] * 4 + [429] * 2
    assert len(refused(answers)) == 2
    assert answers[-1].json["message"] == "recipient-limited"
    assert offer(peer, bob).status == 201, "another recipient"
    assert offer(stranger, alice).status == 201, "another server"
    assert len(alice.inbox()) == 5


def test_messages_of_one_server(start: Callable[..., Site], peer: SimulatedPeer, stranger: SimulatedPeer) -> None:
    site = start("by server", shares_per_recipient="1000")
    alice = User(site, "alice")
    assert [offer(peer, alice).status for _ in range(12)] == [201] * 12
    wait_until(lambda: refused([offer(peer, alice)]))
    assert offer(stranger, alice).status == 201, "another server"
    wait_until(lambda: "429" in site.ocm("log", "--peer", peer.host, "--reason", "rate-limited", "--dir", str(site.folder)))


def test_refused_signatures_tokens_and_secrets(start: Callable[..., Site], peer: SimulatedPeer, stranger: SimulatedPeer) -> None:
    site = start("refusals")
    alice = User(site, "alice")
    assert offer(peer, alice).status == 201
    forged = [
        peer.post(site.origin, "/ocm/shares", peer.share(alice.address), signer=stranger.signer, keyid=f"{stranger.host}#other")
        for _ in range(8)
    ]
    assert refused(forged)
    assert offer(peer, alice).status == 201, "its key was right lately at this address"
    guessed = [peer.request_token(site.origin, f"no such code {number}") for number in range(8)]
    assert refused(guessed)
    basic = base64.b64encode(b"guessed:guessed").decode()
    paths = ("/dav/ocm/x/", "/dav/ocm/", "/dav/ocm/some/file")
    opened = [site.ask("PROPFIND", paths[n % 3], [("authorization", f"Basic {basic}{n}")]) for n in range(8)]
    assert [answer.status for answer in opened[:2]] == [401, 401]
    assert refused(opened)


def test_wrong_passwords(start: Callable[..., Site]) -> None:
    site = start("logins")
    alice = User(site, "alice")
    body = b'{"username": "%s", "password": "wrong"}'

    def login(name: bytes) -> Answer:
        return site.ask("POST", "/api/v1/session", [("content-type", "application/json")], body % name)

    assert [login(b"alice").status for _ in range(3)] == [401] * 3
    throttled = wait_until(lambda: refused([login(b"alice")]))
    assert throttled[0].json["error"]["code"] == "login-throttled"
    assert re.match(r"Wait [1-9][0-9]* s, ", throttled[0].json["error"]["hint"]), "a person sees no Retry-After"
    assert alice.api("GET", "/me")["name"] == "alice", "a session goes on"
    names = itertools.count()
    wait_until(lambda: refused([login(b"user%d" % next(names))]))  # another name does not help the same address
    wrong = base64.b64encode(b"bob:wrong").decode()
    wait_until(lambda: refused([site.ask("PROPFIND", "/dav/files/bob/", [("authorization", f"Basic {wrong}")])]))  # a login too
    app = [("authorization", "Basic " + base64.b64encode(b"alice:ocm-guessed").decode())]
    for method, path in (("GET", "/api/v1/me"), ("PROPFIND", "/dav/files/alice/"), ("PROPFIND", "/dav/files/")):
        wait_until(lambda method=method, path=path: refused([site.ask(method, path, app)]))  # guessed app passwords count
    assert PASSWORD not in site.log_text()


@pytest.fixture(scope="module")
def alice(start: Callable[..., Site]) -> User:
    """Of a server with small limits on every connection: on a busy machine any client may be idle for a moment."""
    return User(start("connections", header_seconds=str(IDLE), idle_seconds=str(IDLE)), "alice")


def test_bodies_and_heads(alice: User, peer: SimulatedPeer) -> None:
    site = alice.site
    large = peer.post(site.origin, "/ocm/shares", peer.share(alice.address, description="x" * 5000))
    assert large.status == 413
    head = b"GET /.well-known/ocm HTTP/1.1\r\nhost: x\r\n" + b"x: " + b"y" * 5000
    assert ask_raw(site.origin, head) == 431, "it is refused before it ends"
    with socket.create_connection(("127.0.0.1", site.port), timeout=SECONDS) as slow:
        slow.sendall(b"GET /.well-known/ocm HTTP/1.1\r\nhost: x")
        assert slow.recv(100)[:12] in (b"", b"HTTP/1.1 408"), "it does not wait for the rest for ever"
    assert offer(peer, alice).status == 201


def test_a_slow_upload_is_taken_and_one_that_stands_still_is_not(alice: User) -> None:
    with sending(alice, "slow", 6 * 1000, b"") as connection:
        for _ in range(6):
            time.sleep(IDLE / 4)
            connection.sendall(b"x" * 1000)
        assert status_of(connection) == 201
    begun = time.monotonic()
    with sending(alice, "still", 2000, b"x" * 1000) as connection:
        assert status_of(connection) in (0, 408)
    assert time.monotonic() - begun > IDLE * 0.9
    assert alice.dav("GET", "still").status == 404
    wait_until(lambda: is_clean(alice.site.files_of("alice")))


def test_a_slow_download_is_served_and_one_that_stands_still_is_not(alice: User) -> None:
    size = 24 << 20
    alice.put("big", b"")
    with (alice.site.files_of("alice") / "big").open("wb") as file:
        file.truncate(size)

    def download(pause: float, pauses: int) -> int:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.settimeout(SECONDS)
        received = 0
        with contextlib.closing(connection):
            connection.connect(("127.0.0.1", alice.site.port))
            head = f"GET /dav/files/alice/big HTTP/1.1\r\nhost: {alice.site.host}\r\nconnection: close\r\n"
            connection.sendall(f"{head}authorization: Bearer {alice.token}\r\n\r\n".encode())
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(1 << 18):
                    received += len(part)
                    if pauses:
                        pauses -= 1
                        time.sleep(pause)
        return received

    assert download(IDLE / 4, 6) > size
    assert download(IDLE * 3, 1) < size


def test_requests_at_once_of_one_address(
    start: Callable[..., Site], peer: SimulatedPeer, stranger: SimulatedPeer, place: str
) -> None:
    site = start(f"at once {place}", at_once_per_address="3")
    asked = b"POST /ocm/shares HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n{"
    with ExitStack() as stack:
        for _ in range(3):
            waiting = stack.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=SECONDS))
            waiting.sendall(asked)
        wait_until(lambda: bool(refused([offer(peer, User(site, "alice"))], 503)))
    wait_until(lambda: offer(peer, User(site, "alice")).status == 201)


def test_a_flood_leaves_few_lines_in_the_log(start: Callable[..., Site], peer: SimulatedPeer) -> None:
    site = start("flood", requests_per_address="50")

    def flood() -> None:
        for _ in range(60):
            site.ask("POST", "/ocm/shares", [("content-type", "application/json")], b"{}")

    threads = [threading.Thread(target=flood) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: refused([site.ask("POST", "/ocm/shares", [("content-type", "application/json")], b"{}")]))
    lines = [line for line in site.log_text().splitlines() if "refused" in line]
    assert len(lines) < 30
    assert site.ask("GET", "/healthz").status == 200


def test_servers_that_a_visitor_types(start: Callable[..., Site], make_peer: Callable[..., SimulatedPeer]) -> None:
    """`/wayf` looks for what is typed there: what one address has us ask is limited, and a user of ours is not held up by it."""
    site = start("by visitor", fetches_per_address="3")

    def is_refused() -> bool:
        page = site.ask("GET", f"/wayf?token=t&server={make_peer().host}").body
        return b"name too many servers" in page

    assert [is_refused() for _ in range(3)] == [False] * 3
    wait_until(is_refused)
    assert User(site, "alice").ask_api("GET", f"/discover?host={make_peer().host}").status == 200
