"""The store of the exchange log on both databases: what is added is found, and what is too old or too much goes."""

from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import Exchange, ExchangeFilter


def exchange(number: int, **parts: object) -> Exchange:
    values = {"direction": "out", "peer": "a.example", "status": 201, "verified": True} | parts
    return Exchange(at=float(number), method="POST", url="https://a.example/", duration=0.5, **values)  # type: ignore[arg-type]


def stranger(number: int) -> Exchange:
    return exchange(number, direction="in", peer="", status=401, verified=False, source="192.0.2.1")


async def filled(database: Database, *exchanges: Exchange) -> None:
    await database.write(lambda tx: tx.exchanges.add(exchanges))


async def found(database: Database, **wanted: object) -> list[float]:
    rows = await database.read(lambda tx: tx.exchanges.find(ExchangeFilter(**wanted), limit=100))  # type: ignore[arg-type]
    return [row.at for row in rows]


async def test_what_is_added_is_found_as_it_was(database: Database) -> None:
    full = exchange(1, reason="dns", detail="ä", trace_id="a" * 32, request_body="☃", answer_headers="a: b", source="::1")
    await filled(database, full, stranger(2))
    newest, oldest = await database.read(lambda tx: tx.exchanges.find(ExchangeFilter(), limit=9))
    assert (oldest, newest.verified) == (exchange(1, **{**_parts(full), "id": oldest.id}), False)
    assert await database.read(lambda tx: tx.exchanges.by_id(oldest.id)) == oldest
    assert await database.read(lambda tx: tx.exchanges.by_id(newest.id + 1)) is None
    assert await database.read(lambda tx: tx.exchanges.count()) == 2


def _parts(full: Exchange) -> dict[str, object]:
    names = ("reason", "detail", "trace_id", "request_body", "answer_headers", "source")
    return {name: getattr(full, name) for name in names}


async def test_filters_alone_and_together(database: Database) -> None:
    await filled(
        database,
        exchange(1, trace_id="a" * 32),
        exchange(2, peer="b.example", status=0, reason="dns"),
        exchange(3, peer="b.example", direction="in", trace_id="a" * 32),
        stranger(4),
    )
    assert await found(database) == [4, 3, 2, 1]
    assert await found(database, peer="b.example") == [3, 2]
    assert await found(database, peer="b.example", direction="out") == [2]
    assert await found(database, trace_id="a" * 32) == [3, 1] == await found(database, trace_id="a" * 8)
    assert await found(database, trace_id="a" * 31 + "b") == await found(database, trace_id="b" * 8) == []
    assert await found(database, failed=True) == [4, 2]
    assert await found(database, reason="dns", failed=True) == [2]
    assert await found(database, since=2.0, until=4.0) == [3, 2]
    await filled(database, exchange(5, reason="sig-keys-unavailable", detail="They cannot be had: too many. (keys-too-many)"))
    assert await found(database, reason="keys-too-many") == [5] == await found(database, reason="sig-keys-unavailable")
    assert await found(database, reason="keys-too_many") == await found(database, reason="%") == []


async def test_the_oldest_end_first_and_in_batches(database: Database) -> None:
    await filled(database, *(exchange(number) for number in range(10)))
    assert await database.write(lambda tx: tx.exchanges.remove_before(8.0, 5)) == 5
    assert await found(database) == [9, 8, 7, 6, 5]
    assert await database.write(lambda tx: tx.exchanges.remove_before(8.0, 5)) == 3
    assert await database.write(lambda tx: tx.exchanges.remove_before(8.0, 5)) == 0


async def test_too_many_bytes_go_those_of_strangers_first(database: Database) -> None:
    def known(tx: Transaction) -> None:
        for host in ("quiet.example", "a.example"):
            tx.peers.set_contact(host, 1.0)

    await database.write(known)
    body = "☃" * 300
    await filled(database, exchange(0, peer="quiet.example", answer_body=body))
    await filled(database, *(exchange(number, answer_body=body) for number in range(1, 5)))
    await filled(database, *(exchange(10 + number, peer=f"new{number}.example", request_body=body) for number in range(5)))
    await filled(database, stranger(20), stranger(21))
    _, there = await database.write(lambda tx: tx.exchanges.remove_beyond_bytes(1 << 20, 9))
    assert there == sum(row.stored_bytes for row in await database.read(lambda tx: tx.exchanges.find(ExchangeFilter(), limit=99)))
    assert 10 * 1100 < there < 10 * 1200 + 500

    async def left(kept: int, limit: int) -> list[float]:
        await database.write(lambda tx: tx.exchanges.remove_beyond_bytes(kept, limit))
        return (await found(database))[::-1]

    everything = [*range(5), *range(10, 15)]
    assert await left(there - 1, 9) == [*everything, 21]
    assert await left(6000, 9) == everything
    assert await left(6000, 3) == [*range(5), 13, 14], "of servers that we have not dealt with"
    assert await left(6000, 9) == [*range(5)]
    assert await left(6000, 9) == [*range(5)], "that is little enough"
    assert await left(3500, 9) == [0, 3, 4], "nobody's flood drives out what others said"


async def test_strangers_go_first_then_the_oldest_of_whoever_has_most(database: Database) -> None:
    await filled(database, exchange(0, peer="quiet.example"), *(stranger(number) for number in range(1, 6)))
    await filled(database, *(exchange(number) for number in range(10, 40)))

    async def removed(kept: int, limit: int) -> int:
        return await database.write(lambda tx: tx.exchanges.remove_beyond(kept, limit))

    assert await removed(50, 10) == 0, "five of fifty may be strangers'"
    assert await removed(40, 10) == 1
    assert 1.0 not in await found(database)
    assert await removed(20, 100) == 4
    assert await removed(20, 10) == 10
    assert await removed(20, 10) == 1
    assert await removed(20, 10) == 0
    left = await found(database)
    assert left == [*range(39, 20, -1), 0]
