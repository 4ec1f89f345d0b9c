"""Down is not gone: real servers whose sender is killed, comes back, or swallows connections (design decision 14)."""

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.federation.black_hole import black_hole
from tests.federation.peer import SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.test_received_shares import take, webdav
from tests.federation.wire import SECONDS, Answer, quoted, wait_until

AT_ONCE = 0.1
GIVEN_UP = 25.0
"""More than any wait for a server that does not answer, on a busy machine too; less than the half minute that a file may wait."""


def timed(ask: Callable[[], Answer]) -> tuple[float, Answer]:
    started = time.monotonic()
    answer = ask()
    return time.monotonic() - started, answer


def quickly(ask: Callable[[], Answer], limit: float = AT_ONCE) -> Answer:
    """An answer within the limit. Others may have the processors for a while; who waits for another server always takes long."""

    def tried() -> Answer | None:
        spent, answer = timed(ask)
        return answer if spent < limit else None

    found: Answer = wait_until(tried)
    return found


def unavailable(user: User, provider_id: str) -> tuple[bool, str]:
    item = user.received(provider_id)
    assert item["state"] == "accepted"
    return item["unavailable_since"] is not None, item["unavailable_reason"]


def listed(user: User) -> bytes:
    answer = user.dav("PROPFIND", "Shared with me/", [("depth", "1")])
    assert answer.status == 207
    return answer.body


@pytest.fixture
def sender(start_site: Callable[..., Site], place: str) -> Iterator[Site]:
    """A server that may be killed."""
    site = start_site(f"sender of {place}", ["dora"])
    yield site
    site.stop()


def given(dora: User, to: User, *names: str) -> list[str]:
    """Files of dora's, shared and accepted: their provider ids."""
    found = []
    for name in names:
        dora.put(name, b"content of " + name.encode())
        provider_id = str(dora.share(name, to.address)["provider_id"])
        wait_until(lambda provider_id=provider_id: to.received(provider_id))
        to.answer("accept", provider_id)
        assert to.dav("GET", f"Shared with me/{name}").body == b"content of " + name.encode()
        found.append(provider_id)
    return found


def test_a_sender_is_killed_listed_left_and_found_again_by_a_probe(
    start_site: Callable[..., Site], sender: Site, place: str
) -> None:
    site = start_site(f"receiver of {place}", ["erik"], {"probe_first": "0.2", "probe_max": "1.0"})
    dora, erik = User(sender, "dora"), User(site, "erik")
    kept, left = given(dora, erik, "kept.txt", "left.txt")
    sender.kill()
    answer = erik.dav("GET", "Shared with me/kept.txt")
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert any(code in answer.body for code in (b">tcp-refused<", b">connection-lost<"))
    wait_until(lambda: unavailable(erik, kept)[0] and unavailable(erik, left)[0])
    answer = quickly(lambda: erik.dav("GET", "Shared with me/left.txt"))
    assert (answer.status, b">tcp-refused<" in answer.body, b" since 20" in answer.body) == (503, True, True)
    assert unavailable(erik, left) == (True, "tcp-refused")
    for _ in range(2):
        quickly(lambda: Answer(207, {}, listed(erik)))
        assert b"<d:getcontentlength>19<" in listed(erik), "its size as it was last seen"
        site.kill()
        site.start()
    assert erik.answer("leave", left)["state"] == "left"
    assert b"left.txt" not in listed(erik)
    assert unavailable(erik, kept)[0]
    sender.start()
    wait_until(lambda: unavailable(erik, kept) == (False, ""))
    assert erik.dav("GET", "Shared with me/kept.txt").body == b"content of kept.txt"
    site.stop()


def gets_what_waited_for_it_by_a_look(site: Site, sharing: User, recipient: User) -> None:
    """A server that comes back, and says nothing, is found by who has something for it."""
    site.kill()
    sharing.put("waiting.txt")
    provider_id = str(sharing.share("waiting.txt", recipient.address)["provider_id"])
    waiting = sharing.api("GET", "/deliveries?failed=true")["items"]
    assert [one["reason"] for one in waiting] == ["tcp-refused"]
    site.start()
    wait_until(lambda: recipient.received(provider_id))


