"""Decisions on a running server, by `ocm peer` and over the API: it follows without a restart, and its discovery says so."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.federation.peer import SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.wire import free_port, wait_until

DISCOVERY = "/.well-known/ocm"


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Site]) -> Site:
    """A server of its own, whose trust is changed."""
    return start_site("changing", ["alice"])


@pytest.fixture(scope="module")
def alice(site: Site) -> User:
    """Its user, and administrator."""
    site.ocm("user", "admin", "alice", "--dir", str(site.folder))
    return User(site, "alice")


@pytest.fixture
def decide(site: Site, alice: User) -> Iterator[Callable[..., Any]]:
    """`ocm peer`; what was decided ends with the test."""
    yield lambda *words: json.loads(site.ocm("peer", *words, "--dir", str(site.folder), "--json"))
    for entry in alice.api("GET", "/admin/trust")["entries"]:
        alice.api("POST", f"/admin/peers/{entry['subject']}/forget", {})
    alice.api("POST", "/admin/trust", {"mode": "configuration", "quarantine": "configuration"})
    wait_until(lambda: criteria(site) == {"must-use-http-sig"})


def criteria(site: Site) -> set[str]:
    return set(site.ask("GET", DISCOVERY).json["criteria"])


def offered(peer: SimulatedPeer, user: User) -> tuple[int, str]:
    """What offering a share comes to, and its providerId."""
    message = peer.share(user.address)
    return peer.post(user.site.origin, "/ocm/shares", message).status, message["providerId"]


def refuses(peer: SimulatedPeer, user: User) -> bool:
    return offered(peer, user)[0] == 403


@pytest.mark.spec("TRUST-1")
def test_a_denied_server_is_refused_at_once_and_served_again(
    site: Site, alice: User, peer: SimulatedPeer, decide: Callable[..., Any]
) -> None:
    status, known = offered(peer, alice)
    assert status == 201
    assert decide("deny", peer.host, "--reason", "spam")["shares_received"] == 1
    wait_until(lambda: refuses(peer, alice))
    assert "denylist" in criteria(site)
    assert alice.received(known)["reason"] == "policy-denied"
    asked = len(peer.requests)
    assert alice.ask_api("GET", f"/discover?host={peer.host}").status == 403
    assert len(peer.requests) == asked, "a denied server is asked for nothing"
    decide("forget", peer.host)
    wait_until(lambda: not refuses(peer, alice))
    assert alice.received(known)["reason"] == ""
    acts = decide("audit", "--peer", peer.host)["items"]
    assert [(act["action"], act["reason"]) for act in acts] == [("forget", ""), ("deny", "spam")]


def test_what_waits_for_a_server_ends_when_it_is_denied(site: Site, alice: User, decide: Callable[..., Any]) -> None:
    host = f"127.0.0.1:{free_port()}"
    alice.make_folder("never told")
    shares = [alice.share("never told", f"{name}@{host}") for name in ("carol", "dave")]
    assert {share["state"] for share in shares} == {"pending"}
    assert decide("deny", host)["deliveries_waiting"] == 2
    wait_until(lambda: {alice.state_of(share) for share in shares} == {"failed"})
    wait_until(lambda: "denylist" in criteria(site))  # the messages ended with the act, before the running server heard of it
    told = alice.api("GET", f"/deliveries?peer={host}")["items"]
    assert [(one["state"], one["reason"], host in one["detail"]) for one in told] == [("dead", "policy-denied", True)] * 2


def test_the_modes(site: Site, alice: User, peer: SimulatedPeer, stranger: SimulatedPeer, decide: Callable[..., Any]) -> None:
    def turn(mode: str) -> None:
        alice.api("POST", "/admin/trust", {"mode": mode})

    status, known = offered(peer, alice)
    assert (status, alice.answer("accept", known)["state"]) == (201, "accepted")
    decide("mode", "invite-only")
    wait_until(lambda: "must-invite" in criteria(site))
    assert offered(peer, alice)[0] == 201, "its user was accepted before"
    assert refuses(stranger, alice)
    turn("allowlist")
    assert criteria(site) == {"must-use-http-sig", "allowlist"}, "at once, in the same process"
    assert refuses(peer, alice)
    alice.api("POST", f"/admin/peers/{stranger.host}/allow", {})
    assert not refuses(stranger, alice)
    turn("federation")
    assert refuses(peer, alice), "no directory lists it"
    assert not refuses(stranger, alice), "it was allowed by itself"
    alice.api("POST", f"/admin/peers/{stranger.host}/deny", {})
    assert refuses(stranger, alice)
    turn("open")
    assert not refuses(peer, alice)
    assert refuses(stranger, alice), "a denial wins over every mode"


def test_shares_of_unknown_senders_are_kept_apart_until_one_is_accepted(
    site: Site, alice: User, peer: SimulatedPeer, decide: Callable[..., Any]
) -> None:
    decide("quarantine", "on")
    wait_until(lambda: bool(alice.api("GET", "/admin/trust")["quarantine"]))
    (_, first), (status, second) = offered(peer, alice), offered(peer, alice)
    assert status == 201, "the sender learns nothing"
    assert (alice.received(first), alice.received(second)) == (None, None)
    page = alice.api("GET", "/inbox?unknown=true")
    apart = {item["provider_id"]: item for item in page["items"]}
    assert {first, second} <= set(apart)
    assert (apart[first]["quarantined"], apart[first]["sender_known"], page["unknown"] >= 2) == (True, False, True)
    assert alice.api("POST", f"/inbox/{apart[first]['id']}/accept")["state"] == "accepted"
    assert alice.received(second)["state"] == "pending", "its sender is known now"
    assert alice.received(offered(peer, alice)[1])["sender_known"]


def test_pinned_keys_are_the_only_ones_until_the_pin_is_renewed(
    site: Site, alice: User, make_peer: Callable[..., SimulatedPeer], decide: Callable[..., Any]
) -> None:
    peer = make_peer()
    (pinned,) = decide("pin", peer.host)["keys"]
    decide("deny", "elsewhere.example")
    wait_until(lambda: "denylist" in criteria(site))  # what was decided before it has been read, too
    (peer.folder / "peer-signing.pem").unlink()
    changed = SimulatedPeer(peer.folder, peer.port)
    peer.documents, peer.signer = changed.documents, changed.signer
    refused = peer.post(site.origin, "/ocm/shares", peer.share(alice.address))
    assert (refused.status, refused.json["message"]) == (401, "sig-key-not-pinned")
    (renewed,) = decide("pin", peer.host, "--renew")["keys"]
    assert renewed["thumbprint"] != pinned["thumbprint"]
    wait_until(lambda: offered(peer, alice)[0] == 201)
    gone = [key["gone_at"] is not None for key in alice.api("GET", f"/admin/peers/{peer.host}")["keys"]]
    assert sorted(gone) == [False, True]
    decide("unpin", peer.host)


def test_what_administrators_do_over_the_api_counts_and_is_recorded(
    site: Site, alice: User, peer: SimulatedPeer, decide: Callable[..., Any]
) -> None:
    alice.api("POST", f"/admin/peers/{peer.host}/deny", {"reason": "over the API"})
    assert refuses(peer, alice), "at once, in the same process"
    (act,) = decide("audit", "--peer", peer.host)["items"]
    assert (act["actor"], act["action"], act["reason"]) == ("alice", "deny", "over the API")
