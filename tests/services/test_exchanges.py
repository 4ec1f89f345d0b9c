"""The exchange log: noting never waits and is bounded, strangers fill nothing, what is too old or too much goes in batches."""

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.protocol.redaction import Body, Wire
from opencloudmesh.services.exchanges import Exchanges, Seen, because, holds, refused_with, sender_is, take_inbound
from opencloudmesh.services.exchanges.budgets import REFUSALS_OF_ADDRESS, REFUSALS_OF_ALL, WEBDAV_OF_PEER
from opencloudmesh.services.exchanges.inbound import current_inbound
from opencloudmesh.services.exchanges.seen import peer_of, row_of
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import ExchangeFilter
from tests.services.world import NOW, SimulatedTime

JSON = ("content-type", "application/json")
SECRET = "a-shared-secret-0123456789"


def seen(
    *,
    wire: Wire | None = None,
    direction: str = "out",
    status: int = 201,
    verified: bool = True,
    peer: str = "away.example",
    **more: Any,
) -> Seen:
    kept = wire or Wire("https://away.example/ocm/shares", [JSON], Body.of(b'{"sharedSecret": "%s"}' % SECRET.encode()))
    return Seen(NOW, direction, peer, "POST", status, 0.25, lambda: kept, verified=verified, **more)


def refused(source: str = "192.0.2.1", **more: Any) -> Seen:
    return seen(direction="in", status=401, verified=False, peer="", source=source, **more)


@pytest.fixture
def log(database: Database, time: SimulatedTime) -> Exchanges:
    return Exchanges(database=database, clock=time, rows=100)