def test_a_sender_that_sends_a_message_is_back_at_once(start_site: Callable[..., Site], sender: Site, place: str) -> None:
    times = {"probe_first": "3600", "probe_max": "3600", "retry_first": "3600", "look_every": "0.5"}
    site = start_site(f"receiver of {place}", ["erik"], times)
    dora, erik = User(sender, "dora"), User(site, "erik")
    gets_what_waited_for_it_by_a_look(sender, erik, dora)
    (kept,) = given(dora, erik, "kept.txt")
    sender.kill()
    assert erik.dav("GET", "Shared with me/kept.txt").status == 503
    wait_until(lambda: b" since 20" in erik.dav("GET", "Shared with me/kept.txt").body)
    sender.start()
    dora.put("more.txt")
    dora.share("more.txt", erik.address)
    wait_until(lambda: unavailable(erik, kept) == (False, ""))
    assert erik.dav("GET", "Shared with me/kept.txt").body == b"content of kept.txt"
    site.stop()


def test_a_black_hole_is_waited_for_once(bob: User, tmp_path: Path) -> None:
    peer = SimulatedPeer(tmp_path)
    peer.files["/dav/ocm/f"] = peer.files["/dav/ocm/g"] = b"of carol"
    with peer.serving():
        first, other = (take(bob, peer, webdav(peer, name, "must-exchange-token")) for name in "fg")
        assert bob.dav("GET", first).body == b"of carol"
        wait_until(lambda: len(peer.notifications) == 2)
    ids = [item["provider_id"] for item in bob.inbox() if item["path"] in (first, other)]
    with black_hole(peer.port):
        spent, answer = timed(lambda: bob.dav("GET", first))
        assert (answer.status, b">tcp-timeout<" in answer.body, spent < GIVEN_UP) == (503, True, True)
        wait_until(lambda: all(unavailable(bob, each) == (True, "tcp-timeout") for each in ids))
        for path in (first, other):
            assert quickly(lambda path=path: bob.dav("GET", path)).status == 503
        quickly(lambda: Answer(207, {}, listed(bob)))
        assert bob.answer("leave", ids[0])["state"] == "left"


@contextmanager
def upload_begun(user: User, path: str) -> Iterator[None]:
    """A PUT that the user's server has begun to read, and that never ends by itself."""
    place, host = f"/dav/files/{user.name}/{quoted(path)}", user.site.host
    with socket.create_connection(("127.0.0.1", user.site.port), timeout=SECONDS) as connection:
        connection.sendall(
            f"PUT {place} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {user.token}\r\n"
            "Content-Length: 9000000\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert b" 100 " in connection.recv(1000)
        connection.sendall(bytes(2_000_000))
        yield


ASK_SINCE = b'<propfind xmlns="DAV:"><prop><unavailable-since xmlns="urn:x-opencloudmesh"/></prop></propfind>'


def test_a_folder_of_a_silent_sender_is_shown_as_it_was_until_it_is_refused(
    start_site: Callable[..., Site], sender: Site, place: str
) -> None:
    site = start_site(f"receiver of {place}", ["erik"])
    dora, erik = User(sender, "dora"), User(site, "erik")
    shares = []
    for name in ("seen", "unseen"):
        dora.make_folder(name)
        dora.put(f"{name}/inside.txt", b"content")
        shares.append(dora.share(name, erik.address, ["read", "write"]))
        wait_until(lambda: erik.received(shares[-1]["provider_id"]))
        erik.answer("accept", shares[-1]["provider_id"])

    def look(name: str, depth: str = "1") -> Answer:
        return erik.dav("PROPFIND", f"Shared with me/{name}", [("depth", depth)])

    before = look("seen")
    assert b"inside.txt" in before.body
    with upload_begun(erik, "Shared with me/seen/new.txt"):
        os.kill(sender.pid, signal.SIGSTOP)
        try:
            spent, answer = timed(lambda: look("seen"))
            assert (answer.status, b"inside.txt" in answer.body, spent < GIVEN_UP) == (207, True, True)
            assert "this is how it was seen at 2" in answer.headers["warning"]
        finally:
            os.kill(sender.pid, signal.SIGCONT)
    wait_until(lambda: "warning" not in look("seen").headers)
    os.kill(sender.pid, signal.SIGSTOP)
    try:
        spent, answer = timed(lambda: look("unseen"))
        assert (answer.status, spent < GIVEN_UP) == (503, True)
        first = erik.received(str(shares[1]["provider_id"]))["unavailable_since"]
        said: set[bytes] = set()
        for _ in range(3):
            answer = quickly(lambda: look("unseen", "0"), 1.0)
            assert answer.status == 503
            said |= set(re.findall(rb"since [0-9: -]+", answer.body))
        assert len(said) == 1
        spent, answer = timed(lambda: look("seen"))
        assert (answer.status, b"inside.txt" in answer.body, spent < GIVEN_UP) == (207, True, True)
        assert re.search(
            r'110 - "The owner.s server gives no access .*; this is how it was seen at 2.*Z."', answer.headers["warning"]
        )
        assert answer.body.count(b"<d:responsedescription>") == 1
        wait_until(lambda: unavailable(erik, str(shares[0]["provider_id"]))[0])
        for depth in "01":
            answer = quickly(lambda depth=depth: look("seen", depth), 1.0)
            assert answer.status == 207
        assert b"inside.txt" in answer.body
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(float(first)))
        page = erik.site.ask("GET", f"/files?path={quoted('Shared with me/seen')}", [("cookie", f"ocm-session={erik.token}")])
        assert (page.status, b"does not answer" in page.body, b"inside.txt" in page.body) == (200, True, True), page.body
        assert b"&lt;time" not in page.body
        listed = erik.dav("PROPFIND", "Shared with me", [("depth", "1")], ASK_SINCE)
        assert listed.body.count(f">{since}</unavailable-since>".encode()) == 2
        assert listed.body.count(f"no access since {since}".encode()) == 2
        assert erik.received(str(shares[1]["provider_id"]))["unavailable_since"] == first
    finally:
        os.kill(sender.pid, signal.SIGCONT)
    wait_until(lambda: look("unseen").status == 207)
    wait_until(lambda: "warning" not in look("seen").headers)
    assert b"responsedescription" not in erik.dav("PROPFIND", "Shared with me", [("depth", "1")]).body
    dora.unshare(shares[0])
    wait_until(lambda: erik.received(str(shares[0]["provider_id"]))["state"] == "revoked")
    assert look("seen").status == 404
    site.stop()


