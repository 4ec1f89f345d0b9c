"""Long answers of other servers, received in large blocks, over both event loops, with and without TLS."""

import asyncio
import random
import tracemalloc
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from opencloudmesh.adapters import http_body
from opencloudmesh.adapters.http_body import BLOCK
from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.protocol.errors import PeerUnreachable
from tests.adapters.authority import Authority
from tests.adapters.test_http_client import (
    OK,
    PATIENT,
    Reader,
    SimulatedPeer,
    Writer,
    a_client,
    answering,
    peer_doing,
    tls_client,
)

BODY = random.Random(1).randbytes(3 * BLOCK + 12345)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}


async def read_into(received: bytearray, client: GuardedHttpClient, url: str, *, closes_at: int = -1) -> None:
    """Read an answer; close the client when so much has come."""
    async with client.stream("GET", url) as answer:
        async for piece in answer.chunks():
            received += piece
            if len(received) == closes_at:
                await client.aclose()


async def long_then_short(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
    """On one connection: the long answer in pieces of all sizes, with what ends it, then a short one."""
    while True:
        peer.heads.append(await reader.readuntil(b"\r\n\r\n"))
        if b" /short " in peer.heads[-1]:
            writer.write(OK)
            continue
        writer.write(HEAD + BODY[:10])
        for start, end in ((10, 70_000), (70_000, 70_001), (70_001, 2 * BLOCK), (2 * BLOCK, len(BODY))):
            await writer.drain()
            writer.write(BODY[start:end])


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("tls", [False, True])
def test_a_long_answer_comes_whole_and_leaves_its_connection(loop: str, tls: bool, tmp_path: Path) -> None:
    async def work() -> None:
        authority = Authority.make(tmp_path)
        clients = tls_client(authority.file) if tls else a_client()
        async with clients as client, peer_doing(long_then_short, authority.server("peer.test") if tls else None) as peer:
            url = peer.url(scheme="https", host="peer.test") if tls else peer.url()
            for _ in range(2):
                async with client.stream("GET", url) as answer:
                    pieces = [piece async for piece in answer.chunks()]
                    assert b"".join(pieces) == BODY
                    assert max(map(len, pieces)) <= BLOCK
                async with client.stream("GET", url + "short") as answer:
                    assert [piece async for piece in answer.chunks()] == [b"ok"]
            assert (peer.connections, len(peer.heads)) == (1, 4)
            await client.aclose()

    LOOPS[loop](work())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("then", "code"), [("close", "connection-lost"), ("hang", "idle-timeout")])
def test_what_has_come_of_a_broken_answer_is_given_and_then_the_reason(loop: str, then: str, code: str) -> None:
    async def work() -> None:
        received = bytearray()
        limits = replace(PATIENT, stream_idle=0.5) if then == "hang" else PATIENT
        async with peer_doing(answering(HEAD, BODY[: 2 * BLOCK], then=then)) as peer, a_client(limits) as client:
            with pytest.raises(PeerUnreachable) as caught:
                await read_into(received, client, peer.url())
            assert caught.value.code == code
            assert received == BODY[: 2 * BLOCK]

    LOOPS[loop](work())


async def test_a_reader_that_stops_ends_the_connection_and_the_next_one_has_its_own() -> None:
    async with peer_doing(long_then_short) as peer, a_client() as client:
        async with client.stream("GET", peer.url()) as answer:
            async for piece in answer.chunks():
                if len(piece) > 10:
                    break
        async with client.stream("GET", peer.url("/short")) as answer:
            assert [piece async for piece in answer.chunks()] == [b"ok"]
        assert peer.connections == 2


async def test_a_client_that_is_closed_ends_what_it_receives() -> None:
    async with peer_doing(answering(HEAD, BODY[:BLOCK], then="hang")) as peer, a_client() as client:
        with pytest.raises(PeerUnreachable, match="broke off"):
            await read_into(bytearray(), client, peer.url(), closes_at=BLOCK)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_reader_that_pauses_is_waited_for(loop: str) -> None:
    size, sent = 100 * BLOCK, asyncio.Event()

    async def long(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(100):
            writer.write(BODY[:BLOCK])
            await writer.drain()
        sent.set()

    async def work() -> None:
        async with peer_doing(long) as peer, a_client() as client, client.stream("GET", peer.url()) as answer:
            received = 0
            async for piece in answer.chunks():
                if received <= 2 * BLOCK < received + len(piece):
                    with pytest.raises(TimeoutError):  # what nobody takes is not received
                        await asyncio.wait_for(sent.wait(), 0.5)
                received += len(piece)
            assert received == size

    LOOPS[loop](work())


async def test_many_long_answers_to_slow_readers_hold_a_bounded_number_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_body, "MOST_BLOCKS", 2)

    def blocks() -> int:
        here = tracemalloc.Filter(inclusive=True, filename_pattern=http_body.__file__)
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([here]).traces) // BLOCK

    async with peer_doing(long_then_short) as peer, a_client() as client, AsyncExitStack() as streams:
        tracemalloc.start()
        streams.callback(tracemalloc.stop)
        for _ in range(2):
            async with AsyncExitStack() as slow:
                answers = [(await slow.enter_async_context(client.stream("GET", peer.url()))).chunks() for _ in range(6)]
                received = [bytearray() for _ in answers]
                for content, answer in zip(received, answers, strict=True):
                    while len(content) < BLOCK:
                        content += await anext(answer)
                assert 2 <= blocks() <= 4  # each with what was passed on
                for content, answer in zip(received, answers, strict=True):
                    assert b"".join([content, *[piece async for piece in answer]]) == BODY


@pytest.mark.parametrize("loop", LOOPS)
def test_a_peer_that_sends_more_than_it_announced_is_asked_over_another_connection(loop: str) -> None:
    async def work() -> None:
        async with peer_doing(answering(HEAD, BODY + OK, then="keep")) as peer, a_client() as client:
            for connections in (1, 2):
                received = bytearray()
                await read_into(received, client, peer.url())
                assert (received, peer.connections) == (BODY, connections)

    LOOPS[loop](work())


async def test_an_answer_that_nobody_asked_for_is_no_http() -> None:
    is_idle, is_sent = asyncio.Event(), asyncio.Event()

    async def unasked(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await is_idle.wait()
        writer.write(HEAD + BODY[:10])
        is_sent.set()
        await reader.read()

    async with peer_doing(unasked) as peer, a_client() as client:
        await read_into(bytearray(), client, peer.url())
        is_idle.set()
        await is_sent.wait()
        for _ in range(20):  # it is there, and is received in one of the next rounds
            await asyncio.sleep(0)
        with pytest.raises(PeerUnreachable, match="did not speak HTTP"):
            await read_into(bytearray(), client, peer.url())
