"""A run from the first server to the verdict."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import aiohttp

from tests.chaos.acting import Acting, content_of
from tests.chaos.behind import Row, open_deliveries, stored
from tests.chaos.breaking import Breaking
from tests.chaos.judging import Judge
from tests.chaos.network import Path
from tests.chaos.plan import Plan
from tests.chaos.server import ChaosServer
from tests.chaos.surroundings import Surroundings
from tests.chaos.watching import Watcher, many_addresses

_REST_SECONDS = 60.0
"""How long patient users go on after the last fault."""
_DRAIN_SECONDS = 420.0
_SWEEP_SECONDS = 90.0
"""Expired shares are swept twice a minute."""
_AVAILABLE_SECONDS = 120.0
"""A share that was unavailable is looked at when somebody wants it, and is there soon after, if the machine is not too busy."""
_AT_ONCE = 24
_READ_AT_MOST = 2000


class Run:
    """One plan, carried out."""

    def __init__(self, plan: Plan, around: Surroundings, *, disk_of: int, postgres_of: int) -> None:
        self._plan = plan
        self._around = around
        self._disk_of = disk_of
        self.servers = [
            ChaosServer(n, around, database_url=around.postgres if n == postgres_of else "") for n in range(plan.size.servers)
        ]
        self._counts: Counter[str] = Counter()
        self._paths: dict[tuple[int, int], Path] = {}
        self.tables: list[tuple[str, Counter[str]]] = []
        self.seconds: dict[str, float] = {}

    async def run(self) -> list[str]:
        """Carry it out; what is wrong at the end."""
        timeout = aiohttp.ClientTimeout(total=30, sock_connect=5)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=400)) as http,
            aiohttp.ClientSession(timeout=timeout, connector=many_addresses(self._plan.seed)) as asking,
        ):
            try:
                await self._set_up()
                return await self._story(http, asking)
            finally:
                for path in self._paths.values():
                    await path.close()
                for server in self.servers:
                    server.stop()

    async def _set_up(self) -> None:
        for caller, called in permutations(range(len(self.servers)), 2):
            key = self._around.path_key(caller, called)
            if key not in self._paths:
                via, to = f"127.{150 + caller}.0.1", ("127.0.0.1", self.servers[called].port)
                self._paths[key] = Path(self._around.path_at(caller, called), to, via, self._counts)
        for server in self.servers:
            server.set_up(small_disk=self._around.is_apart and server.number == self._disk_of)
            await server.add_users(self._plan.size.users // len(self.servers))
        await asyncio.gather(*(server.start_and_wait() for server in self.servers))
        for path in self._paths.values():
            await path.server_is(up=True)

    async def _story(self, http: aiohttp.ClientSession, asking: aiohttp.ClientSession) -> list[str]:
        began = time.monotonic()
        acting = Acting(self._plan, self.servers, http, began)
        await acting.upload()
        acting.began = began = time.monotonic()
        breaking = Breaking(self._plan, self.servers, self._paths, self._around, began)
        watcher = Watcher(acting, self.servers, asking, self._plan.seed)
        watching = asyncio.create_task(watcher.run())
        living = asyncio.create_task(acting.run())
        await breaking.run()
        self._note("faults", began)
        await asyncio.wait([living], timeout=_REST_SECONDS)
        acting.over.set()
        await living
        self._note("acts", began)
        waiting = await self._drained()
        self._note("drained", began)
        await self._all_have_expired(acting)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        if not watching.cancelled():
            watching.result()
        await watcher.probe_all()
        faults = await self._judged(acting, watcher)
        self.tables += [("acts", acting.counts), ("faults", breaking.counts), ("paths", self._counts)]
        self._note("judged", began)
        return [*acting.violations, *watcher.violations, *(f"still open: {row}" for row in waiting[:5]), *faults]

    def _note(self, what: str, began: float) -> None:
        self.seconds[what] = time.monotonic() - began
        print(f"{what}: after {self.seconds[what]:.0f} s", flush=True)

    # ------------------------------------------------------------ coming to rest
    async def _drained(self) -> list[Row]:
        deadline, known = time.monotonic() + _DRAIN_SECONDS, 0
        while True:
            waiting = [row for server in self.servers for row in await asyncio.to_thread(open_deliveries, server)]
            if not waiting or time.monotonic() > deadline:
                return waiting
            if len(waiting) != known:
                known = len(waiting)
                print(f"{known} deliveries wait: {Counter(row['reason'] for row in waiting)}", flush=True)
            await asyncio.sleep(0.5)

    async def _all_have_expired(self, acting: Acting) -> None:
        """Wait for the last end, and for the sweep on both sides."""
        ends = [record.expires_at for record in acting.records if record.expires_at and record.provider_id]
        deadline = max([time.time(), *ends]) + _SWEEP_SECONDS
        while time.time() < deadline and await asyncio.to_thread(self._has_unswept):  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(1)

    def _has_unswept(self) -> bool:
        for server in self.servers:
            one = stored(server)
            states = [row["state"] for row in (*one.outgoing, *one.incoming) if row["expires_at"] is not None]
            if any(state in ("pending", "sent", "accepted") for state in states):
                return True
        return False

    # ------------------------------------------------------------ the verdict
    async def _judged(self, acting: Acting, watcher: Watcher) -> list[str]:
        all_stored = [await asyncio.to_thread(stored, server) for server in self.servers]
        judge = Judge(self.servers, all_stored, acting.records)
        faults = judge.violations()
        faults += await self._seen_by_users(acting, [one.outgoing for one in all_stored], [one.incoming for one in all_stored])
        faults += await self._read_by_users(acting, watcher.counts)
        deliveries = Counter(f"{row['kind']}: {row['state']}" for one in all_stored for row in one.deliveries)
        deliveries["tries"] = sum(one.attempts for one in all_stored)
        self.tables += [
            ("shares, sending and receiving side", Counter({f"{a} / {b}": n for (a, b), n in judge.pairs.items()})),
            ("deliveries", deliveries),
            ("dead deliveries", Counter({f"{k}, {r}, share {s}": n for (k, r, s), n in judge.dead.items()})),
            ("checks of access", watcher.counts),
            ("processes", Counter({"starts": sum(s.starts for s in self.servers), "failed starts": self._failed_starts})),
        ]
        return faults

    @property
    def _failed_starts(self) -> int:
        return sum(server.failed_starts for server in self.servers)

    async def _seen_by_users(
        self, acting: Acting, outgoing: Sequence[Sequence[Row]], incoming: Sequence[Sequence[Row]]
    ) -> list[str]:
        """What the user API says is what stands in the database."""
        faults = []
        for number, users in enumerate(acting.users):
            for user in users:
                for what, rows in (("shares", outgoing[number]), ("inbox", incoming[number])):
                    seen = {item["provider_id"]: item["state"] for item in await user.all(what)}
                    there = {row["provider_id"]: row["state"] for row in rows if row["user_name"] == user.name}
                    if seen != there:
                        faults.append(f"{user.name} on s{number} does not see in /{what} what is stored")
        return faults

    async def _read_by_users(self, acting: Acting, counts: Counter[str]) -> list[str]:
        """Files of accepted shares can be read, with the right content."""
        faults: list[str] = []
        places = asyncio.Semaphore(_AT_ONCE)

        async def read(server: int, user: int, item: dict[str, str]) -> None:
            owner, _, host = item["owner"].partition("@")
            giver = next(one.number for one in self.servers if one.host == host)
            deadline = time.monotonic() + _AVAILABLE_SECONDS
            while True:
                async with places:
                    status, content = await acting.users[server][user].file("GET", item["path"])
                if status != 503 or time.monotonic() > deadline:
                    break
                counts["accepted shares at the end: 503, and asked for again"] += 1
                await asyncio.sleep(1)
            right = status == 200 and content == content_of(item["name"], giver, owner)
            counts[f"accepted shares at the end: {'read' if right else 'NOT READ'}"] += 1
            if not right:
                faults.append(f"u{user} on s{server} cannot read {item['path']} of {item['owner']}: {status} {content[-300:]!r}")

        tasks = []
        for server, users in enumerate(acting.users):
            for number, user in enumerate(users):
                tasks += [read(server, number, item) for item in await user.all("inbox") if item["state"] == "accepted"]
        for rest in tasks[_READ_AT_MOST:]:
            rest.close()
        await asyncio.gather(*tasks[:_READ_AT_MOST])
        return faults
