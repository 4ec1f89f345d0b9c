"""The exchange log of real servers: an error's trace id leads to both of them, and the doctor's requests stand there."""

import json
from typing import Any

from tests.federation.peer import SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.wire import free_port, wait_until


def test_the_trace_id_of_a_users_error_leads_to_the_exchange_on_both_servers(
    site: Site, strict: Site, alice: User, erin: User, place: str
) -> None:
    alice.make_folder(place)
    share = alice.share(place, f"nobody@{strict.host}")
    wait_until(lambda: alice.state_of(share) == "failed")
    (delivery,) = [item for item in alice.api("GET", "/deliveries")["items"] if item["outgoing_share_id"] == share["id"]]
    trace_id = delivery["trace_id"]
    assert len(trace_id) == 32
    for server, direction, other in ((site, "out", strict), (strict, "in", site)):
        found = wait_until(lambda server=server: posts(server, trace_id))
        assert [(each["direction"], each["peer"], each["status"]) for each in found] == [(direction, other.host, 400)]
        assert "***" in found[0]["request_body"]
        assert "sharedSecret" in found[0]["request_body"]


def posts(site: Site, trace_id: str) -> list[Any]:
    """The messages of a trace, as far as they are written down."""
    return [each for each in site.exchanges("--trace", trace_id) if each["method"] == "POST"]


def test_an_error_shows_its_trace_id_and_the_log_why(site: Site, alice: User) -> None:
    down = free_port()
    refused = alice.ask_api("GET", f"/discover?host=127.0.0.1:{down}")
    assert refused.status >= 400
    trace_id = refused.json["error"]["trace_id"]
    found = wait_until(lambda: site.exchanges("--trace", trace_id, "--direction", "out", "--reason", "tcp-refused"))
    assert {(each["peer"], each["status"]) for each in found} == {(f"127.0.0.1:{down}", 0)}
    shown = site.ocm("log", "--peer", f"127.0.0.1:{down}", "--since", "1h", "--body", "--dir", str(site.folder))
    assert "Reason: tcp-refused" in shown
    assert "What to do:" in shown
    assert trace_id in shown


def test_what_the_doctor_asks_stands_in_both_logs(site: Site, strict: Site) -> None:
    try:
        said = site.ocm("doctor", strict.host, "--json", "--dir", str(site.folder))
    except RuntimeError:  # plain http is a warning
        said = site.said[-2]
    trace_id = json.loads(said)["trace_id"]
    ours = site.exchanges("--trace", trace_id)
    assert {"/.well-known/ocm", "/ocm/notifications"} <= {each["url"].removeprefix(strict.origin) for each in ours}
    assert {(each["direction"], each["peer"]) for each in ours} == {("out", strict.host)}
    wait_until(lambda: posts(strict, trace_id))


def test_administrators_read_it_over_the_api(site: Site, alice: User, peer: SimulatedPeer, place: str) -> None:
    alice.put(place)
    alice.share(place, f"carol@{peer.host}")
    assert alice.ask_api("GET", "/admin/exchanges").status == 403
    site.ocm("user", "admin", "alice", "--dir", str(site.folder))
    path = f"/admin/exchanges?peer={peer.host}&direction=out"
    try:
        wait_until(lambda: any(each["method"] == "POST" for each in alice.api("GET", path)["items"]))
        newest = alice.api("GET", f"{path}&limit=1")
        assert len(newest["items"]) == 1
        assert alice.api("GET", f"/admin/exchanges/{newest['items'][0]['id']}") == newest["items"][0]
        older = alice.api("GET", f"{path}&before={newest['next']}")["items"]
        assert max(each["id"] for each in older) < newest["next"]
    finally:
        site.ocm("user", "admin", "alice", "--revoke", "--dir", str(site.folder))


def test_operators_commands_say_nothing_but_their_words(site: Site) -> None:
    before = len(site.said)
    site.ocm("log", "--dir", str(site.folder))
    site.ocm("peer", "list", "--dir", str(site.folder))
    site.ocm("user", "list", "--dir", str(site.folder))
    assert [errors for errors in site.said[before + 1 :: 2] if '"event"' in errors] == []
