"""What two servers think of their shares is compared, and put right."""

import asyncio
import itertools

import pytest

from opencloudmesh.protocol.availability import Answered, Away, Finding, Refused
from opencloudmesh.protocol.errors import InvalidInput, TokenRefused
from opencloudmesh.services.reconciliation import Line, Place, Reconciler, Reminders, Repair
from opencloudmesh.services.records import IncomingShare, OutgoingShare, User
from tests.services.home import Home
from tests.services.world import NOW, SimulatedNetwork, SimulatedServer, answer

_numbers = itertools.count(1)
HOUR = 3600.0
DAY = 24 * HOUR
WEEK = 7 * DAY


class SimulatedProbe:
    """Implements `reconciliation.Probe`."""

    def __init__(self) -> None:
        self.findings: dict[int, Finding] = {}
        self.looked: list[tuple[int, bool]] = []

    async def probe(self, share: IncomingShare, *, note: bool = True) -> Finding:
        self.looked.append((share.id, note))
        return self.findings.get(share.id, Answered())


class SimulatedPause:
    """Ends the reconciling after some pauses."""

    def __init__(self, most: int) -> None:
        self.seconds: list[float] = []
        self.most = most

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) >= self.most:
            raise asyncio.CancelledError


class Bench:
    """A server of ours with a repair and a reconciler."""

    def __init__(self, home: Home, away: SimulatedServer, network: SimulatedNetwork, user: User) -> None:
        self.home, self.away, self.network, self.user = home, away, network, user
        self.probe = SimulatedProbe()
        self.pause = SimulatedPause(3)
        self.repair = Repair(database=home.database, deliveries=home.deliveries, probe=self.probe, clock=home.time)
        self.reconciler = Reconciler(
            database=home.database,
            peers=home.peers,
            deliveries=home.deliveries,
            probe=self.probe,
            clock=home.time,
            every=100.0,
            chance=lambda: 0.5,
            pause=self.pause,
        )
        reminders = Reminders(database=home.database, deliveries=home.deliveries, clock=home.time)
        home.code_flow.on_refused = reminders.refused
        home.notifications.on_late_answer = reminders.answered

    async def give(self) -> OutgoingShare:
        whom = f"dora{next(_numbers)}@away.example"
        return (await self.home.creation.create(self.user, path="notes", share_with=whom))[0]

    async def given(self) -> OutgoingShare:
        """A share that the other server took."""
        share = await self.give()
        await self.home.settle()
        return await self.home.outgoing(share.id)

    async def received(self, *, accept: bool = True) -> IncomingShare:
        provider_id = f"p{next(_numbers)}"
        await self.home.reception.receive(self.away.share(provider_id=provider_id, at=self.home.time.now))
        share = (await self.home.reception.inbox(self.user))[-1]
        if accept:
            await self.home.reception.accept(self.user, share.id)
        await self.home.settle()
        return share

    async def lose(self) -> None:
        """The other server is down until what waits for it is given up."""
        self.network.down.add(self.away.host)
        for _ in range(2):
            await self.home.advance(WEEK)
            await self.home.advance(6 * 3600.0)

    def come_back(self) -> None:
        self.network.down.clear()

    def kinds(self) -> list[str]:
        return [asked.json["notificationType"] for asked in self.away.got("/ocm/notifications")]

    async def lines(self, *, dry_run: bool = False, resend: bool = False, peer: str | None = None, limit: int = 2) -> list[Line]:
        """All pages."""
        found: list[Line] = []
        place: Place | None = Place()
        while place is not None:
            lines, place = await self.repair.page(
                self.user, dry_run=dry_run, resend=resend, peer=peer, after=Place.parse(str(place)), limit=limit
            )
            found += lines
        await self.home.settle()
        return found


@pytest.fixture
async def bench(home: Home, away: SimulatedServer, network: SimulatedNetwork, alice: User) -> Bench:
    return Bench(home, away, network, alice)


# ---------------------------------------------------------------- an end that was forgotten
async def asks_for_a_token(bench: Bench, share: OutgoingShare, who: SimulatedServer | None = None) -> str:
    """The reason why the other server, or another one, gets none, as our log has it; and what follows happens."""
    asking = who or bench.away
    with pytest.raises(TokenRefused) as refusal:
        await bench.home.code_flow.issue(asking.token_request(share.secret.reveal(), at=bench.home.time.now))
    await bench.home.settle()
    return refusal.value.code


