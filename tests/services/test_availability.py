"""Received shares whose server is down: marked, failing at once, found again by probes and by what is heard of the server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from opencloudmesh.protocol.availability import Answered, Away, Refused
from opencloudmesh.protocol.errors import (
    DeniedByPeer,
    Forbidden,
    GrantRefused,
    MissingAtPeer,
    OCMError,
    PeerDown,
    PeerRefused,
    PeerUnreachable,
    TemporarilyUnavailable,
)
from opencloudmesh.services.availability import Marks, Prober, SeenRoots
from opencloudmesh.services.availability import marks as marks_module
from opencloudmesh.services.delivery import RetryPolicy
from opencloudmesh.services.records import IncomingShare, User
from opencloudmesh.services.resource_access import ReceivedShares
from tests.services.home import Home
from tests.services.remote import SimulatedRemote, got, webdav
from tests.services.world import NOW, SimulatedNetwork, SimulatedServer, answer

HOUR = 3600.0
GONE = MissingAtPeer("The other server has no such file or folder.", code=None, peer_status=404, by_application=True)
PAGE = PeerRefused("The other server answered 404 with a web page.", code="http-404", status=404)
SILENT = MissingAtPeer("The other server has no such file or folder.", code=None, peer_status=404, by_application=False)
BUSY = PeerRefused("The other server answered 503.", code="http-503", status=503)


@dataclass
class Watch:
    """Received shares and what looks after them, as one process has them."""

    home: Home
    received: ReceivedShares
    prober: Prober
    back: list[str] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None

    @property
    def marks(self) -> Marks:
        return self.received.marks

    def start(self) -> None:
        self.task = asyncio.create_task(self.prober.run())

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        await self.received.aclose()

    async def use(self, share: IncomingShare, path: str = "") -> str:
        """What a user's request at a share comes to: "" or the reason code."""
        try:
            await (await self.received.open(await self.home.incoming(share.id))).storage.entry(path)
        except OCMError as error:
            return ("known " if isinstance(error, PeerDown) else "") + error.code
        return ""


def watching(home: Home, remote: SimulatedRemote, network: SimulatedNetwork) -> Watch:
    """A process, begun anew."""
    received = ReceivedShares(
        marks=Marks(database=home.database, clock=home.time),
        seen=SeenRoots(home.database),
        peers=home.peers,
        code_flow=home.code_flow,
        remote_tree_for=remote,
        clock=home.time,
        origin_of=network.origin_of,
    )
    prober = Prober(
        database=home.database,
        peers=home.peers,
        marks=received.marks,
        look=received.look,
        clock=home.time,
        policy=RetryPolicy(first=30.0, longest=HOUR),
        wait=home.time.wait,
    )
    made = Watch(home, received, prober)
    prober.on_back = made.back.append
    home.peers.on_contact[1:] = [prober.heard_of]
    home.peers.on_exchange[:] = [prober.exchanged]
    return made


@pytest.fixture
def remote() -> SimulatedRemote:
    return SimulatedRemote()


@pytest.fixture
async def watch(home: Home, remote: SimulatedRemote, network: SimulatedNetwork) -> AsyncIterator[Watch]:
    made = watching(home, remote, network)
    made.start()
    yield made
    await made.stop()


async def marked(home: Home, share: IncomingShare) -> tuple[str, float | None, str]:
    found = await home.incoming(share.id)
    return found.state, found.unavailable_since, found.unavailable_reason


# ---------------------------------------------------------------- down
async def test_a_server_that_is_down_is_confirmed_once_and_then_all_its_shares_fail_at_once(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, remote: SimulatedRemote, network: SimulatedNetwork
) -> None:
    first = await got(home, away, alice)
    other = await got(home, away, alice, provider_id="p2")
    assert await watch.use(first) == ""
    network.down.add(away.host)
    remote.storage.fault = PeerUnreachable("No.", code="tcp-timeout")
    assert await watch.use(first) == "tcp-timeout"
    assert await marked(home, first) == ("accepted", NOW, "tcp-timeout")
    await home.settle()
    asked, sent = len(network.asked), len(remote.sent)
    for share in (first, other):
        assert (await marked(home, share))[:2] == ("accepted", NOW)
        assert (await watch.use(share)).startswith("known tcp-")
    with pytest.raises(PeerDown) as caught:
        await watch.received.open(await home.incoming(other.id))
    assert (caught.value.since, caught.value.code) == (NOW, "tcp-refused")
    assert "2027-01-15 08:00:00 UTC" in caught.value.sentence
    await home.settle()
    assert (len(network.asked), len(remote.sent)) == (asked, sent), "nobody is asked meanwhile"


