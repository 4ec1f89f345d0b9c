"""Invites between two real servers, by the command line, and a third one that plays foul."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from opencloudmesh.protocol.invite_flow import Identity, build_invite_acceptance, parse_invite
from tests.federation.peer import SimulatedPeer
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import wait_until


@pytest.fixture(scope="module")
def other(start_site: Callable[..., Site]) -> Site:
    """The server of who is invited, that takes shares of contacts only."""
    return start_site("invited", ["ida"], {"mode": '"invite-only"'})


@pytest.fixture
def ida(other: Site) -> User:
    """Is invited."""
    return User(other, "ida")


def invited(by: User) -> Any:
    made = by.api("POST", "/invites", {"note": "for a test"})
    told.add(made["invite"])
    told.add(parse_invite(made["invite"]).token)
    return made


@pytest.mark.spec("INV-1", "INV-2", "INV-4", "INV-6", "INV-11")
def test_two_people_become_contacts_and_share_in_both_directions(alice: User, ida: User, site: Site) -> None:
    made = invited(alice)
    contact = ida.api("POST", "/invites/accept", {"invite": made["invite"]})
    assert (contact["name"], contact["source"], contact["verified"]) == ("Alice", "invite", False)
    assert not contact["address"].startswith("alice@")
    (back,) = [one for one in alice.api("GET", "/contacts")["items"] if one["address"].endswith(f"@{ida.site.host}")]
    assert [one["state"] for one in alice.api("GET", "/invites")["items"] if one["id"] == made["id"]] == ["accepted"]
    alice.make_folder("for ida")
    ida.make_folder("for alice")
    given = alice.share("for ida", back["address"])
    assert ida.received(given["provider_id"])["sender_known"] is True
    returned = ida.share("for alice", contact["address"])
    assert alice.received(returned["provider_id"])["sender"] == back["address"]
    again = ida.api("POST", "/invites/accept", {"invite": made["invite"]})
    assert again["id"] == contact["id"], "a repeat is no error"
    by_name = alice.share("for ida", f"ida@{ida.site.host}")  # who is told nothing of the contact: only the two servers know
    offered = ida.received(by_name["provider_id"])
    assert (offered["sender"], offered["sender_known"]) == (f"alice@{site.host}", True)
    assert ida.api("GET", f"/contacts/{contact['id']}")["aliases"] == [f"alice@{site.host}"]


@pytest.mark.spec("INV-11")
def test_a_share_of_somebody_unknown_is_refused_there(alice: User, ida: User, other: Site) -> None:
    alice.make_folder("unasked")
    given = alice.share("unasked", f"nobody-invited@{other.host}")
    assert alice.state_of(given) == "failed"
    assert "must-invite" in other.ask("GET", "/.well-known/ocm").json["criteria"]


@pytest.mark.spec("INV-5")
def test_a_third_server_gets_nothing(alice: User, site: Site, peer: SimulatedPeer, stranger: SimulatedPeer) -> None:
    invite = parse_invite(invited(alice)["invite"])
    mallory = Identity("mallory", "", "Mallory")
    forged = build_invite_acceptance(invite, recipient_provider=peer.host, acceptor=mallory)
    assert site.ask("POST", "/ocm/invite-accepted", [("content-type", "application/json")], forged).status == 401
    assert stranger.post(site.origin, "/ocm/invite-accepted", forged).status == 403
    own = build_invite_acceptance(invite, recipient_provider=stranger.host, acceptor=mallory)
    guessed = own.replace(invite.token.encode(), b"x" * len(invite.token))
    refused = stranger.post(site.origin, "/ocm/invite-accepted", guessed)
    assert (refused.status, json.loads(refused.body)["message"]) == (400, "invite-unknown")
    assert stranger.post(site.origin, "/ocm/invite-accepted", own).status == 200
    late = build_invite_acceptance(invite, recipient_provider=peer.host, acceptor=mallory)
    used = peer.post(site.origin, "/ocm/invite-accepted", late)
    assert (used.status, "userID" in json.loads(used.body)) == (409, False)


def test_a_trusted_contacts_share_is_accepted_at_once(alice: User, ida: User, site: Site) -> None:
    contact = ida.api("POST", "/invites/accept", {"invite": invited(alice)["invite"]})
    ida.api("POST", f"/contacts/{contact['id']}", {"trusted": True})
    (back,) = [one for one in alice.api("GET", "/contacts")["items"] if one["address"].endswith(f"@{ida.site.host}")]
    alice.make_folder("trusted")
    given = alice.share("trusted", back["address"])
    wait_until(lambda: alice.state_of(given) == "accepted")


@pytest.mark.spec("INV-12")
def test_own_invites_and_dead_servers_are_explained(alice: User, bob: User, ida: User, peer: SimulatedPeer) -> None:
    made = invited(alice)
    for who, code in ((alice, "own-invite"), (bob, "own-server")):
        answer = who.ask_api("POST", "/invites/accept", {"invite": made["invite"]})
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, code)
    alice.api("POST", f"/invites/{made['id']}/revoke")
    answer = ida.ask_api("POST", "/invites/accept", {"invite": made["invite"]})
    assert json.loads(answer.body)["error"]["code"] == "invite-refused"
    dead = ida.ask_api("POST", "/invites/accept", {"invite": "t@127.0.0.1:1"})
    assert json.loads(dead.body)["error"]["code"] == "tcp-refused"