class Running:
    """The log while it is kept: `written` waits until nothing waits any more."""

    def __init__(self, log: Exchanges) -> None:
        self.log = log

    async def __aenter__(self) -> "Running":
        self.task = asyncio.create_task(self.log.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


# ---------------------------------------------------------------- noting
async def test_what_is_noted_is_found_without_its_secrets(log: Exchanges) -> None:
    async with Running(log):
        log.note(seen(trace_id="a" * 32))
        log.note(refused())
    newest, oldest = await log.find(ExchangeFilter())
    assert (oldest.peer, oldest.method, oldest.status, oldest.duration, oldest.verified) == (
        "away.example",
        "POST",
        201,
        0.25,
        True,
    )
    assert oldest.request_body == '{"sharedSecret": "***"}'
    assert (newest.reason, newest.source, newest.failed) == ("http-401", "192.0.2.1", True)
    assert await log.of_id(newest.id) == newest
    with pytest.raises(NotFound) as unknown:
        await log.of_id(77)
    assert unknown.value.code == "exchange-unknown"
    assert SECRET not in repr(seen())


async def test_a_command_beside_the_server_notes_nothing(log: Exchanges) -> None:
    log.note(seen())
    await log.flush()
    assert await log.find(ExchangeFilter()) == []


async def test_noting_never_waits_and_what_finds_no_place_is_counted(database: Database, time: SimulatedTime) -> None:
    """The writer hangs: 500 more are noted at once, and memory holds ten of them."""
    hanging = asyncio.Event()

    async def pause(_: float) -> None:
        await hanging.wait()

    log = Exchanges(database=database, clock=time, pause=pause, most_waiting=10)
    with capture_logs() as lines:
        async with Running(log):
            for _ in range(510):
                log.note(seen())
            assert log.dropped == 500
    assert len(await log.find(ExchangeFilter())) == 10
    assert [line["rows"] for line in lines if line["event"] == "exchanges-dropped"] == [500]


async def test_memory_is_bounded_in_bytes_too(database: Database, time: SimulatedTime) -> None:
    hanging = asyncio.Event()

    async def pause(_: float) -> None:
        await hanging.wait()

    log = Exchanges(database=database, clock=time, pause=pause)
    async with Running(log):
        for _ in range(20):
            log.note(seen(size=4 << 20))
        assert log.dropped == 17
    assert len(await log.find(ExchangeFilter())) == 3


async def test_what_is_being_written_when_the_server_ends_is_not_lost(log: Exchanges, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    write = log._write

    async def slow(rows: Any) -> None:
        if rows:
            began.set()
            await go_on.wait()
        await write(rows)

    async def at_once(_: float) -> None:
        """No pause."""

    monkeypatch.setattr(log, "_write", slow)
    monkeypatch.setattr(log, "_pause", at_once)
    async with Running(log):
        log.note(seen())
        await began.wait()
        log.note(seen())
        asyncio.get_running_loop().call_soon(go_on.set)  # while it ends
    assert len(await log.find(ExchangeFilter())) == 2


async def test_most_of_the_processor_is_left_to_the_requests(database: Database, time: SimulatedTime) -> None:
    """Each reading of the processor's clock is 20 ms later: a hundred rows cost that, and a longer rest follows."""
    rests: list[float] = []
    ticks = itertools.count()
    done = asyncio.Event()

    async def pause(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 5:
            done.set()
        await asyncio.sleep(0)

    log = Exchanges(database=database, clock=time, pause=pause, spent=lambda: next(ticks) * 0.02)
    async with Running(log):
        for _ in range(450):
            log.note(seen())
        await done.wait()
    assert rests[1:5] == pytest.approx([0.24] * 4)
    assert len(await log.find(ExchangeFilter(), limit=1000)) == 450


async def test_one_that_cannot_be_read_costs_no_other(log: Exchanges) -> None:
    def broken() -> Wire:
        raise RuntimeError(SECRET)

    with capture_logs() as lines:
        async with Running(log):
            log.note(Seen(NOW, "out", "away.example", "GET", 200, 0.1, broken))
            log.note(seen())
    assert len(await log.find(ExchangeFilter())) == 1
    assert [line["event"] for line in lines] == ["exchange-not-noted"]
    assert SECRET not in str(lines)


async def test_a_database_that_fails_stops_nothing(database: Database, log: Exchanges) -> None:
    with capture_logs() as lines:
        async with Running(log):
            log.note(seen())
            await database.aclose()
    assert log.dropped == 1
    assert [line["event"] for line in lines] == ["exchanges-not-written"]


# ---------------------------------------------------------------- strangers and floods
async def test_a_flood_of_refusals_leaves_a_few_rows_and_one_line_that_counts_the_rest(log: Exchanges) -> None:
    async with Running(log):
        for _ in range(500):
            log.note(refused())
        log.note(refused("192.0.2.2"))
        log.note(seen(direction="in", status=400))
    rows = await log.find(ExchangeFilter(), limit=1000)
    assert len([row for row in rows if row.source == "192.0.2.1" and row.status == 401]) == REFUSALS_OF_ADDRESS
    assert len([row for row in rows if row.source == "192.0.2.2"]) == 1
    assert len([row for row in rows if row.status == 400]) == 1, "failures of known peers are always kept"
    (line,) = [row for row in rows if row.reason == "refusals-not-kept"]
    assert line.detail == "490 more refused requests of unverified senders, 490 of them from 192.0.2.1"
    assert log.not_kept == 490


async def test_a_flood_from_everywhere_is_bounded_too(log: Exchanges) -> None:
    async with Running(log):
        for number in range(3000):
            log.note(refused(f"address {number}"))
    assert len([row for row in await log.find(ExchangeFilter(), limit=1000) if row.status == 401]) == REFUSALS_OF_ALL


async def test_many_webdav_requests_of_one_act_are_counted(log: Exchanges) -> None:
    async with Running(log):
        for _ in range(WEBDAV_OF_PEER + 80):
            log.note(seen(status=207, is_webdav=True))
        log.note(seen(status=404, is_webdav=True))
    rows = await log.find(ExchangeFilter(), limit=1000)
    assert len([row for row in rows if row.status == 207]) == WEBDAV_OF_PEER
    assert [row.status for row in rows if row.failed] == [404]
    assert [row.detail for row in rows if row.status == 200] == ["80 more WebDAV requests that succeeded"]


# ---------------------------------------------------------------- the end
async def test_rows_end_after_fourteen_days(log: Exchanges, database: Database, time: SimulatedTime) -> None:
    async with Running(log):
        for _ in range(30):
            log.note(seen())
    time.advance(14 * 86400 - 1)
    assert await database.write(lambda tx: log.sweep(tx, time())) == 0
    time.advance(2)
    assert await database.write(lambda tx: log.sweep(tx, time())) == 30


async def test_too_many_rows_go_in_batches_the_loudest_peer_first(
    log: Exchanges, database: Database, time: SimulatedTime
) -> None:
    async with Running(log):
        log.note(seen(peer="quiet.example"))
        for _ in range(400):
            log.note(seen(peer="loud.example"))
        for number in range(50):
            log.note(refused(f"address {number}"))
    swept = []
    while count := await database.write(lambda tx: log.sweep(tx, time())):
        swept.append(count)
    assert max(swept) <= 200
    left = await log.find(ExchangeFilter(), limit=1000)
    assert len(left) == 100
    assert [row.peer for row in left if row.peer == "quiet.example"] == ["quiet.example"]


async def test_bytes_are_bounded_and_summed_up_now_and_then(database: Database, time: SimulatedTime) -> None:
    log = Exchanges(database=database, clock=time, stored_bytes=100_000)

    long = Wire("https://away.example/ocm/shares", [JSON], Body.of(b'{"name": "%s"}' % (b"a b" * 1000)))

    async def swept() -> int:
        return await database.write(lambda tx: log.sweep(tx, time()))

    async def note(number: int) -> None:
        async with Running(log):
            for _ in range(number):
                log.note(seen(wire=long))

    assert await swept() == 0
    await note(10)
    assert await swept() == 0
    await note(50)
    assert await swept() > 0, "we have written too many ourselves"
    while await swept():
        pass
    rows = await log.find(ExchangeFilter(), limit=1000)
    assert 0 < sum(row.stored_bytes for row in rows) <= 100_000
    row = replace(rows[0], request_body="x" * 150_000)
    await database.write(lambda tx: tx.exchanges.add([row]))  # another process
    assert await swept() == 0
    time.advance(601)
    assert await swept() > 0


async def test_refused_strangers_take_a_tenth(log: Exchanges, database: Database, time: SimulatedTime) -> None:
    async with Running(log):
        for number in range(50):
            log.note(refused(f"address {number}"))
        log.note(seen())
    assert await database.write(lambda tx: log.sweep(tx, time())) == 40
    assert await database.write(lambda tx: log.sweep(tx, time())) == 0
    assert len(await log.find(ExchangeFilter(), limit=1000)) == 11


# ---------------------------------------------------------------- finding
async def test_filters(log: Exchanges) -> None:
    async with Running(log):
        log.note(seen(peer="a.example", trace_id="a" * 32))
        log.note(seen(peer="b.example", status=0, reason="dns"))
        log.note(seen(peer="b.example", direction="in", trace_id="b" * 32))
    every = {row.id: row for row in await log.find(ExchangeFilter())}

    async def ids(**wanted: Any) -> list[int]:
        return [row.id for row in await log.find(ExchangeFilter(**wanted))]

    first, second, third = sorted(every)
    assert await ids(peer="b.example") == [third, second]
    assert await ids(trace_id="a" * 32) == [first]
    assert await ids(direction="out") == [second, first]
    assert await ids(failed=True) == [second]
    assert await ids(reason="dns") == [second]
    assert await ids(since=NOW + 1) == await ids(until=NOW) == []
    assert await ids(before_id=third) == [second, first]
    assert [row.id for row in await log.find(ExchangeFilter(after_id=0), limit=2)] == [second, first], "those that came first"
    assert len(await log.find(ExchangeFilter(), limit=0)) == 1


# ---------------------------------------------------------------- rows
@pytest.mark.parametrize(
    ("headers", "body", "peer"),
    [
        ([("Signature-Input", 'ocm=("@method");keyid="https://away.example/ocm#key1"')], b"", "away.example"),
        ([JSON], b'{"sender": "carol@away.example"}', "away.example"),
        ([JSON], b'{"sender": 7, "owner": "carol@away.example"}', "away.example"),
        ([JSON], b'{"sender": "nonsense", "client_id": "away.example"}', "away.example"),
        ([("Signature", 'keyId="https://old.example/ocm#signature",algorithm="rsa-sha512"')], b"", "old.example"),
        ([("Signature-Input", 'ocm=();keyid="nonsense"'), JSON], b'{"client_id": "away.example:444"}', "away.example:444"),
        ([JSON], b'{"sender": "nonsense"}', ""),
        ([JSON], b"[]", ""),
        ([], b"", ""),
    ],
)
def test_who_a_request_says_it_comes_from(headers: list[tuple[str, str]], body: bytes, peer: str) -> None:
    row = row_of(refused(wire=Wire("https://cloud.example.org/ocm/shares", headers, Body.of(body))), 4096)
    assert (row.peer, row.verified) == (peer, False)


@pytest.mark.parametrize(
    ("direction", "status", "said", "reason"),
    [
        ("in", 400, {"message": "recipient-unknown"}, "recipient-unknown"),
        ("out", 400, {"message": "recipient-unknown"}, "http-400"),
        ("out", 302, {}, "http-302"),
        ("in", 304, {}, ""),
        ("out", 304, {}, ""),
        ("out", 201, {}, ""),
        ("in", 404, {"message": "No Such Thing"}, "http-404"),
    ],
)
def test_the_reason_of_an_answer(direction: str, status: int, said: dict[str, str], reason: str) -> None:
    import json

    wire = Wire("https://away.example/", [], Body(), [JSON], Body.of(json.dumps(said).encode()))
    assert row_of(seen(wire=wire, direction=direction, status=status), 4096).reason == reason


def test_bodies_of_refused_strangers_are_shorter() -> None:
    wire = Wire("/", [JSON], Body.of(b'{"x": "%s"}' % (b"word " * 2000)))
    assert 4096 <= len(row_of(seen(wire=wire), 4096).request_body) < 4150
    assert len(row_of(refused(wire=wire), 4096).request_body) < 1100
    assert row_of(refused(wire=wire), 0).request_body == ""


def test_the_server_of_a_url() -> None:
    assert peer_of("https://Away.example/ocm") == "away.example"
    assert peer_of("file:///etc/passwd") == ""


# ---------------------------------------------------------------- what is found out meanwhile
def test_what_is_said_about_the_request_at_hand() -> None:
    current_inbound.set(None)
    sender_is("a.example", verified=True)
    refused_with("policy-denied", "No.")
    because("denied by the operator")
    holds(b"{}")
    inbound = take_inbound()
    sender_is("claimed.example", verified=False)
    sender_is("proved.example", verified=True)
    sender_is("later.example", verified=False)
    because("denied by the operator")
    refused_with("policy-denied", "No.")
    holds(b"{}")
    assert (inbound.peer, inbound.verified, inbound.reason, inbound.detail) == (
        "proved.example",
        True,
        "policy-denied",
        "denied by the operator",
    )
    assert inbound.body == Body.of(b"{}")
    current_inbound.set(None)