async def test_who_waits_for_a_server_is_let_go_when_it_is_found_to_be_down(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, remote: SimulatedRemote, network: SimulatedNetwork
) -> None:
    share = await got(home, away, alice)
    remote.gate = asyncio.Event()  # a black hole
    waiting = [asyncio.create_task(watch.use(share)) for _ in range(50)]
    await home.settle()
    assert not any(task.done() for task in waiting)
    network.down.add(away.host)
    await watch.marks.note(share, Away("tcp-timeout"))  # one of them meets its time-out
    await home.settle()
    assert {await task for task in waiting} == {"known tcp-refused"}
    assert watch.marks._asking == {}


async def test_a_wait_that_lasts_has_the_server_looked_at(
    home: Home,
    away: SimulatedServer,
    alice: User,
    watch: Watch,
    remote: SimulatedRemote,
    network: SimulatedNetwork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    share = await got(home, away, alice)
    assert await watch.use(share) == ""
    remote.gate = asyncio.Event()
    network.down.add(away.host)
    monkeypatch.setattr("opencloudmesh.services.availability.marks._DOUBT_AFTER", 0.01)
    async with asyncio.timeout(60):
        assert (await watch.use(share)).startswith("known tcp-")
    assert watch.marks._asking == {}


async def test_one_share_out_of_order_takes_no_other_with_it(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, remote: SimulatedRemote
) -> None:
    share, other = await got(home, away, alice), await got(home, away, alice, provider_id="p2", protocol=webdav(uri="p2"))
    remote.faults["p1"] = BUSY
    assert await watch.use(share) == "http-503"
    await home.settle()
    assert (await watch.use(share), await watch.use(other)) == ("known http-503", "")
    assert await marked(home, other) == ("accepted", None, "")
    sent = len(remote.sent)
    for _ in range(20):
        await watch.use(share)
        await home.settle()
    assert len(remote.sent) <= sent + 1, "wanting it has it looked at every few seconds, not every time"
    remote.faults.clear()
    await watch.use(share)
    await home.advance(5)
    assert await watch.use(share) == ""
    assert await marked(home, share) == ("accepted", None, "")


async def test_shares_out_of_order_do_not_hide_the_others(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, remote: SimulatedRemote, network: SimulatedNetwork
) -> None:
    shares = [await got(home, away, alice, provider_id=f"p{number}", protocol=webdav(uri=f"p{number}")) for number in range(8)]
    await down(home, watch, network, away, shares[0])
    for number in range(7):
        remote.faults[f"p{number}"] = BUSY
    network.down.clear()
    for _ in range(6):
        await home.advance(HOUR)
    assert [(await marked(home, share))[2] for share in shares] == ["http-503"] * 7 + [""]


@pytest.mark.parametrize("told", [answer(500), answer(503), answer(404), answer(200, b"<html>")])
async def test_a_discovery_that_is_not_in_order_is_an_outage_of_all(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, remote: SimulatedRemote, told: object
) -> None:
    share, other = await got(home, away, alice), await got(home, away, alice, provider_id="p2")
    for path in ("/.well-known/ocm", "/ocm-provider/", "/ocm-provider"):
        away.route("GET", path, lambda _: told)  # type: ignore[arg-type, return-value]
    remote.storage.fault = GONE
    for number in range(12):
        assert (await watch.use(share)) != ""
        await home.settle()
        await home.advance(6 * HOUR + 60)
        state, since, reason = await marked(home, other)
        assert (state, since) == ("accepted", NOW), f"a refusal does not count ({number})"
    assert (await home.incoming(share.id)).refusals == 0
    assert reason.startswith(("http-", "discovery-"))


async def test_an_outage_is_told_since_its_beginning_and_with_its_last_reason(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, network: SimulatedNetwork
) -> None:
    share, other = await got(home, away, alice), await got(home, away, alice, provider_id="p2")
    await down(home, watch, network, away, share)
    since = (await marked(home, other))[1]
    assert await marked(home, other) == ("accepted", since, "tcp-refused")
    network.down.clear()  # something else listens there now
    for path in ("/.well-known/ocm", "/ocm-provider/", "/ocm-provider"):
        away.route("GET", path, lambda _: answer(404))
    await home.advance(6 * HOUR)
    for each in (share, other):
        assert (await marked(home, each))[1:] == (since, "http-404")
        outage = watch.marks.outage(await home.incoming(each.id))
        assert outage is not None
        assert (outage.since, outage.reason) == (since, "http-404")


async def test_too_many_requests_are_no_outage(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, remote: SimulatedRemote
) -> None:
    share, other = await got(home, away, alice), await got(home, away, alice, provider_id="p2")
    for path in ("/.well-known/ocm", "/ocm-provider/", "/ocm-provider"):
        away.route("GET", path, lambda _: answer(429))
    await watch.marks.note(share, Away("http-429"))
    await home.settle()
    assert await marked(home, other) == ("accepted", None, "")
    assert not watch.marks.is_away(away.host)
    assert await watch.prober.probe(share) == Away("http-429")


# ---------------------------------------------------------------- back
async def down(home: Home, watch: Watch, network: SimulatedNetwork, away: SimulatedServer, share: IncomingShare) -> None:
    network.down.add(away.host)
    await watch.marks.note(share, Away("tcp-timeout"))
    await home.settle()
    assert watch.marks.is_away(away.host)


async def test_probes_go_on_with_back_off_until_the_server_is_back(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, network: SimulatedNetwork, remote: SimulatedRemote
) -> None:
    share, other = await got(home, away, alice), await got(home, away, alice, provider_id="p2")
    await down(home, watch, network, away, share)
    probes = []
    for minute in [1, 2, 3, 4, 5, *range(20, 12 * 60, 20)]:
        before = len(network.asked)
        await home.advance(NOW + minute * 60 - home.time.now)
        if len(network.asked) > before:
            probes.append(minute)
    assert set(range(1, 4)) & set(probes), "soon at first"
    assert 10 <= len([minute for minute in probes if minute > 60]) <= 22, "then every half to whole hour"
    remote.sent.clear()
    network.down.clear()
    await home.advance(HOUR)
    assert await marked(home, share) == await marked(home, other) == ("accepted", None, "")
    assert len(remote.sent) == 1, "one share is looked at, and speaks for the others"
    assert watch.back == [away.host]
    assert watch.prober._watched == {}


async def test_a_message_of_the_server_brings_its_shares_back_at_once(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, network: SimulatedNetwork
) -> None:
    share = await got(home, away, alice)
    await home.peers.verify(away.notification("SHARE_ACCEPTED", "x"), away.host)  # its keys are known
    await down(home, watch, network, away, share)
    await home.advance(2)
    network.down.clear()
    await home.peers.verify(away.notification("SHARE_ACCEPTED", "x", at=home.time.now), away.host)
    await home.settle()
    assert await marked(home, share) == ("accepted", None, "")
    assert await watch.use(share) == ""


async def test_a_delivery_that_gets_through_does_so_too_and_one_that_fails_has_the_server_looked_at(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, network: SimulatedNetwork
) -> None:
    share = await got(home, away, alice)
    network.down.add(away.host)
    with pytest.raises(PeerUnreachable):
        await home.peers.post_message(away.host, "/notifications", b"{}")
    await home.settle()
    assert (await marked(home, share))[1:] == (NOW, "tcp-refused"), "before any user met it"
    await home.advance(2)
    network.down.clear()
    await home.peers.post_message(away.host, "/notifications", b"{}")
    await home.settle()
    assert await marked(home, share) == ("accepted", None, "")


async def test_a_server_of_which_there_are_no_shares_is_not_probed(
    home: Home, away: SimulatedServer, watch: Watch, network: SimulatedNetwork
) -> None:
    network.down.add(away.host)
    with pytest.raises(PeerUnreachable):
        await home.peers.post_message(away.host, "/notifications", b"{}")
    asked = len(network.asked)
    await home.settle()
    assert len(network.asked) == asked
    assert watch.prober._watched == {}


async def test_what_is_unavailable_survives_a_restart_with_its_root_and_is_probed_at_once(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, network: SimulatedNetwork, remote: SimulatedRemote
) -> None:
    share = await got(home, away, alice, resource_type="file")
    remote.storage.nodes[""] = b"twelve bytes"
    assert await watch.use(share) == ""
    await down(home, watch, network, away, share)
    await watch.stop()
    home.time.advance(100)
    network.asked.clear()
    again = watching(home, remote, network)
    kept = await home.incoming(share.id)
    root = again.received.seen.of(kept)
    assert root is not None
    assert (root.size, root.etag, root.is_folder) == (12, '"12"', False)
    assert again.marks.outage(kept) == marks_module.Outage(NOW, "tcp-refused")
    assert await again.use(share) == "known tcp-refused"
    assert network.asked == []
    network.down.clear()
    again.start()
    await home.settle()
    assert await marked(home, share) == ("accepted", None, "")
    assert await again.use(share) == ""
    await again.stop()


async def test_only_so_many_servers_are_probed_at_once_and_each_once(
    home: Home, network: SimulatedNetwork, alice: User, watch: Watch, remote: SimulatedRemote
) -> None:
    servers = [SimulatedServer(network, f"s{number}.example") for number in range(20)]
    shares = [await got(home, server, alice, provider_id=f"p{number}") for number, server in enumerate(servers)]
    gate, under_way, most = asyncio.Event(), 0, 0

    async def hang(_: object) -> object:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await gate.wait()
        under_way -= 1
        return answer(503)

    for server in servers:
        server.route("GET", "/.well-known/ocm", hang)  # type: ignore[arg-type]
    for share in [*shares, *shares]:
        await watch.marks.note(share, Away("idle-timeout"))
    await home.settle()
    assert most == 16
    gate.set()
    await home.settle()
    assert [await marked(home, share) for share in shares] == [("accepted", NOW, "http-503")] * 20


async def test_many_shares_are_marked_in_batches(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, network: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks_module, "_AT_ONCE", 2)
    shares = [await got(home, away, alice, provider_id=f"p{number}") for number in range(5)]
    await down(home, watch, network, away, shares[0])
    assert {(await marked(home, share))[1] for share in shares} == {NOW}
    network.down.clear()
    await home.advance(60)
    assert {await marked(home, share) for share in shares} == {("accepted", None, "")}


# ---------------------------------------------------------------- gone
@pytest.mark.parametrize("refusal", [GONE, GrantRefused("No.", status=400)])
async def test_refusals_spread_over_a_day_end_a_share_and_only_that_one(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, remote: SimulatedRemote, refusal: OCMError
) -> None:
    share, other = await got(home, away, alice), await got(home, away, alice, provider_id="p2", protocol=webdav(uri="p2"))
    remote.faults["p1"] = refusal
    assert await watch.use(share) == (refusal.code if refusal is not GONE else "http-404"), "not: not-found"
    await home.settle()
    found = await home.incoming(share.id)
    assert (found.refusals, found.unavailable_since) == (1, NOW)
    for _ in range(23):
        await home.advance(HOUR)
        for _ in range(3):
            assert (await watch.use(share)).startswith("known ")
        assert await watch.use(other) == ""
    found = await home.incoming(share.id)
    assert (found.state, found.refusals) == ("accepted", 4), "not before a day has passed"
    for _ in range(9):
        await home.advance(HOUR)
    found = await home.incoming(share.id)
    assert (found.state, found.reason, found.refusals) == ("revoked", "gone", 5)
    assert await marked(home, other) == ("accepted", None, "")
    assert watch.prober._watched == {}


@pytest.mark.parametrize("fault", [PAGE, SILENT, BUSY, PeerUnreachable("No.", code="tls-expired")])
async def test_what_is_no_word_of_the_application_never_ends_a_share(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, remote: SimulatedRemote, fault: OCMError
) -> None:
    share = await got(home, away, alice)
    remote.storage.fault = fault
    await watch.use(share)
    for _ in range(12):
        await home.advance(6 * HOUR)
    found = await home.incoming(share.id)
    assert (found.state, found.refusals, found.unavailable_since) == ("accepted", 0, NOW)
    remote.storage.fault = None
    await home.advance(HOUR)
    assert await marked(home, share) == ("accepted", None, "")


async def test_a_success_begins_the_count_anew(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, remote: SimulatedRemote
) -> None:
    share = await got(home, away, alice)
    for _ in range(2):
        remote.storage.fault = GONE
        await watch.use(share)
        for _ in range(6):
            await home.advance(3.5 * HOUR)
        assert (await home.incoming(share.id)).refusals >= 3
        remote.storage.fault = None
        await home.advance(HOUR)
        found = await home.incoming(share.id)
        assert (found.state, found.refusals, found.refused_since, found.refused_at) == ("accepted", 0, None, None)


async def test_a_file_that_is_missing_inside_says_nothing(home: Home, away: SimulatedServer, alice: User, watch: Watch) -> None:
    share = await got(home, away, alice)
    assert await watch.use(share, "no-such-file") == "not-found"
    assert await marked(home, share) == ("accepted", None, "")


@pytest.mark.parametrize("more", [0, 1])  # looks, for the shares are looked at in turns
async def test_a_server_that_refuses_us_is_not_gone_and_its_first_message_brings_its_shares_back(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, remote: SimulatedRemote, more: int
) -> None:
    shares = [await got(home, away, alice, provider_id=f"p{number}") for number in range(3)]
    remote.storage.fault = DeniedByPeer("No.", status=401)
    for share in shares:
        await watch.use(share)
    for _ in range(20):
        await home.advance(6 * HOUR + 60)
    assert {(await marked(home, share))[::2] for share in shares} == {("accepted", "refused-by-peer")}
    asked = away.fetched("/.well-known/ocm")

    async def call() -> None:
        with pytest.raises(Forbidden):  # it is about no share that we know, and signed
            await home.notifications.receive(away.notification("SHARE_UNSHARED", "other", at=home.time.now))
        await home.settle()

    for _ in range(30):  # in vain: it is asked, less often each time
        await call()
        await home.advance(1)
    assert 2 <= away.fetched("/.well-known/ocm") - asked <= 8
    for _ in range(more):
        await home.advance(60)
        await call()
    remote.storage.fault = None
    await home.advance(60)
    await call()
    assert {await marked(home, share) for share in shares} == {("accepted", None, "")}


async def test_a_share_can_be_left_while_its_server_is_down(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, network: SimulatedNetwork
) -> None:
    share = await got(home, away, alice)
    await down(home, watch, network, away, share)
    assert (await home.reception.leave(alice, share.id)).state == "left"
    await home.advance(HOUR)
    assert watch.prober._watched == {}, "nothing is left to look after"
    assert (await home.incoming(share.id)).state == "left"


# ---------------------------------------------------------------- one look, asked for
async def test_a_probe_says_what_the_other_side_said(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, remote: SimulatedRemote, network: SimulatedNetwork
) -> None:
    share = await got(home, away, alice)
    assert await watch.prober.probe(share) == Answered()
    remote.storage.fault = GONE
    assert await watch.prober.probe(share, note=False) == Refused("http-404")
    assert await marked(home, share) == ("accepted", None, ""), "a dry run leaves no trace"
    assert await watch.prober.probe(share) == Refused("http-404")
    assert (await home.incoming(share.id)).refusals == 1
    network.down.add(away.host)
    assert await watch.prober.probe(share) == Away("tcp-refused")
    assert await marked(home, share) == ("accepted", NOW, "http-404")


async def test_what_cannot_be_written_is_tried_again(
    home: Home, away: SimulatedServer, alice: User, watch: Watch, network: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = await got(home, away, alice)

    async def full(work: object) -> object:
        raise TemporarilyUnavailable("The disk is full.", code="database-unavailable")

    with monkeypatch.context() as broken:
        broken.setattr(watch.marks, "_db", type("Full", (), {"write": staticmethod(full)})())
        broken.setattr(watch.received.seen, "_db", type("Full", (), {"write": staticmethod(full)})())
        assert await watch.use(share) == ""
        network.down.add(away.host)
        await watch.marks.note(share, Away("tcp-timeout"))
        await home.settle()
        assert await marked(home, share) == ("accepted", None, "")
        assert watch.received.seen.of(await home.incoming(share.id)) is None
    await home.advance(40)
    assert (await marked(home, share))[2] == "tcp-refused"
