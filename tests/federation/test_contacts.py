"""Contacts of two real servers: what a trusted one may do and nobody in his name, and how one goes on both sides."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.federation.peer import JSON, SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.wire import wait_until


@pytest.fixture(scope="module")
def other(start_site: Callable[..., Site]) -> Site:
    """Another server of ours, which takes unsigned messages of servers that publish no keys."""
    return start_site("lenient", ["ida"], {"required": "false"})


@pytest.fixture
def ida(other: Site) -> User:
    return User(other, "ida")


def meet(one: User, another: User) -> tuple[dict[str, Any], dict[str, Any]]:
    """Each as the other's contact."""
    contact = another.api("POST", "/invites/accept", {"invite": one.api("POST", "/invites", {"note": ""})["invite"]})
    (back,) = [item for item in one.api("GET", "/contacts")["items"] if item["address"].endswith(f"@{another.site.host}")]
    return back, contact


@pytest.mark.spec("NOTIF-6")
def test_a_contact_goes_on_both_sides(alice: User, ida: User) -> None:
    back, contact = meet(alice, ida)
    alice.make_folder("until removed")
    ida.make_folder("until she removes me")
    given, returned = alice.share("until removed", back["address"]), ida.share("until she removes me", contact["address"])
    ida.answer("accept", given["provider_id"])
    alice.answer("accept", returned["provider_id"])
    alice.api("DELETE", f"/contacts/{back['id']}?notify=true")
    assert (alice.state_of(given), alice.received(returned["provider_id"])["state"]) == ("revoked", "left")
    (notice,) = wait_until(lambda: ida.api("GET", "/notices")["items"])
    assert (notice["kind"], notice["address"], notice["name"]) == ("user-removed", contact["address"], "Alice")
    assert notice["shares"] == 2, "whichever of the messages came first"
    assert ida.api("GET", "/contacts")["items"] == []
    assert ida.received(given["provider_id"])["state"] == "revoked"
    assert ida.state_of(returned) in ("revoked", "declined")
    told = lambda: [one["state"] for one in alice.api("GET", "/deliveries")["items"] if one["kind"] == "USER_REMOVED"]  # noqa: E731
    wait_until(lambda: told() == ["done"])


def test_only_the_contacts_own_server_has_shares_accepted(
    other: Site, ida: User, peer: SimulatedPeer, stranger: SimulatedPeer
) -> None:
    trusted = f"carol@{peer.host}"
    made = ida.api("POST", "/contacts", {"address": trusted, "trusted": True})
    forged = peer.share(ida.address, sender=trusted, owner=trusted)

    def inbox(provider_id: str) -> str:
        return next((share["state"] for share in ida.inbox() if share["provider_id"] == provider_id), "none")

    # unsigned, in the name of a server that publishes keys; signed by another server; by one at another server with this name
    headers = [("content-type", JSON)]
    assert other.ask("POST", "/ocm/shares", headers, json.dumps(forged).encode()).status == 401
    assert stranger.post(other.origin, "/ocm/shares", forged).status in (401, 403)
    assert inbox(forged["providerId"]) == "none"
    namesake = stranger.share(ida.address, sender=f"carol@{stranger.host}", owner=f"carol@{stranger.host}")
    assert stranger.post(other.origin, "/ocm/shares", namesake).status == 201
    assert inbox(namesake["providerId"]) == "pending"
    real = peer.share(ida.address, sender=trusted, owner=trusted)
    assert peer.post(other.origin, "/ocm/shares", real).status == 201
    assert inbox(real["providerId"]) == "accepted"
    wait_until(lambda: [one for one in peer.notifications if one["providerId"] == real["providerId"]])
    ida.api("POST", f"/contacts/{made['id']}", {"trusted": False})
    later = peer.share(ida.address, sender=trusted, owner=trusted)
    assert peer.post(other.origin, "/ocm/shares", later).status == 201
    assert inbox(later["providerId"]) == "pending"


@pytest.mark.spec("NOTIF-6")
def test_the_other_side_hears_of_a_removal_though_it_was_down_and_ours_was_killed(
    start_site: Callable[..., Site], other: Site
) -> None:
    ours = start_site("killed", ["kim"])
    kim, iris = User(ours, "kim"), other.new_user("Iris")
    contact = iris.api("POST", "/invites/accept", {"invite": kim.api("POST", "/invites", {"note": ""})["invite"]})
    (back,) = kim.api("GET", "/contacts")["items"]
    kim.make_folder("offered")
    kim.share("offered", back["address"])
    other.stop()
    kim.api("DELETE", f"/contacts/{back['id']}?notify=true")
    ours.kill()
    ours.start()
    other.start()
    (told,) = [one for one in kim.api("GET", "/deliveries")["items"] if one["kind"] == "USER_REMOVED"]
    kim.push(told)  # not to wait for its next try
    (notice,) = wait_until(lambda: iris.api("GET", "/notices")["items"])
    assert (notice["address"], notice["shares"]) == (contact["address"], 1)
