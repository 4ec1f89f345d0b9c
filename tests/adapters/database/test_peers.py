"""The store of what we know of other servers."""

from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import PeerRecord


async def test_documents_of_a_peer_are_kept_apart(database: Database) -> None:
    await database.write(lambda tx: tx.peers.set_discovery("a.example", '{"enabled": true}', 1.5))
    await database.write(lambda tx: tx.peers.set_key_set("a.example", '{"keys": []}', 2.5))
    await database.write(lambda tx: tx.peers.set_discovery("a.example", "{}", 3.5))
    assert await database.read(lambda tx: tx.peers.get("a.example")) == PeerRecord(
        "a.example", "{}", 3.5, '{"keys": []}', 2.5, 1.5, 0.0, None, ""
    )
    assert await database.read(lambda tx: tx.peers.get("b.example")) is None


async def test_failing_since_is_the_first_failure_until_contact(database: Database) -> None:
    async def peer() -> PeerRecord:
        found = await database.read(lambda tx: tx.peers.get("a.example"))
        assert found is not None
        return found

    await database.write(lambda tx: tx.peers.set_failing("a.example", 1.5, "dns"))
    await database.write(lambda tx: tx.peers.set_failing("a.example", 2.5, "tls"))
    assert ((await peer()).failing_since, (await peer()).last_reason) == (1.5, "tls")
    await database.write(lambda tx: tx.peers.set_contact("a.example", 3.5))
    assert ((await peer()).failing_since, (await peer()).last_contact, (await peer()).last_reason) == (None, 3.5, "")
    await database.write(lambda tx: tx.peers.set_failing("a.example", 4.5, "dns"))
    assert ((await peer()).failing_since, (await peer()).last_contact, (await peer()).first_contact) == (4.5, 3.5, 1.5)


async def test_all_peers_by_host(database: Database) -> None:
    for host in ("b.example", "a.example:8443", "c.example"):
        await database.write(lambda tx, host=host: tx.peers.set_contact(host, 1.0))
    assert [peer.host for peer in await database.read(lambda tx: tx.peers.all())] == ["a.example:8443", "b.example", "c.example"]