async def test_who_forgot_that_a_share_was_taken_back_is_told_again_once_a_day(bench: Bench) -> None:
    share = await bench.given()
    await bench.home.creation.unshare(bench.user, share.id)
    await bench.home.settle()
    assert await asks_for_a_token(bench, share) == "share-revoked"
    assert len(bench.kinds()) == 1, "that may have been under way"
    for hours, told in ((0.1, 2), (1.0, 2), (20.0, 2), (3.0, 3), (1.0, 3), (24.0, 4)):
        await bench.home.advance(hours * HOUR)
        for _ in range(2):
            await asks_for_a_token(bench, share)
        assert len(bench.kinds()) == told, hours
    assert {*bench.kinds()} == {"SHARE_UNSHARED"}
    (last,) = {asked.json["providerId"] for asked in bench.away.got("/ocm/notifications")}
    assert last == share.provider_id


async def test_who_forgot_that_a_share_expired_is_told(bench: Bench) -> None:
    whom = f"dora{next(_numbers)}@away.example"
    made, _ = await bench.home.creation.create(bench.user, path="notes", share_with=whom, expires_at=NOW + HOUR)
    await bench.home.settle()
    await bench.home.advance(HOUR)
    share = await bench.home.outgoing(made.id)
    assert await asks_for_a_token(bench, share) == "share-expired"
    assert bench.kinds() == ["SHARE_UNSHARED"]
    await bench.home.database.write(lambda tx: tx.outgoing_shares.expire(bench.home.time.now, 10))
    await bench.home.advance(HOUR)
    await asks_for_a_token(bench, share)
    assert len(bench.kinds()) == 1
    await bench.home.advance(DAY)
    await asks_for_a_token(bench, share)
    assert len(bench.kinds()) == 2


async def test_strangers_and_those_who_would_not_hear_it_are_told_nothing(bench: Bench) -> None:
    share, refusing = await bench.given(), await bench.given()
    living = await bench.given()
    await bench.home.creation.unshare(bench.user, share.id)
    await bench.home.settle()
    bench.away.route("POST", "/ocm/notifications", lambda _: answer(501))
    await bench.home.creation.unshare(bench.user, refusing.id)
    await bench.home.settle()
    bench.away.route("POST", "/ocm/notifications", lambda _: answer(201))
    told = len(bench.kinds())
    await bench.home.advance(DAY)
    mallory = SimulatedServer(bench.network, "mallory.example")
    assert await asks_for_a_token(bench, share, mallory) == "not-a-party"
    await asks_for_a_token(bench, refusing)
    await bench.home.code_flow.issue(bench.away.token_request(living.secret.reveal(), at=bench.home.time.now))
    await bench.home.settle()
    assert len(bench.kinds()) == told
    assert mallory.got("/ocm/notifications") == []


async def answers(bench: Bench, share: OutgoingShare, kind: str = "SHARE_ACCEPTED") -> None:
    """The other server answers the share; and what follows happens."""
    await bench.home.notifications.receive(bench.away.notification(kind, share.provider_id, at=bench.home.time.now))
    await bench.home.settle()


async def test_who_accepts_a_share_that_has_ended_is_told_at_once_and_then_once_a_day(bench: Bench) -> None:
    share = await bench.given()
    await bench.home.creation.unshare(bench.user, share.id)
    await bench.home.advance(10)
    await answers(bench, share, "SHARE_DECLINED")
    assert bench.kinds() == ["SHARE_UNSHARED"], "who declines has no use for it"
    for hours, told in ((0.0, 2), (0.1, 2), (1.0, 2), (24.0, 3)):
        await bench.home.advance(hours * HOUR)
        await answers(bench, share)
        assert bench.kinds() == ["SHARE_UNSHARED"] * told, hours
    assert (await bench.home.outgoing(share.id)).state == "revoked"


async def test_who_accepts_or_asks_for_what_it_declined_before_is_told_that_it_has_ended(bench: Bench) -> None:
    accepting, asking = await bench.given(), await bench.given()
    for share in (accepting, asking):
        await answers(bench, share, "SHARE_DECLINED")
    assert await asks_for_a_token(bench, asking) == "share-revoked"
    bench.home.time.set_back(HOUR)
    assert await asks_for_a_token(bench, await bench.home.outgoing(asking.id)) == "share-revoked"
    assert bench.kinds() == [], "that may have been under way"
    bench.home.time.set_back(-HOUR)
    await answers(bench, accepting)
    assert bench.kinds() == ["SHARE_UNSHARED"]
    await bench.home.advance(HOUR)
    await asks_for_a_token(bench, asking)
    await answers(bench, accepting)
    told = [asked.json["providerId"] for asked in bench.away.got("/ocm/notifications")]
    assert told == [accepting.provider_id, asking.provider_id]
    assert {(await bench.home.outgoing(share.id)).state for share in (accepting, asking)} == {"declined"}


async def test_an_answer_that_is_told_again_is_no_late_one(bench: Bench) -> None:
    share = await bench.given()
    for kind in ("SHARE_ACCEPTED", "SHARE_ACCEPTED", "SHARE_DECLINED", "SHARE_DECLINED"):
        await answers(bench, share, kind)
    assert bench.kinds() == []


