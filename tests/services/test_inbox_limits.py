"""Shares for one recipient, and of unknown senders: how many, and who is let in all the same."""

import dataclasses

import pytest

from opencloudmesh.protocol.errors import InvalidMessage, RateLimited, SignatureRefused, TemporarilyUnavailable
from opencloudmesh.services.callers import Caller
from opencloudmesh.services.inbox_limits import InboxLimits
from opencloudmesh.services.lifecycle import Sweeper
from opencloudmesh.services.peer_limits import PeerLimits
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import IncomingShare, User
from opencloudmesh.services.share_reception import Senders
from tests.services.home import Home, make_home
from tests.services.world import SimulatedNetwork, SimulatedServer, SimulatedTime

CALLER = Caller("192.0.2.1", "192.0.2.0/24", is_peer=True)


def limited(database: Database, network: SimulatedNetwork, time: SimulatedTime, **limits: int) -> Home:
    """A server with these limits of its inboxes."""
    inbox_limits = InboxLimits(clock=time, caller=lambda: CALLER, **limits)
    return make_home(database, network, time, inbox_limits=inbox_limits)


async def outcome(home: Home, away: SimulatedServer, number: int | str, **parts: object) -> str:
    try:
        await home.reception.receive(away.share(at=home.time(), provider_id=f"p{number}", **parts))  # type: ignore[arg-type]
    except (RateLimited, TemporarilyUnavailable, InvalidMessage) as error:
        return error.code
    return "taken"


async def outcomes(home: Home, away: SimulatedServer, numbers: range, **parts: object) -> list[str]:
    return [await outcome(home, away, number, **parts) for number in numbers]


# ---------------------------------------------------------------- how many
async def test_one_server_gives_one_recipient_so_many_an_hour(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User, bob: User
) -> None:
    home = limited(database, network, time, per_recipient=3)
    assert await outcomes(home, away, range(5)) == ["taken"] * 3 + ["recipient-limited"] * 2
    assert await outcome(home, away, "b", share_with="bob@home.example") == "taken"
    other = SimulatedServer(network, "other.example")
    assert await outcome(home, other, 1) == "taken"
    assert len(await home.reception.inbox(alice)) == 4
    time.advance(1200)
    assert await outcomes(home, away, range(3, 5)) == ["taken", "recipient-limited"]


