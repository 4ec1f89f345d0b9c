"""The faults of the plan, done to processes, paths, clocks and a disk at their time, and undone at the end."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from tests.chaos.network import Path
from tests.chaos.plan import CLOCK, CLOCK_FAR, DISK, KILL, Fault, Plan
from tests.chaos.server import ChaosServer
from tests.chaos.surroundings import Surroundings


class Breaking:
    """All faults."""

    def __init__(
        self,
        plan: Plan,
        servers: Sequence[ChaosServer],
        paths: Mapping[tuple[int, int], Path],
        around: Surroundings,
        began: float,
    ) -> None:
        self._plan = plan
        self._servers = servers
        self._paths = paths
        self._around = around
        self._began = began
        self._clocks: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Do them all; returns when the last one is undone."""
        async with asyncio.TaskGroup() as tasks:
            for fault in self._plan.faults:
                tasks.create_task(self._do(fault), name=str(fault))

    async def _do(self, fault: Fault) -> None:
        await asyncio.sleep(max(0.0, self._began + fault.at - time.monotonic()))
        end = min(fault.at + fault.seconds, self._plan.size.seconds)
        pause = max(0.1, self._began + end - time.monotonic())
        server = self._servers[fault.where[0]]
        if fault.kind == DISK and not self._around.is_apart:
            self.counts[f"{fault.kind}: left out"] += 1
            return
        if fault.kind == KILL:
            await self._kill(server, pause)
            return
        if fault.kind in (CLOCK, CLOCK_FAR):
            await self._skew(server, fault.amount, pause)
        elif fault.kind == DISK:
            await self._fill(server, pause)
        else:
            await self._cut(fault, pause)
        self.counts[fault.kind] += 1

    async def _kill(self, server: ChaosServer, pause: float) -> None:
        async with server.lock:
            if time.monotonic() > self._began + self._plan.size.seconds:
                self.counts["kill -9: left out, the server took long to start before"] += 1
                return
            server.kill()
            await self._tell(server, up=False)
            await asyncio.sleep(pause)
            await server.start_and_wait()
            await self._tell(server, up=True)
            self.counts[KILL] += 1

    async def _tell(self, server: ChaosServer, *, up: bool) -> None:
        for (_, called), path in self._paths.items():
            if called == server.number:
                await path.server_is(up=up)

    async def _cut(self, fault: Fault, pause: float) -> None:
        path = self._paths[self._around.path_key(*fault.where)]
        token = await path.cut(fault.kind)
        await asyncio.sleep(pause)
        await path.mend(token)

    async def _skew(self, server: ChaosServer, offset: float, pause: float) -> None:
        self._clocks[server.number] += 1
        turn = self._clocks[server.number]
        server.set_clock(offset)
        await asyncio.sleep(pause)
        if self._clocks[server.number] == turn:  # no other has come since
            server.set_clock(0.0)

    async def _fill(self, server: ChaosServer, pause: float) -> None:
        await asyncio.to_thread(server.fill_disk)
        try:
            end = time.monotonic() + pause
            while time.monotonic() < end:  # what is given back is taken again
                await asyncio.sleep(0.5)
                await asyncio.to_thread(server.fill_disk)
        finally:
            server.free_disk()
