"""What a denial ends, and what is sent when it is lifted: by an act, by a mode, by the configuration."""

from collections.abc import Sequence

import pytest

from opencloudmesh.protocol.errors import Conflict
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.records import User
from tests.services.home import Home, make_peers
from tests.services.office import ACT, Office, make_office
from tests.services.world import NOW, SimulatedNetwork, SimulatedServer

DAY = 86400.0
OTHER = "other.example"


@pytest.fixture
def office(home: Home) -> Office:
    """At a server that is running."""
    made = make_office(home.database, home.peers, home.time, TrustBook(), home.deliveries.denials)
    made.watch.on_change.append(lambda _: home.deliveries.trust_changed())
    return made


async def give(home: Home, alice: User, whom: str = "dora", host: str = "away.example", path: str = "notes") -> int:
    share, _ = await home.creation.create(alice, path=path, share_with=f"{whom}@{host}")
    await home.settle()
    return share.id


async def give_and_deny(home: Home, office: Office, alice: User, network: SimulatedNetwork, *whom: str) -> list[int]:
    """Shares for people at away.example, which is down, and whose denial then ends what waits for it."""
    network.down.add("away.example")
    shares = [await give(home, alice, one) for one in whom or ("dora",)]
    _, affected = await office.decisions.deny("away.example", ACT)
    assert (affected.waiting, affected.ended) == (len(shares), len(shares))
    assert affected.given == (await office.registry.peer("away.example")).counts.living_given, "one meaning of what is given"
    return shares


async def told(home: Home, share: int) -> Sequence[tuple[str, str, str]]:
    found = await home.of_share(await home.outgoing(share))
    return [(one.kind, one.state, one.reason) for one in found]


async def counts(office: Office) -> list[tuple[str, str]]:
    """What the audit log says of messages, oldest first."""
    return [(action, after) for _, action, _, _, after, _ in await office.acts() if action.startswith("messages-")]


