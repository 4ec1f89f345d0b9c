"""Requests for shares between two real servers, and with peers that play foul, or take none."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.federation.peer import SimulatedPeer, json_answer
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import Answer, free_port, wait_until

PATH = "/ocm/request-share"


@pytest.fixture(scope="module")
def other(start_site: Callable[..., Site]) -> Site:
    """The server of who asks: it takes shares of people known only."""
    return start_site("asking", ["rita"], {"mode": '"invite-only"', "public_links": "true"})


@pytest.fixture
def rita(other: Site) -> User:
    """Asks for shares."""
    return User(other, "rita")


def state_of(who: User, request: Any) -> tuple[str, str]:
    found = who.api("GET", f"/requests/{request['id']}")
    return found["state"], found["reason"]


def to_owner(who: User, resource: str) -> Any:
    """The open request for this resource."""
    return next(one for one in who.api("GET", "/received-requests?open=true")["items"] if one["resource"] == resource)


@pytest.mark.spec("REQ-1", "REQ-2", "REQ-3")
def test_a_request_becomes_a_share_where_strangers_are_refused(alice: User, rita: User) -> None:
    alice.make_folder("harvest")
    alice.put("harvest/apples.txt", b"many")
    asked = rita.api("POST", "/requests", {"owner": alice.address, "resource": "harvest"})
    assert asked["state"] == "sent"
    again = rita.api("POST", "/requests", {"owner": alice.address, "resource": "harvest"})
    assert again["id"] == asked["id"]
    one = to_owner(alice, "harvest")
    assert (one["requester"], one["path"], one["verified"], one["known"]) == (rita.address, "harvest", True, False)
    granted = alice.api("POST", f"/received-requests/{one['id']}/grant", {"permissions": ["read"]})
    assert granted["state"] == "granted"
    assert state_of(rita, asked) == ("granted", "")
    share = rita.api("GET", f"/inbox/{rita.api('GET', '/requests/' + str(asked['id']))['share_id']}")
    assert share["sender_known"] is True
    rita.api("POST", f"/inbox/{share['id']}/accept")
    assert rita.dav("GET", "Shared with me/harvest/apples.txt").body == b"many"


@pytest.mark.spec("REQ-2")
def test_a_refusal_is_not_told(alice: User, rita: User) -> None:
    alice.make_folder("diary")
    asked = rita.api("POST", "/requests", {"owner": alice.address, "resource": "diary"})
    one = to_owner(alice, "diary")
    alice.api("POST", f"/received-requests/{one['id']}/refuse")
    assert state_of(rita, asked) == ("sent", "")
    rita.api("POST", f"/requests/{asked['id']}/withdraw")
    assert rita.api("POST", "/requests", {"owner": alice.address, "resource": "diary"})["state"] == "sent"
    assert "diary" not in [each["resource"] for each in alice.api("GET", "/received-requests?open=true")["items"]]


@pytest.mark.spec("REQ-1")
def test_a_request_outlives_both_servers(rita: User, other: Site, make_peer: Callable[..., SimulatedPeer]) -> None:
    port = free_port()
    asked = rita.api("POST", "/requests", {"owner": f"carol@127.0.0.1:{port}", "resource": "seeds"})
    assert state_of(rita, asked) == ("pending", "")
    (delivery,) = [each for each in rita.api("GET", "/deliveries")["items"] if each["sent_request_id"] == asked["id"]]
    assert delivery["reason"] == "tcp-refused"
    other.kill()
    other.start()
    peer = make_peer(port)
    peer.answers["POST", PATH] = json_answer(201, {})
    rita.push(delivery)
    wait_until(lambda: state_of(rita, asked)[0] == "sent")
    assert [seen.json for seen in peer.asked("POST", PATH)] == [
        {"owner": f"carol@127.0.0.1:{port}", "shareWith": rita.address, "share": "seeds"}
    ]
    share = peer.share(rita.address, name="seeds")
    assert peer.post(other.origin, "/ocm/shares", share).status == 201
    assert state_of(rita, asked)[0] == "granted"


@pytest.mark.spec("REQ-1")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (json_answer(501, {"message": "NOT_IMPLEMENTED"}), "request-unsupported"),
        (Answer(404, {"content-type": "text/html"}, b"<!DOCTYPE html><title>Page not found</title>"), "request-unsupported"),
        (Answer(405, {}, b""), "request-unsupported"),
        (json_answer(404, {"message": "RESOURCE_NOT_FOUND"}), "resource-unknown"),
    ],
)
def test_a_server_that_takes_none_is_told_from_one_that_knows_no_such_thing(
    rita: User, peer: SimulatedPeer, answer: Answer, reason: str
) -> None:
    peer.answers["POST", PATH] = answer
    asked = rita.api("POST", "/requests", {"owner": f"carol@{peer.host}", "resource": "seeds"})
    assert (asked["state"], asked["reason"]) == ("failed", reason), "at once"


@pytest.mark.spec("REQ-2", "REQ-3")
def test_a_third_server_asks_for_nobody_and_learns_nothing(
    alice: User, site: Site, peer: SimulatedPeer, stranger: SimulatedPeer
) -> None:
    alice.make_folder("vault")
    message = {"owner": alice.address, "shareWith": f"carol@{peer.host}", "share": "vault"}
    body = json.dumps(message).encode()
    assert site.ask("POST", PATH, [("content-type", "application/json")], body).status == 401
    assert stranger.post(site.origin, PATH, message).status == 403
    known = len(alice.api("GET", "/received-requests")["items"])
    answers = {
        (answer.status, answer.body)
        for owner in (alice.address, f"nobody@{site.host}")
        for share in ("vault", "nothing", "../bob/x", "/etc/passwd", f"{site.origin}/dav/files/bob/x")
        if (answer := peer.post(site.origin, PATH, message | {"owner": owner, "share": share}))
    }
    assert answers == {(201, b"{}")}
    assert len(alice.api("GET", "/received-requests")["items"]) == known + 5
    headers = peer.signed(f"{site.origin}{PATH}", "application/json", body)
    assert [site.ask("POST", PATH, headers, body).status for _ in range(2)] == [201, 401], "a replay"
    for bad in ({"share": "a\nb"}, {"share": "x" * 3000}, {"owner": "alice"}, {"share": None}):
        changed = {name: value for name, value in (message | bad).items() if value is not None}
        refused = peer.post(site.origin, PATH, changed)
        assert (refused.status, [fault["name"] for fault in refused.json["validationErrors"]]) == (400, list(bad))
    assert peer.post(site.origin, PATH, b"x" * (1 << 20) + b"x").status == 413


@pytest.mark.spec("REQ-2")
def test_who_is_known_cannot_tell_what_exists(alice: User, site: Site, peer: SimulatedPeer) -> None:
    alice.api("POST", "/contacts", {"address": f"carol@{peer.host}"})
    alice.make_folder("there for carol")
    message = {"owner": alice.address, "shareWith": f"carol@{peer.host}"}
    answers = [peer.post(site.origin, PATH, message | {"share": share}) for share in ("no such folder", "there for carol")]
    assert {(answer.status, answer.body) for answer in answers} == {(201, b"{}")}


@pytest.mark.spec("REQ-2")
def test_a_server_where_requests_are_off_says_so(start_site: Callable[..., Site], rita: User) -> None:
    silent = start_site("silent", ["sam"], {"enabled": "false"})
    asked = rita.api("POST", "/requests", {"owner": f"sam@{silent.host}", "resource": "x"})
    assert (asked["state"], asked["reason"]) == ("failed", "request-unsupported")
    refused = User(silent, "sam").ask_api("POST", "/request-links", {"path": "x"})
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (409, "request-links-off")


def test_nothing_is_advertised_that_the_draft_does_not_know(site: Site) -> None:
    """The draft has neither capability nor criterion for requests: who wants to know asks."""
    document = site.ask("GET", "/.well-known/ocm").json
    words = [*document["capabilities"], *document["criteria"]]
    assert not [word for word in words if "request" in word]


def test_a_kill_in_the_middle_of_granting_neither_loses_nor_doubles(alice: User, site: Site, peer: SimulatedPeer) -> None:
    alice.make_folder("orchard")
    message = {"owner": alice.address, "shareWith": f"carol@{peer.host}", "share": "orchard"}
    assert peer.post(site.origin, PATH, message).status == 201
    one = to_owner(alice, "orchard")

    def killed(_: Any) -> None:
        site.kill()

    peer.answers["POST", "/ocm/shares"] = killed
    with pytest.raises(OSError):  # noqa: PT011 - whatever a connection to who was killed ends with
        alice.api("POST", f"/received-requests/{one['id']}/grant", {})
    del peer.answers["POST", "/ocm/shares"]
    site.start()
    granted = alice.api("GET", f"/received-requests/{one['id']}")
    assert granted["state"] == "granted"
    again = alice.ask_api("POST", f"/received-requests/{one['id']}/grant", {})
    assert again.status == 409
    given = [share for share in alice.api("GET", "/shares")["items"] if share["path"] == "orchard"]
    assert [share["id"] for share in given] == [granted["share_id"]]
    wait_until(lambda: alice.state_of(given[0]) == "sent")
    assert len({share["providerId"] for share in peer.shares}) == 1


def test_a_link_of_a_real_server(rita: User, other: Site, peer: SimulatedPeer) -> None:
    rita.make_folder("talk")
    made = rita.api("POST", "/request-links", {"path": "talk"})
    told.add(made["token"])
    page = other.ask("GET", f"/request-access?token={made['token']}")
    assert (page.status, b"talk" in page.body, b"Rita" in page.body) == (200, True, True)
    assert other.ask("GET", "/request-access?token=guessed").status == 404
    rita.api("POST", f"/request-links/{made['link']['id']}/revoke")
    gone = other.ask("GET", f"/request-access?token={made['token']}")
    assert (gone.status, b"talk" in gone.body) == (404, False)