PAGES = {
    "page-404": Answer(404, {"content-type": "text/html; charset=utf-8"}, b"<html>no such page</html>"),
    "page-403": Answer(403, {"content-type": "text/html"}, b"<html>forbidden</html>"),
    "maintenance": Answer(503, {"content-type": "text/html"}, b"<html>maintenance</html>"),
    "router": Answer(404, {"content-type": "text/plain"}, b"404 page not found"),
    "401": Answer(401),
    "407": Answer(407),
}
GONE = Answer(404, {"content-type": "application/xml"}, b'<d:error xmlns:d="DAV:"/>')


@pytest.mark.spec("CODE-5")
def test_refusals_in_good_order_end_a_share_and_pages_of_proxies_never(
    start_site: Callable[..., Site], peer: SimulatedPeer, place: str
) -> None:
    settings = {"probe_first": "0.1", "probe_max": "0.2", "refusals": "3", "refusal_seconds": "1.0"}
    site = start_site(f"receiver of {place}", ["erik"], settings)
    erik = User(site, "erik")
    paths, ids = {}, {}
    for name in (*PAGES, "gone", "well"):
        peer.files[f"/dav/ocm/{name}"] = b"of carol"
        paths[name] = take(erik, peer, webdav(peer, name, "must-exchange-token"))
        ids[name] = peer_id_of(erik, paths[name])
        assert erik.dav("GET", paths[name]).body == b"of carol"
    for name, said in [*PAGES.items(), ("gone", GONE)]:
        for method in ("GET", "PROPFIND"):
            peer.answers[method, f"/dav/ocm/{name}"] = peer.answers[method, f"/dav/ocm/{name}/"] = said
    before = time.monotonic()
    for name, said in PAGES.items():
        assert erik.dav("GET", paths[name]).status == 503
        wait_until(lambda name=name, said=said: unavailable(erik, ids[name]) == (True, f"http-{said.status}"))
    assert erik.dav("GET", paths["gone"]).status == 503, "the root of a share is there until the share has ended"
    wait_until(lambda: erik.received(ids["gone"])["state"] == "revoked")
    assert erik.received(ids["gone"])["reason"] == "gone"
    assert time.monotonic() - before >= 1.0
    for name in PAGES:
        wait_until(lambda name=name: len(peer.asked("PROPFIND", f"/{name}")) > 4)
        assert (unavailable(erik, ids[name])[0], site.refusals_of(ids[name])) == (True, 0)
    assert erik.dav("GET", paths["well"]).body == b"of carol"
    peer.answers.clear()
    for name in PAGES:
        wait_until(lambda name=name: unavailable(erik, ids[name]) == (False, ""))
        assert erik.dav("GET", paths[name]).body == b"of carol"
    site.stop()


def peer_id_of(user: User, path: str) -> str:
    return next(str(item["provider_id"]) for item in user.inbox() if item["path"] == path)
