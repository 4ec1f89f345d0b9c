"""Our server, its database, and others in a simulated network."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opencloudmesh.adapters.database.sqlite import SqliteDatabase, connect
from opencloudmesh.adapters.keys.secret_box import SecretBox
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import User
from tests.migrated import put_migrated
from tests.services.home import Home, make_home, make_peers
from tests.services.queue import Queue
from tests.services.world import SimulatedNetwork, SimulatedServer, SimulatedTime


@pytest.fixture
def time() -> SimulatedTime:
    """The time, which stands still."""
    return SimulatedTime()


@pytest.fixture
def network() -> SimulatedNetwork:
    """A network without servers."""
    return SimulatedNetwork()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A SQLite database without rows. One thread reads: so whoever asks later is answered later, on which `settle` relies."""
    path = put_migrated(tmp_path / "ocm.sqlite3")
    connect(path).close()
    opened = SqliteDatabase(path, SecretBox(bytes(range(32))), readers=1)
    yield opened
    await opened.aclose()


@pytest.fixture
async def alice(database: Database) -> User:
    """A user of ours."""
    return await database.write(lambda tx: tx.users.add("alice", "Alice A.", "hash", 1.0))


@pytest.fixture
async def bob(database: Database, alice: User) -> User:
    """Another one."""
    return await database.write(lambda tx: tx.users.add("bob", "Bob", "hash", 1.0))


@pytest.fixture
def away(network: SimulatedNetwork) -> SimulatedServer:
    """Another server, away.example."""
    return SimulatedServer(network, "away.example")


@pytest.fixture
def peers(database: Database, network: SimulatedNetwork, time: SimulatedTime) -> Peers:
    """What our server knows of others."""
    return make_peers(database, network, time)


@pytest.fixture
async def home(database: Database, network: SimulatedNetwork, time: SimulatedTime) -> AsyncIterator[Home]:
    """Our server, delivering."""
    made = make_home(database, network, time)
    await made.start()
    yield made
    await made.deliveries.stop()


@pytest.fixture
async def queue(database: Database, time: SimulatedTime, alice: User) -> AsyncIterator[Queue]:
    """A delivery worker, not started yet."""
    made = Queue(database, time, alice)
    yield made
    await made.worker.stop()
