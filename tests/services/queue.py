"""A delivery worker over a real database, a handler that answers from a script, and a way to give it work."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from opencloudmesh.protocol.errors import OCMError, PeerUnreachable
from opencloudmesh.services.delivery import Deliveries, OnlyProcess, RetryPolicy
from opencloudmesh.services.ports import Database, HttpAnswer, Processes, Transaction
from opencloudmesh.services.records import Delivery, NewOutgoingShare, Secret, User
from tests.services.world import NOW, SimulatedTime, answer, new_token, settle

POLICY = RetryPolicy(first=30.0, longest=3600.0, time_to_live=86400.0)


class MemoryHandler:
    """Implements `delivery.Handler`: answers from a script for the peer, 201 when that is over; `gates` hold messages up."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.peers: list[str] = []
        self.answered: list[int] = []
        self.script: dict[str, list[HttpAnswer | Exception]] = {}
        self.gates: dict[int | str, asyncio.Event] = {}
        self.told: list[tuple[str, int]] = []
        self.fault: Exception | None = None
        self.moot: set[int] = set()

    async def send(self, delivery: Delivery) -> HttpAnswer:
        self.sent.append(delivery.id)
        self.peers.append(delivery.peer)
        for name in (delivery.id, delivery.peer):
            if name in self.gates:
                await self.gates[name].wait()
        self.answered.append(delivery.id)
        script = self.script.get(delivery.peer, [])
        told = script.pop(0) if script else answer(201)
        if isinstance(told, Exception):
            raise told
        return told

    def is_moot(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        return delivery.id in self.moot

    def is_wanted(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        return not self.is_moot(tx, delivery, at)

    def delivered(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        if self.fault is not None:
            raise self.fault
        self.told.append(("delivered", delivery.id))

    def failed(self, tx: Transaction, delivery: Delivery, reason: str, at: float) -> None:
        self.told.append((reason, delivery.id))

    def retried(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        self.told.append(("retried", delivery.id))

    def always(self, peer: str, told: HttpAnswer | Exception) -> None:
        """Answer so to the next thousand messages."""
        self.script[peer] = [told] * 1000

    def gate(self, name: int | str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())


DOWN = PeerUnreachable("away.example cannot be reached.", code="tcp-refused")


@dataclass
class MemoryProcesses:
    """Other processes on the same database; those of `dead` have ended."""

    dead: list[str] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)

    async def announce(self, name: str) -> None:
        self.announced.append(name)

    async def ended(self, names: Collection[str]) -> Collection[str]:
        return [name for name in names if name in self.dead]


OTHERS_AT_WORK = MemoryProcesses()


class Queue:
    """A worker, and a way to give it work."""

    def __init__(self, database: Database, time: SimulatedTime, user: User) -> None:
        self.database = database
        self.time = time
        self.user = user
        self.handler = MemoryHandler()
        self.denied: dict[str, OCMError] = {}
        self.is_mode_closed = False
        self.worker = self.new_worker()

    def new_worker(self) -> Deliveries:
        return Deliveries(
            database=self.database,
            clock=self.time,
            new_token=new_token,
            policy=POLICY,
            wait=self.time.wait,
            denial=lambda peer: self.denied.get(peer),
            is_allowed=lambda peer: peer not in self.denied,
            still_denied=lambda _, peer: self.is_mode_closed or peer in self.denied,
        )

    async def restart(self) -> None:
        """Another process takes up the work."""
        await self.worker.stop()
        self.worker = self.new_worker()
        await self.start()

    async def start(self, processes: Processes | None = None) -> None:
        await self.worker.start({"K": self.handler}, processes or OnlyProcess())
        await self.settle()

    async def share(self, peer: str = "away.example") -> int:
        return (await self.database.write(lambda tx: tx.outgoing_shares.add(new_share(self.user, peer)))).id

    async def add(self, peer: str = "away.example", share: int | None = None, *, wake: bool = True) -> int:
        """Queue one, of a share of its own unless one is named."""
        which = share or await self.share(peer)
        queued = await self.database.write(
            lambda tx: self.worker.queue(tx, peer=peer, kind="K", user_id=self.user.id, outgoing=which)
        )
        if wake:
            self.worker.wake(peer)
        return queued.id

    async def settle(self) -> None:
        await settle(self.database)

    async def advance(self, seconds: float) -> None:
        self.time.advance(seconds)
        await self.settle()

    async def get(self, delivery_id: int) -> Delivery:
        found = await self.database.read(lambda tx: tx.deliveries.by_id(delivery_id))
        assert found is not None
        return found

    async def state(self, delivery_id: int) -> str:
        return (await self.get(delivery_id)).state

    async def after_one_try(self, told: HttpAnswer | Exception, peer: str = "away.example") -> Delivery:
        self.handler.script[peer] = [told]
        delivery_id = await self.add(peer)
        await self.settle()
        return await self.get(delivery_id)


def new_share(user: User, peer: str = "away.example") -> NewOutgoingShare:
    token = new_token()
    return NewOutgoingShare(
        token, user.id, "alice@home.example", "Alice", "a", "a", "file", f"bob@{peer}", peer, ("read",), Secret(token), None, NOW
    )
