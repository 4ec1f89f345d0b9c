"""The user API's invites and contacts, and the endpoint where other servers accept invites."""

from typing import Any

import pytest

from opencloudmesh.protocol.errors import FieldFault, InvalidMessage, InviteUsed

FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}


async def test_an_invite_is_made_listed_renewed_and_revoked(server: Any) -> None:
    made = await server.call("POST", "/invites", {"note": "school"})
    assert made.status == 201
    assert made.json["invite"] == "dG9rZW4tMUBob21lLmV4YW1wbGUub3Jn"
    listed = await server.call("GET", "/invites")
    assert listed.json == {"items": [{n: v for n, v in made.json.items() if n not in ("invite", "link")}], "next": None}
    assert made.json["link"] == "https://cloud.example.org/wayf?token=token-1&providerDomain=home.example.org"
    again = await server.call("POST", "/invites/1/renew", {})
    assert (again.status, again.json["invite"] == made.json["invite"]) == (200, False)
    assert (await server.call("POST", "/invites/1/revoke")).json["state"] == "revoked"
    assert (await server.call("POST", "/invites/1/renew", {})).status == 409
    assert (await server.call("POST", "/invites/7/revoke")).status == 404
    assert (await server.call("POST", "/invites", {"note": "a\nb"})).status == 422


async def test_an_invite_is_accepted_in_any_form(server: Any) -> None:
    for invite in (
        {"invite": "t@peer.example.org"},
        {"invite": "t", "provider": "peer.example.org"},
        {"invite": "Dear Alice,\n\nplease follow https://peer.example.org/wayf?token=t&providerDomain=peer.example.org .\n\nBob"},
        {"invite": "dEBwZWVy\n> LmV4YW1wbGUub3Jn"},
    ):
        contact = await server.call("POST", "/invites/accept", invite)
        assert (contact.status, contact.json["address"], contact.json["source"]) == (200, "bob@peer.example.org", "invite")
    refused = await server.call("POST", "/invites/accept", {"invite": "t@other.example.org"})
    assert (refused.status, refused.json["error"]["code"]) == (404, "invite-refused")
    nonsense = await server.call("POST", "/invites/accept", {"invite": "nonsense"})
    assert (nonsense.status, nonsense.json["error"]["code"]) == (400, "invite-invalid")
    prose = await server.call("POST", "/invites/accept", {"invite": "Dear Alice, write to bob@peer.example.org"})
    assert (prose.status, prose.json["error"]["code"]) == (400, "invite-missing")


async def test_a_user_demands_an_invite(server: Any) -> None:
    assert (await server.call("GET", "/invites/only")).json == {"mine": "off", "server": "quarantine", "in_force": "quarantine"}
    changed = await server.call("POST", "/invites/only", {"mine": "refuse"})
    assert (changed.status, changed.json) == (200, {"mine": "refuse", "server": "quarantine", "in_force": "refuse"})
    assert (await server.call("POST", "/invites/only", {"mine": "everything"})).status == 422


async def test_contacts(server: Any) -> None:
    made = await server.call("POST", "/contacts", {"address": "dora@peer.example.org", "name": "Dora"})
    assert (made.status, made.json["source"], made.json["trusted"]) == (201, "direct", False)
    assert (await server.call("POST", "/contacts", {"address": "dora@peer.example.org"})).status == 409
    await server.call("POST", "/contacts", {"address": "eve@peer.example.org"})
    items = (await server.call("GET", "/contacts")).json["items"]
    assert [(one["id"], one["server"]) for one in items] == [(1, "The Peer"), (2, "The Peer")]
    assert [one["id"] for one in (await server.call("GET", "/contacts", query="search=eve")).json["items"]] == [2]
    assert (await server.call("POST", "/contacts/1", {"trusted": True})).json["trusted"] is True
    assert (await server.call("GET", "/contacts/1")).json["name"] == "Dora"
    assert (await server.call("POST", "/contacts/1/merge/2")).json["aliases"] == ["eve@peer.example.org"]
    assert (await server.call("POST", "/contacts/1/merge/2")).status == 404
    assert (await server.call("DELETE", "/contacts/1")).json["address"] == "dora@peer.example.org"
    assert (await server.call("GET", "/contacts/1")).status == 404


# ---------------------------------------------------------------- for other servers
@pytest.mark.spec("INV-4")
@pytest.mark.parametrize("headers", [JSON, FORM])
async def test_an_acceptance_is_200_with_who_invited(server: Any, headers: dict[str, str]) -> None:
    answer = await server.ask("POST", "/ocm/invite-accepted", body=b"{}", headers=headers)
    assert (answer.status, answer.json) == (200, {"userID": "identifier", "email": "", "name": "Alice"})
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "application/json"
    assert (await server.ask("GET", "/ocm/invite-accepted")).status == 405
    assert (await server.ask("POST", "/ocm/invite-accepted", body=b"x", headers={"content-type": "text/plain"})).status == 415


@pytest.mark.spec("INV-4")
async def test_a_used_invite_is_409_and_says_who_invited_to_who_accepted_it(server: Any) -> None:
    server.invite_flow.error = InviteUsed({"userID": "u", "email": "", "name": "A"})
    answer = await server.ask("POST", "/ocm/invite-accepted", body=b"{}", headers=JSON)
    assert (answer.status, answer.json) == (409, {"userID": "u", "email": "", "name": "A", "message": "invite-used"})
    server.invite_flow.error = InviteUsed()
    answer = await server.ask("POST", "/ocm/invite-accepted", body=b"{}", headers=JSON)
    assert (answer.status, answer.json) == (409, {"message": "invite-used", "validationErrors": []})
    server.invite_flow.error = InvalidMessage((FieldFault("token", "is none"),), code="invite-unknown")
    answer = await server.ask("POST", "/ocm/invite-accepted", body=b"{}", headers=JSON)
    assert (answer.status, answer.json["message"]) == (400, "invite-unknown")