async def test_recent_ends_are_told_again_with_resend(bench: Bench) -> None:
    """Not older ones, not what was declined, nor what was never taken."""
    old = await bench.given()
    await bench.home.creation.unshare(bench.user, old.id)
    await bench.home.advance(20 * DAY)
    recent, declined = await bench.given(), await bench.given()
    await answers(bench, declined, "SHARE_DECLINED")
    await bench.home.creation.unshare(bench.user, recent.id)
    await bench.home.settle()
    bench.network.down.add(bench.away.host)
    never = await bench.give()
    await bench.home.creation.unshare(bench.user, never.id)
    await bench.home.settle()
    bench.come_back()
    told = len(bench.kinds())
    assert [line.act for line in await bench.lines()] == []
    assert [(line.share_id, line.act) for line in await bench.lines(dry_run=True, resend=True)] == [(recent.id, "tell-end")]
    await bench.lines(resend=True)
    assert bench.away.got("/ocm/notifications")[told:][0].json["providerId"] == recent.provider_id
    assert len(bench.kinds()) == told + 1


async def test_a_message_that_was_given_up_is_the_one_that_is_sent(bench: Bench) -> None:
    share = await bench.given()
    bench.network.down.add(bench.away.host)
    await bench.home.creation.unshare(bench.user, share.id)
    await bench.lose()
    bench.come_back()
    bench.home.time.advance(DAY)
    await asks_for_a_token(bench, share)
    await bench.home.advance(10)
    assert [one.state for one in await bench.home.of_share(share) if one.kind == "SHARE_UNSHARED"] == ["done"]


# ---------------------------------------------------------------- in the background
async def test_what_was_never_told_is_told_when_the_server_is_back(bench: Bench) -> None:
    taken_back, accepted, left = await bench.given(), await bench.received(accept=False), await bench.received()
    bench.network.down.add(bench.away.host)
    await bench.home.creation.unshare(bench.user, taken_back.id)
    await bench.home.reception.accept(bench.user, accepted.id)
    await bench.home.reception.leave(bench.user, left.id)
    await bench.lose()
    before = len(bench.kinds())
    assert await bench.reconciler.reconcile() == (0, 0), "a server that is down is left alone"
    bench.come_back()
    bench.home.time.advance(11)
    assert await bench.reconciler.reconcile() == (3, 1)
    await bench.home.settle()
    assert sorted(bench.kinds()[before:]) == ["SHARE_ACCEPTED", "SHARE_DECLINED", "SHARE_UNSHARED"]
    bench.home.time.advance(11)
    assert await bench.reconciler.reconcile() == (0, 1), "once"


async def test_a_share_creation_is_never_sent_again_by_itself(bench: Bench) -> None:
    bench.network.down.add(bench.away.host)
    share = await bench.give()
    await bench.lose()
    assert (await bench.home.outgoing(share.id)).state == "failed"
    bench.come_back()
    bench.home.time.advance(11)
    assert await bench.reconciler.reconcile() == (0, 0)
    assert bench.away.got("/ocm/shares") == []


async def test_what_is_not_true_any_more_is_not_told(bench: Bench) -> None:
    share = await bench.received(accept=False)
    bench.network.down.add(bench.away.host)
    await bench.home.reception.accept(bench.user, share.id)
    await bench.lose()
    await bench.home.database.write(lambda tx: tx.incoming_shares.set_state(share.id, "revoked", "unshared", NOW))
    bench.come_back()
    bench.home.time.advance(11)
    assert await bench.reconciler.reconcile() == (0, 0)


async def test_what_was_refused_is_not_repeated_by_itself(bench: Bench) -> None:
    share = await bench.given()
    bench.away.route("POST", "/ocm/notifications", lambda _: answer(403))
    await bench.home.creation.unshare(bench.user, share.id)
    await bench.home.settle()
    assert await bench.reconciler.reconcile() == (0, 0)
    assert [(line.act, line.said) for line in await bench.lines()] == [("tell-end", "http-403")], "but on request"
    assert len(bench.kinds()) == 2


async def test_accepted_shares_are_looked_at_until_the_server_is_away(bench: Bench) -> None:
    shares = [await bench.received() for _ in range(5)]
    assert await bench.reconciler.reconcile() == (0, 5)
    assert bench.probe.looked == [(share.id, True) for share in shares]
    bench.probe.findings = {share.id: Away("http-503") for share in shares[1:]}
    bench.home.time.advance(11)
    assert await bench.reconciler.reconcile() == (0, 4), "three in a row"


async def test_it_goes_on_after_a_fault_with_jitter(bench: Bench) -> None:
    await bench.home.deliveries.stop()
    await bench.home.database.aclose()
    with pytest.raises(asyncio.CancelledError):
        await bench.reconciler.run()
    assert bench.pause.seconds == [pytest.approx(55.0), 100.0, 100.0]


