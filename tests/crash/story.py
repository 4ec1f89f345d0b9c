"""Two servers, a stream of acts of alice and bob, and a killer; then the comparison of what each side believes."""

import asyncio
import itertools
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from demo.servers import ServerProcess
from tests.crash.agreement import AGREE
from tests.crash.api import Api

_PASSWORD = "a password of both"
_DRAIN_SECONDS = 300.0


_LIMITS = ("shares_per_recipient", "unknown_shares_per_peer", "messages_per_peer", "requests_per_address")


def _widen_limits(config: Path) -> None:
    """All that is shared here is for one recipient, and more of it than one gets in an hour elsewhere."""
    text = config.read_text()
    for name in _LIMITS:
        text, found = re.subn(rf"(?m)^# {name} = .*$", f"{name} = 1000000", text)
        assert found == 1, name
    config.write_text(text)


class Story:
    """What happens, decided by the seed."""

    def __init__(self, folder: Path, port: int, chance: random.Random) -> None:
        self._a = ServerProcess("A", folder / "a", port, other_port=port + 1)
        self._b = ServerProcess("B", folder / "b", port + 1, other_port=port)
        self._folder = folder
        self._chance = chance
        self._shared: dict[int, str] = {}
        self._unshared: set[int] = set()
        self._answered: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._numbers = itertools.count(1)
        self._over = False

    async def run(self, cycles: int) -> list[str]:
        """Tell the story with so many kills; the disagreements found at the end."""
        for server, name in ((self._a, "alice"), (self._b, "bob")):
            server.check_port()
            server.init()
            _widen_limits(server.folder / "opencloudmesh.toml")
            server.add_user(name, _PASSWORD)
            server.start()
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
                alice, bob = Api(self._a.at, "alice", http), Api(self._b.at, "bob", http)
                await alice.log_in(_PASSWORD)
                await bob.log_in(_PASSWORD)
                tasks = [asyncio.create_task(self._alice(alice)) for _ in range(3)] + [asyncio.create_task(self._bob(bob))]
                await self._kill(cycles)
                self._over = True
                await asyncio.gather(*tasks)
                await self._drained(alice, bob)
                return self._compare(await alice.all("shares"), await bob.all("inbox"))
        finally:
            self._a.stop()
            self._b.stop()

    # ------------------------------------------------------------ acts
    async def _alice(self, alice: Api) -> None:
        while not self._over:
            await self._share(alice, f"data-{next(self._numbers)}.txt")
            if self._shared and self._chance.random() < 0.3:
                await self._unshare(alice, self._chance.choice(list(self._shared)))
            await asyncio.sleep(self._chance.random() * 0.05)

    async def _share(self, alice: Api, path: str) -> None:
        """Share a new file, asking again and again until there is an answer."""
        body = {"path": path, "share_with": f"bob@{self._b.host}", "permissions": ["read"], "expires_at": None}
        while not self._over:
            if not await self._uploaded(alice, path):
                continue
            share = await alice.act("POST", "/shares", body)
            if share:
                self._counts["shared"] += 1
                self._shared[share["id"]] = share["provider_id"]
                return
            self._counts["asked again"] += 1
            await asyncio.sleep(0.1)

    async def _uploaded(self, alice: Api, path: str) -> bool:
        try:
            return (await alice.file("PUT", path, b"data"))[0] in (201, 204)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            await asyncio.sleep(0.1)
            return False

    async def _unshare(self, alice: Api, share_id: int) -> None:
        if await alice.act("POST", f"/shares/{share_id}/unshare"):
            self._counts["unshared"] += 1
            self._unshared.add(share_id)

    async def _bob(self, bob: Api) -> None:
        after = 0
        while not self._over:
            page = await bob.act("GET", f"/inbox?after={after}&limit=50")
            for item in page["items"] if page else []:
                after = item["id"]
                if item["state"] == "pending" and self._chance.random() < 0.8:
                    await self._answer(bob, item)
            await asyncio.sleep(0.02)

    async def _answer(self, bob: Api, item: dict[str, Any]) -> None:
        act = self._chance.choice(["accept", "accept", "decline"])
        answered = await bob.act("POST", f"/inbox/{item['id']}/{act}")
        if answered:
            self._counts[act] += 1
            self._answered[item["provider_id"]] = answered["state"]

    async def _kill(self, cycles: int) -> None:
        for _ in range(cycles):
            await asyncio.sleep(self._chance.uniform(0.2, 1.2))
            victim = self._chance.choice([self._a, self._b])
            victim.kill()
            self._counts[f"killed {victim.name}"] += 1
            await asyncio.sleep(self._chance.uniform(0.0, 0.5))
            await asyncio.to_thread(victim.start)
        await asyncio.sleep(1.0)

    # ------------------------------------------------------------ afterwards
    async def _drained(self, alice: Api, bob: Api) -> None:
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            waiting = [d for api in (alice, bob) for d in await api.all("deliveries") if d["state"] in ("queued", "leased")]
            if not waiting:
                return
            await asyncio.sleep(0.5)
        raise AssertionError(f"{len(waiting)} deliveries still wait, e.g. {waiting[0]}")

    def _compare(self, given: list[dict[str, Any]], received: list[dict[str, Any]]) -> list[str]:
        faults = []
        there = Counter(item["provider_id"] for item in received)
        state_there = {item["provider_id"]: item["state"] for item in received}
        faults += [f"{provider_id} was stored {count} times" for provider_id, count in there.items() if count > 1]
        known = {share["provider_id"] for share in given}
        faults += [f"B has {provider_id}, A does not know it" for provider_id in there if provider_id not in known]
        for share in given:
            here, other = share["state"], state_there.get(share["provider_id"])
            if other not in AGREE.get(here, set()):
                faults.append(f"share {share['id']} is {here} ({share['reason']}) on A and {other} on B")
        living = Counter(share["path"] for share in given if share["state"] in ("pending", "sent", "accepted"))
        faults += [f"{path} is shared {count} times" for path, count in living.items() if count > 1]
        ids = {share["id"]: share for share in given}
        faults += [f"acknowledged share {share_id} is gone" for share_id in self._shared if share_id not in ids]
        faults += [f"acknowledged unshare of {i} is lost" for i in self._unshared if ids[i]["state"] != "revoked"]
        for provider_id, state in self._answered.items():
            if state_there.get(provider_id) not in (state, "revoked"):
                faults.append(f"acknowledged answer {state} on {provider_id} is lost: {state_there.get(provider_id)}")
        counts = ", ".join(f"{name} {number}" for name, number in sorted(self._counts.items()))
        print(f"{counts}; {len(given)} shares on A, {len(received)} on B")
        return faults