async def test_the_same_share_again_costs_nothing(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = limited(database, network, time, per_recipient=3, of_unknown=3, pending=3)
    for _ in range(9):
        time.advance(1)
        assert await outcome(home, away, 1) == "taken"
    assert await outcomes(home, away, range(2, 5)) == ["taken", "taken", "recipient-limited"]


async def test_whether_there_is_such_a_recipient_does_not_show_in_the_limit(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = limited(database, network, time, per_recipient=2)
    nobody = await outcomes(home, away, range(4), share_with="nobody@home.example")
    assert nobody == ["recipient-unknown"] * 2 + ["recipient-limited"] * 2


async def test_unknown_senders_of_one_address_whatever_their_domains(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = limited(database, network, time, of_unknown=3)
    assert await outcome(home, away, 1) == "taken"
    await home.reception.accept(alice, (await home.reception.inbox(alice))[0].id)
    domains = [SimulatedServer(network, f"{number}.evil.example") for number in range(4)]
    assert [await outcome(home, domain, 1) for domain in domains] == ["taken"] * 2 + ["rate-limited"] * 2
    assert await outcomes(home, away, range(2, 9)) == ["taken"] * 7, "who is known is not held up by them"
    assert len(await home.reception.inbox(alice)) == 10, "nothing is stored of what is refused"


async def test_a_full_inbox_takes_no_more_of_strangers_but_of_known_senders(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = limited(database, network, time, pending=4)
    assert await outcome(home, away, 1) == "taken"
    await home.reception.accept(alice, (await home.reception.inbox(alice))[0].id)
    stranger = SimulatedServer(network, "stranger.example")
    assert await outcomes(home, stranger, range(6)) == ["taken"] * 4 + ["inbox-full"] * 2
    with pytest.raises(TemporarilyUnavailable) as refusal:
        await home.reception.receive(stranger.share(provider_id="more"))
    assert (refusal.value.status, refusal.value.retry_after) == (503, 3600)
    assert await outcomes(home, away, range(2, 8)) == ["taken"] * 4 + ["inbox-full"] * 2
    for share in (await home.reception.inbox(alice))[:6]:
        if share.state == "pending":
            await home.reception.decline(alice, share.id)
    assert await outcome(home, away, 9) == "taken", "answering makes room at once"


async def test_taking_shares_back_makes_no_room_for_more_until_they_are_forgotten(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = limited(database, network, time, pending=3)
    for number in range(3):
        assert await outcome(home, away, number) == "taken"
        await home.notifications.receive(away.notification("SHARE_UNSHARED", f"p{number}"))
    assert [share.state for share in await home.reception.inbox(alice)] == ["revoked"] * 3
    assert await outcome(home, away, 4) == "inbox-full"
    time.advance(30 * 86400 + 61)
    await Sweeper(database=database, clock=time).sweep()
    assert await home.reception.inbox(alice) == []
    assert await outcome(home, away, 5) == "taken"


async def test_all_inboxes_together_hold_so_many_and_known_senders_are_let_in(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User, bob: User
) -> None:
    home = limited(database, network, time, in_all=3)
    assert await outcome(home, away, 1) == "taken"
    await home.reception.accept(alice, (await home.reception.inbox(alice))[0].id)
    stranger = SimulatedServer(network, "stranger.example")
    assert await outcomes(home, stranger, range(2)) == ["taken"] * 2
    assert await outcome(home, stranger, "b", share_with="bob@home.example") == "inbox-full"
    assert await outcome(home, away, 2) == "taken", "alice knows its user"
    for share in await home.reception.inbox(alice):
        if share.state == "pending":
            await home.reception.decline(alice, share.id)
    time.advance(601)
    assert await outcome(home, stranger, "c", share_with="bob@home.example") == "taken", "they were answered"


async def test_who_was_counted_is_remembered_for_so_many_users_only(time: SimulatedTime) -> None:
    class Counting:
        incoming_shares = property(lambda self: self)

        def unanswered(self, user_id: int | None = None, *, most: int) -> int:
            return 0

    limits = InboxLimits(clock=time, caller=lambda: CALLER)
    for user_id in range(25_000):
        limits.admit(Counting(), peer="a.example", user_id=user_id, known=True)  # type: ignore[arg-type]
    assert len(limits._counted) <= 10_000


async def test_one_server_sends_so_many_messages(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = make_home(database, network, time, peer_limits=PeerLimits(clock=time, messages_a_minute=3))
    assert await outcomes(home, away, range(5)) == ["taken"] * 3 + ["rate-limited"] * 2
    assert await outcome(home, SimulatedServer(network, "other.example"), 1) == "taken"
    time.advance(20)
    assert await outcome(home, away, 4) == "taken"


async def test_what_others_sign_in_its_name_does_not_count_for_a_server(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = make_home(database, network, time, peer_limits=PeerLimits(clock=time, messages_a_minute=3))
    for number in range(9):
        request = away.share(provider_id=f"x{number}")
        forged = dataclasses.replace(request, body=request.body.replace(b"photos", b"virus!"))
        with pytest.raises(SignatureRefused):
            await home.reception.receive(forged)
    assert await outcomes(home, away, range(3)) == ["taken"] * 3


# ---------------------------------------------------------------- how large
async def test_what_is_stored_of_a_share_is_small(home: Home, away: SimulatedServer, alice: User) -> None:
    await home.reception.receive(away.share(description="d" * 50_000, sender_display_name="n" * 50_000))
    (share,) = await home.reception.inbox(alice)
    assert (len(share.description), len(share.sender_display_name)) == (4096, 255)


# ---------------------------------------------------------------- quarantine
@pytest.fixture
def cautious(database: Database, network: SimulatedNetwork, time: SimulatedTime) -> Home:
    """A server that keeps shares of unknown senders apart."""
    return make_home(database, network, time, trust=TrustBook.configured(quarantine=True))


def names(shares: list[IncomingShare]) -> list[str]:
    return [share.provider_id for share in shares]


async def test_a_share_of_an_unknown_sender_is_kept_apart_and_the_sender_learns_nothing(
    cautious: Home, home: Home, away: SimulatedServer, alice: User
) -> None:
    told = await cautious.reception.receive(away.share())
    assert told == {"recipientDisplayName": "Alice A.", "recipientUserId": "alice"}, "as without quarantine"
    assert await cautious.reception.inbox(alice) == []
    (share,) = await cautious.reception.inbox(alice, unknown=True)
    assert (share.quarantined, share.state) == (True, "pending")
    assert await cautious.reception.senders(alice, [share]) == Senders(frozenset(), 1)
    assert await cautious.reception.incoming(alice, share.id) == share


async def test_accepting_one_makes_its_sender_known(
    cautious: Home, away: SimulatedServer, alice: User, bob: User, network: SimulatedNetwork
) -> None:
    stranger = SimulatedServer(network, "stranger.example")
    for number in (1, 2):
        await cautious.reception.receive(away.share(provider_id=f"p{number}"))
    await cautious.reception.receive(away.share(provider_id="of erik", owner="erik@away.example"))
    await cautious.reception.receive(away.share("bob@home.example", provider_id="for bob"))
    await cautious.reception.receive(stranger.share(provider_id="of another"))
    first = (await cautious.reception.inbox(alice, unknown=True))[0]
    accepted = await cautious.reception.accept(alice, first.id)
    assert (accepted.state, accepted.quarantined) == ("accepted", False)
    await cautious.reception.receive(away.share(provider_id="later"))
    assert names(list(await cautious.reception.inbox(alice))) == ["p1", "p2", "later"]
    assert names(list(await cautious.reception.inbox(alice, unknown=True))) == ["of erik", "of another"]
    assert names(list(await cautious.reception.inbox(bob, unknown=True))) == ["for bob"], "whom alice knows is her own affair"
    assert await cautious.reception.senders(alice, await cautious.reception.inbox(alice)) == Senders(
        frozenset({"dora@away.example"}), 2
    )


async def test_declining_one_leaves_the_others_where_they_are(cautious: Home, away: SimulatedServer, alice: User) -> None:
    for number in (1, 2):
        await cautious.reception.receive(away.share(provider_id=f"p{number}"))
    first = (await cautious.reception.inbox(alice, unknown=True))[0]
    await cautious.reception.decline(alice, first.id)
    await cautious.reception.receive(away.share(provider_id="p1"))
    assert await cautious.reception.inbox(alice) == []
    assert [share.state for share in await cautious.reception.inbox(alice, unknown=True)] == ["declined", "pending"]
    assert (await cautious.reception.senders(alice, [])).quarantined == 1


async def test_without_quarantine_unknown_senders_are_told_apart(home: Home, away: SimulatedServer, alice: User) -> None:
    await home.reception.receive(away.share())
    shares = await home.reception.inbox(alice)
    assert (len(shares), shares[0].quarantined) == (1, False)
    assert await home.reception.senders(alice, shares) == Senders(frozenset(), 0)
    await home.reception.accept(alice, shares[0].id)
    assert (await home.reception.senders(alice, shares)).known == {"dora@away.example"}