async def test_what_a_denial_ended_is_sent_when_it_is_lifted(
    home: Home, office: Office, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    shares = await give_and_deny(home, office, alice, network, "dora", "carol", "erin")
    assert {(await home.outgoing(share)).reason for share in shares} == {"policy-denied"}, "at once, in the same transaction"
    network.down.clear()
    await home.advance(20 * DAY)
    assert away.got("/ocm/shares") == []
    assert await office.decisions.forget(away.host, ACT) == (away.host, 3)
    await home.settle()
    asked_for = [asked.json["shareWith"] for asked in away.got("/ocm/shares")]  # in any order: shares do not wait for each other
    assert sorted(asked_for) == [f"{whom}@{away.host}" for whom in ("carol", "dora", "erin")]
    assert {(await home.outgoing(share)).state for share in shares} == {"sent"}
    assert await counts(office) == [("messages-ended", "3"), ("messages-again", "3")]


async def test_a_denial_that_another_process_lifted_ends_nothing_more(
    home: Home, office: Office, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    """Until its book follows, this process takes the server for denied; what was brought back is no part of that."""
    others = make_peers(home.database, network, home.time)
    elsewhere = make_office(home.database, others, home.time, TrustBook(), home.deliveries.denials)
    (share,) = await give_and_deny(home, office, alice, network)
    network.down.clear()
    assert (await elsewhere.decisions.forget(away.host, ACT))[1] == 1
    home.deliveries.wake(away.host)
    await home.settle()
    assert await told(home, share) == [("SHARE_CREATION", "queued", "policy-denied")]
    assert (await home.outgoing(share)).state == "pending"
    await office.watch.look()
    await home.advance(10)  # so long its server counts as not reached
    assert (await home.outgoing(share)).state == "sent"
    assert await counts(office) == [("messages-ended", "1"), ("messages-again", "1")]


async def test_a_mode_that_another_process_changed_ends_nothing_more(
    home: Home, office: Office, away: SimulatedServer, alice: User
) -> None:
    elsewhere = make_office(home.database, make_peers(home.database, SimulatedNetwork(), home.time), home.time, TrustBook())
    share = await give(home, alice)
    await office.decisions.set_mode("allowlist", ACT)
    await elsewhere.decisions.set_mode("open", ACT)
    await home.creation.unshare(alice, share)
    await home.settle()
    assert (await told(home, share))[-1] == ("SHARE_UNSHARED", "queued", "policy-denied")
    await office.watch.look()
    await home.advance(1)
    assert (await told(home, share))[-1][1] == "done"


async def test_what_is_brought_back_has_a_fresh_time_to_live(
    home: Home, office: Office, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    network.down.add(away.host)
    share = await give(home, alice)
    await home.advance(6 * DAY)
    await office.decisions.deny(away.host, ACT)
    await office.decisions.allow(away.host, ACT)
    await home.settle()
    (delivery,) = await home.of_share(await home.outgoing(share))
    assert (delivery.state, delivery.expires_at) == ("queued", home.time.now + 7 * DAY)


async def test_what_is_no_longer_true_is_not_sent(
    home: Home, office: Office, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    known = await give(home, alice, "known")
    network.down.add(away.host)
    never, late = await give(home, alice, "never"), await give(home, alice, "late")
    await office.decisions.deny(away.host, ACT)
    for share in (known, never):
        await home.creation.unshare(alice, share)
    await home.settle()
    assert (await home.creation.share(alice, known)).untold == "policy-denied", "its owner is told so"
    assert (await home.creation.share(alice, never)).untold == "", "there is nothing to tell"
    listed = {share.id: share.untold for share in await home.creation.shares(alice)}
    assert listed == {known: "policy-denied", never: "", late: ""}
    network.down.clear()
    before = len(away.got("/ocm/shares"))
    assert await office.decisions.allow(away.host, ACT) == (away.host, 2)
    await home.settle()
    assert [asked.json["shareWith"] for asked in away.got("/ocm/shares")[before:]] == [f"late@{away.host}"]
    (unshared,) = away.got("/ocm/notifications")
    assert unshared.json["notificationType"] == "SHARE_UNSHARED"
    assert await told(home, never) == [("SHARE_CREATION", "dead", "overtaken")]
    assert (await home.creation.share(alice, known)).untold == ""


async def test_a_share_that_was_given_anew_is_not_given_twice(
    home: Home, office: Office, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    (share,) = await give_and_deny(home, office, alice, network)
    home.peers.trust = TrustBook()  # as where a version that brings nothing back lifted it
    anew = await give(home, alice)
    await office.decisions.forget(away.host, ACT)
    assert [(await told(home, one))[0][:2] for one in (share, anew)] == [("SHARE_CREATION", "dead"), ("SHARE_CREATION", "queued")]
    assert (await told(home, share))[0][2] == "overtaken"


async def test_answers_are_told_as_they_are_now(
    home: Home, office: Office, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    for provider_id in ("kept", "left"):
        await home.reception.receive(away.share(provider_id=provider_id))
    network.down.add(away.host)
    await office.decisions.deny(away.host, ACT)
    kept, left = await home.reception.inbox(alice)
    await home.reception.accept(alice, kept.id)
    await home.reception.accept(alice, left.id)
    await home.settle()
    await home.reception.leave(alice, left.id)
    await home.settle()
    network.down.clear()
    assert (await office.decisions.forget(away.host, ACT))[1] == 2
    await home.settle()
    said = {(one.json["providerId"], one.json["notificationType"]) for one in away.got("/ocm/notifications")}
    assert said == {("kept", "SHARE_ACCEPTED"), ("left", "SHARE_DECLINED")}


async def test_a_mode_that_allows_a_server_again_brings_its_messages_back(
    home: Home, office: Office, away: SimulatedServer, alice: User
) -> None:
    share = await give(home, alice)
    await office.decisions.set_mode("allowlist", ACT)
    await home.creation.unshare(alice, share)
    await home.settle()
    assert (await told(home, share))[-1] == ("SHARE_UNSHARED", "dead", "policy-denied")
    assert (await office.decisions.set_mode("open", ACT))[1] == 1
    await home.settle()
    assert (await told(home, share))[-1][1] == "done"


async def test_a_request_for_a_share_is_asked_again(
    home: Home, office: Office, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    network.down.add(away.host)
    request = await home.request_sending.create(alice, owner=f"dora@{away.host}", resource="report")
    await home.settle()
    await office.decisions.deny(away.host, ACT)
    assert (await home.request_sending.request(alice, request.id)).state == "failed"
    assert (await office.decisions.forget(away.host, ACT))[1] == 1
    assert (await home.request_sending.request(alice, request.id)).state == "pending"


async def test_what_nobody_lifted_by_an_act_is_found_by_the_worker(
    home: Home, office: Office, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    """As where the configuration denied it, or a try ended as denied a moment after the act that lifted the denial."""
    (share,) = await give_and_deny(home, office, alice, network)
    network.down.clear()
    await home.database.write(lambda tx: tx.peers.set_decision(away.host, "", "", None))
    await office.watch.load()
    await home.advance(60)
    assert (await home.outgoing(share)).state == "sent"
    assert [act[:2] for act in await office.acts() if act[1] == "messages-again"] == [("server", "messages-again")]


async def test_what_a_denial_ended_is_kept_as_long_as_it_holds_and_can_be_given_up(
    home: Home, office: Office, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    shares = await give_and_deny(home, office, alice, network, "dora", "carol")
    assert await home.database.write(lambda tx: tx.deliveries.remove_dead(NOW + 400 * DAY, 10)) == 0
    (unwanted,) = await home.of_share(await home.outgoing(shares[0]))
    assert (await home.deliveries.cancel(alice, unwanted.id)).reason == "cancelled"
    with pytest.raises(Conflict):
        await home.deliveries.cancel(alice, unwanted.id)
    assert (await office.decisions.forget(away.host, ACT))[1] == 1
    assert await home.database.write(lambda tx: tx.deliveries.remove_dead(NOW + 400 * DAY, 10)) == 1


async def test_other_servers_keep_their_messages(
    home: Home, office: Office, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    other = SimulatedServer(network, OTHER)
    network.down |= {away.host, other.host}
    shares = {host: await give(home, alice, host=host) for host in (away.host, OTHER)}
    await home.settle()
    _, affected = await office.decisions.deny(".example", ACT)
    assert affected.ended == 2
    with pytest.raises(Conflict):
        await office.decisions.allow(OTHER, ACT)
    assert [(await told(home, share))[0][1] for share in shares.values()] == ["dead", "dead"], "nothing was lifted"
    await office.decisions.deny(OTHER, ACT)
    assert (await office.decisions.forget(".example", ACT))[1] == 1
    assert [(await told(home, share))[0][1] for share in shares.values()] == ["queued", "dead"]
