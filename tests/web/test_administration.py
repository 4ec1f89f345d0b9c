"""Other servers, for administrators: who may, every operation with what it records, pages, and what is refused."""

import dataclasses
from typing import Any

import pytest

from opencloudmesh.services.peers.taken_signatures import PROFILE_NAMES

READS = ["/admin/trust", "/admin/peers", "/admin/peers/peer.example.org", "/admin/audit"]
ACTS = ["allow", "deny", "forget", "pin", "unpin", "acknowledge"]
PEER = "/admin/peers/peer.example.org"


@pytest.fixture
def admin(server: Any) -> Any:
    """The server, with alice as its administrator."""
    server.accounts.user = dataclasses.replace(server.accounts.user, admin=True)
    return server


async def test_it_is_for_administrators(server: Any) -> None:
    asked = [*(("GET", path, None) for path in READS), ("POST", "/admin/trust", {}), *(("POST", f"{PEER}/{a}", {}) for a in ACTS)]
    for method, path, body in asked:
        assert (await server.call(method, path, body, token="")).status == 401
        refused = await server.call(method, path, body)
        assert (refused.status, refused.json["error"]["code"]) == (403, "admin-required")
    assert server.registry.acts == []


async def test_servers_in_pages(admin: Any) -> None:
    first = (await admin.call("GET", "/admin/peers", query="limit=1")).json
    assert ([one["host"] for one in first["items"]], first["next"]) == (["peer.example.org"], "peer.example.org")
    rest = (await admin.call("GET", "/admin/peers", query=f"after={first['next']}")).json
    assert ([one["host"] for one in rest["items"]], rest["next"]) == (["zoo.example.org"], None)


async def test_one_server_with_its_keys_and_the_decision_behind(admin: Any) -> None:
    found = (await admin.call("GET", "/admin/peers/PEER.example.org")).json
    assert (found["allowed"], found["decided_by"], found["shares_given"], found["deliveries_waiting"]) == (
        True,
        None,
        {"sent": 2},
        1,
    )
    assert [key["thumbprint"] for key in found["keys"]] == ["A" * 43]
    assert found["discovery"] == {"provider": "Peer"}
    assert (await admin.call("POST", f"{PEER}/deny", {"reason": "spam"})).status == 200
    found = (await admin.call("GET", PEER)).json
    assert (found["allowed"], found["trust"]) == (False, "denylisted")
    assert (found["decided_by"]["source"], found["decided_by"]["reason"]) == ("operator", "spam")
    unknown = await admin.call("GET", "/admin/peers/nobody.example.org")
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "peer-unknown")


async def test_every_act_is_recorded_with_who_and_why(admin: Any) -> None:
    bodies = {act: {"reason": f"for {act}"} for act in ACTS}
    answers = {act: await admin.call("POST", f"{PEER}/{act}", bodies[act]) for act in ACTS}
    assert {act: answered.status for act, answered in answers.items()} == dict.fromkeys(ACTS, 200)
    assert answers["deny"].json == {
        "host": "peer.example.org",
        "decision": "deny",
        "shares_given": 2,
        "shares_received": 0,
        "deliveries_waiting": 1,
        "deliveries_ended": 1,
        "deliveries_again": 0,
    }
    assert [answers[act].json["deliveries_again"] for act in ("allow", "forget")] == [3, 2]
    assert [answers[act].json["pinned"] for act in ("pin", "unpin")] == [True, False]
    assert [len(answers[act].json["keys"]) for act in ("pin", "unpin", "acknowledge")] == [1, 0, 1]
    acts = (await admin.call("GET", "/admin/audit")).json["items"]
    assert [(act["actor"], act["action"], act["reason"]) for act in acts] == [("alice", a, f"for {a}") for a in reversed(ACTS)]


async def test_patterns_and_the_options_of_acts(admin: Any) -> None:
    assert (await admin.call("POST", "/admin/peers/.example.net/deny", {})).json["host"] == ".example.net"
    await admin.call("POST", f"{PEER}/forget", {"everything": True})
    await admin.call("POST", f"{PEER}/pin", {"renew": True})
    assert [act.action for act in admin.registry.acts] == ["deny", "forget-all", "pin --renew"]


async def test_the_signatures_that_are_taken_from_a_server(admin: Any) -> None:
    answered = await admin.call("POST", f"{PEER}/profiles", {"profiles": ["draft-07"], "reason": "it can"})
    assert (answered.status, answered.json) == (200, {"host": "peer.example.org", "profiles": ["draft-07"]})
    assert (await admin.call("GET", PEER)).json["profiles"] == ["draft-07"]
    again = await admin.call("POST", f"{PEER}/profiles", {"profiles": []})
    assert again.json["profiles"] == list(PROFILE_NAMES)
    assert [(act.action, act.reason) for act in admin.registry.acts] == [("profiles", "it can"), ("profiles", "")]
    for wrong in ({"profiles": ["draft-99"]}, {"profiles": "draft-07"}, {}):
        assert (await admin.call("POST", f"{PEER}/profiles", wrong)).status == 422
    assert (await admin.call("POST", f"{PEER}/profiles", {"profiles": []}, token="")).status == 401


async def test_the_audit_log_in_pages_and_about_one_server(admin: Any) -> None:
    for host in ("peer.example.org", "zoo.example.org", "peer.example.org"):
        await admin.call("POST", f"/admin/peers/{host}/allow", {})
    first = (await admin.call("GET", "/admin/audit", query="limit=2")).json
    rest = (await admin.call("GET", "/admin/audit", query=f"limit=2&before={first['next']}")).json
    assert ([act["id"] for act in first["items"]], [act["id"] for act in rest["items"]], rest["next"]) == ([3, 2], [1], None)
    about = (await admin.call("GET", "/admin/audit", query="peer=ZOO.example.org")).json["items"]
    assert [act["subject"] for act in about] == ["zoo.example.org"]
    assert (await admin.call("GET", "/admin/audit", query="since=1800000001")).json["items"] == []


async def test_the_mode_and_the_quarantine(admin: Any) -> None:
    trust = (await admin.call("GET", "/admin/trust")).json
    assert (trust["mode"], [entry["subject"] for entry in trust["entries"]]) == ("open", ["foe.example"])
    changed = (await admin.call("POST", "/admin/trust", {"mode": "invite-only", "quarantine": "on", "reason": "spam"})).json
    assert (changed["mode"], changed["mode_source"], changed["quarantine"]) == ("invite-only", "operator", True)
    again = (await admin.call("POST", "/admin/trust", {"mode": "configuration", "quarantine": "configuration"})).json
    assert (again["mode"], again["mode_source"], again["quarantine"]) == ("open", "configuration", False)
    assert (await admin.call("POST", "/admin/trust", {})).status == 200
    assert len(admin.registry.acts) == 4


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/admin/peers/a%20b/allow", {}),
        ("/admin/peers/-/deny", {}),
        ("/admin/peers/.example.net/pin", {}),
        ("/admin/peers/.example.net:8443/deny", {}),
        (f"{PEER}/allow", {"reason": "x" * 501}),
        (f"{PEER}/allow", {"because": "x"}),
        (f"{PEER}/forget", {"everything": "yes"}),
        ("/admin/trust", {"mode": "closed"}),
        ("/admin/trust", {"quarantine": True}),
    ],
)
async def test_what_means_nothing_is_refused(admin: Any, path: str, body: Any) -> None:
    assert (await admin.call("POST", path, body)).status in (400, 422)
    assert admin.registry.acts == []
