"""Signed messages as no HTTP client would send them; and why a message is refused, for the operator alone."""

import json
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.federation.peer import SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.test_signatures import BAD, COMPONENTS, Message, message_for
from tests.federation.wire import SECONDS, wait_until


@pytest.fixture(scope="module")
def own(start_site: Callable[..., Site]) -> Site:
    """A server whose log no other test fills."""
    return start_site("transport", ["carl"])


@pytest.fixture(scope="module")
def carl(own: Site) -> User:
    return User(own, "carl")


def send_raw(site: Site, data: bytes, *, then_close: bool = False) -> bytes:
    """Send bytes; return all that comes back until the server closes, or the first answer is whole."""
    url = urlsplit(site.origin)
    with socket.create_connection((url.hostname, url.port), timeout=SECONDS) as connection:
        connection.sendall(data)
        if then_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
            head, _, body = received.partition(b"\r\n\r\n")
            length = next((int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")), None)
            if length is not None and len(body) >= length:
                break
    return received


def head_of(message: Message, site: Site, **changes: str | None) -> bytes:
    headers = {"host": site.host, **dict(message.headers), **changes}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"POST {message.at} HTTP/1.1", *lines, "", ""]).encode()


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def told(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        message = json.loads(body)["message"]
    except (ValueError, KeyError):
        message = ""
    return int(head.split()[1]) if head else 0, message


def without_length(message: Message) -> Message:
    """Signed without the length, as whoever sends in pieces must."""
    bare = message.with_header("content-length", None)
    return bare.signed_anew(components=tuple(name for name in COMPONENTS if name != "content-length"))


def test_a_body_in_pieces_has_no_length_that_could_be_signed(own: Site, carl: User, peer: SimulatedPeer) -> None:
    message = message_for("/ocm/shares", own, carl, peer)
    in_pieces = {"transfer-encoding": "chunked", "content-length": None}
    assert told(send_raw(own, head_of(message, own, **in_pieces) + chunked(message.body))) == (401, "sig-component-missing")
    unsaid = without_length(message)
    assert told(send_raw(own, head_of(unsaid, own, **in_pieces) + chunked(message.body))) == (401, "sig-component-missing")
    assert own.stored_from(peer.host) == 0


def test_length_and_pieces_together_are_no_request(own: Site, carl: User, peer: SimulatedPeer) -> None:
    message = message_for("/ocm/shares", own, carl, peer)
    both = head_of(message, own, **{"transfer-encoding": "chunked"})
    status, _ = told(send_raw(own, both + chunked(message.body)))
    assert status in (0, 400)
    assert own.stored_from(peer.host) == 0


def test_a_body_that_is_longer_than_it_says_counts_as_far_as_it_says(own: Site, carl: User, peer: SimulatedPeer) -> None:
    message = message_for("/ocm/shares", own, carl, peer)
    # What comes after the body is read as the next request, which is none: the connection ends after the answer.
    assert told(send_raw(own, head_of(message, own) + message.body + b" and more"))[0] == 201
    stored = own.stored_from(peer.host)
    assert stored == 1
    shorter = message_for("/ocm/shares", own, carl, peer)
    said = head_of(shorter, own, **{"content-length": str(len(shorter.body) - 1)})
    assert told(send_raw(own, said + shorter.body)) == (401, "sig-digest")
    padded = message_for("/ocm/shares", own, carl, peer)
    cut = Message(padded.at, padded.headers, padded.body + b" ", padded.url, padded.peer)
    said = head_of(cut, own, **{"content-length": str(len(cut.body))})
    assert told(send_raw(own, said + cut.body)) == (401, "sig-digest")
    assert own.stored_from(peer.host) == stored


def test_a_body_that_ends_too_early_is_no_message(own: Site, carl: User, peer: SimulatedPeer) -> None:
    message = message_for("/ocm/shares", own, carl, peer)
    begun = time.monotonic()
    answer = send_raw(own, head_of(message, own) + message.body[:-1], then_close=True)
    assert told(answer)[0] == 400
    assert time.monotonic() - begun < 45, "nobody waited for more, which is for a minute"
    assert own.stored_from(peer.host) == 0


def test_a_refusal_explains_itself_to_the_operator_and_not_to_the_peer(own: Site, carl: User, peer: SimulatedPeer) -> None:
    message = message_for("/ocm/shares", own, carl, peer)
    for_https = BAD["plain-target"](message)
    answer = for_https.send(own)
    assert (answer.status, answer.json) == (401, {"message": "sig-mismatch", "validationErrors": []})
    (found,) = wait_until(lambda: own.exchanges("--peer", peer.host, "--reason", "sig-mismatch"))
    differs = found["diagnosis"]["differs"]
    assert (differs["component"], differs["expected"], differs["received"]) == ("@target-uri", for_https.url, message.url)
    assert set(COMPONENTS) <= set(found["diagnosis"]["covered"])
    shown = own.ocm("log", "show", str(found["id"]), "--dir", str(own.folder))
    assert f"It was signed for {for_https.url}, and here that is {message.url}." in shown
    assert '"@method": POST' in shown