# ---------------------------------------------------------------- on request
async def test_a_dry_run_changes_nothing(bench: Bench) -> None:
    living, ended, received = await bench.given(), await bench.given(), await bench.received()
    bench.network.down.add(bench.away.host)
    await bench.home.creation.unshare(bench.user, ended.id)
    await bench.lose()
    bench.come_back()
    bench.probe.findings[received.id] = Refused("http-404")
    before = len(bench.network.asked)
    lines = await bench.lines(dry_run=True, resend=True)
    assert [(line.direction, line.share_id, line.state, line.said, line.act) for line in lines] == [
        ("given", living.id, "sent", "taken", "announce"),
        ("given", ended.id, "revoked", "time-to-live", "tell-end"),
        ("received", received.id, "accepted", "http-404", "note"),
    ]
    assert len(bench.network.asked) == before
    assert bench.probe.looked == [(received.id, False)]


async def test_a_server_that_lost_its_data_gets_the_shares_again(bench: Bench) -> None:
    sent, accepted = await bench.given(), await bench.given()
    await bench.home.notifications.receive(bench.away.notification("SHARE_ACCEPTED", accepted.provider_id))
    assert [line.act for line in await bench.lines()] == ["", ""], "not without being asked to"
    assert {line.act for line in await bench.lines(resend=True)} == {"announce"}
    told = [asked.json for asked in bench.away.got("/ocm/shares")]
    assert [message["providerId"] for message in told[2:]] == [sent.provider_id, accepted.provider_id]
    assert told[2:] == told[:2], "the very same messages"
    states = [(await bench.home.outgoing(share.id)).state for share in (sent, accepted)]
    assert states == ["sent", "sent"], "they wait for an answer there"
    await bench.home.notifications.receive(
        bench.away.notification("SHARE_ACCEPTED", accepted.provider_id, at=bench.home.time.now + 1)
    )
    assert (await bench.home.outgoing(accepted.id)).state == "accepted"


async def test_a_repeat_that_is_refused_does_not_end_the_share(bench: Bench) -> None:
    share = await bench.given()
    bench.away.route("POST", "/ocm/shares", lambda _: answer(400))
    await bench.lines(resend=True)
    assert (await bench.home.outgoing(share.id)).state == "sent"
    assert [line.said for line in await bench.lines(dry_run=True)] == ["http-400"]
    bench.away.route("POST", "/ocm/shares", lambda _: answer(201))
    await bench.home.creation.unshare(bench.user, share.id)
    await bench.home.settle()
    assert bench.kinds() == ["SHARE_UNSHARED"], "it is known there"


async def test_a_failed_share_is_pushed_again(bench: Bench) -> None:
    bench.network.down.add(bench.away.host)
    share = await bench.give()
    await bench.lose()
    bench.come_back()
    assert [(line.state, line.said, line.act) for line in await bench.lines()] == [("failed", "time-to-live", "")]
    bench.home.time.advance(11)
    assert [line.act for line in await bench.lines(resend=True)] == ["announce"]
    await bench.home.advance(31)
    assert (await bench.home.outgoing(share.id)).state == "sent"


async def test_a_failed_share_whose_delivery_is_forgotten_is_pushed_again(bench: Bench) -> None:
    bench.away.route("POST", "/ocm/shares", lambda _: answer(403))
    share = await bench.given()
    await bench.home.database.write(lambda tx: tx.deliveries.remove_dead(NOW + 1, 10))
    bench.away.route("POST", "/ocm/shares", lambda _: answer(201))
    assert [(line.said, line.act) for line in await bench.lines(resend=True)] == [("http-403", "announce")]
    assert (await bench.home.outgoing(share.id)).state == "sent"


async def test_what_waits_is_not_sent_twice(bench: Bench) -> None:
    bench.network.down.add(bench.away.host)
    await bench.give()
    await bench.home.settle()
    assert [(line.state, line.said, line.act) for line in await bench.lines(resend=True)] == [("pending", "tcp-refused", "")]


async def test_one_server_only_and_a_server_that_is_away_is_not_asked_on_and_on(bench: Bench, network: SimulatedNetwork) -> None:
    other = SimulatedServer(network, "other.example")
    shares = [await bench.received() for _ in range(5)]
    await bench.home.reception.receive(other.share())
    bench.probe.findings = {share.id: Away("tcp-timeout") for share in shares}
    lines = await bench.lines(peer="away.example", limit=10)
    assert [line.said for line in lines] == ["tcp-timeout"] * 5
    assert {line.act for line in lines} == {"note"}
    assert len(bench.probe.looked) == 3
    assert [line.peer for line in await bench.lines(peer="other.example")] == ["other.example"]


@pytest.mark.parametrize("text", ["x:1", "given:", "given:-1", "received:9999999999999999999", "given"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Place.parse(text)
