"""What 200 users do: each share's life as the plan has it, repeated by a patient user until the server acknowledges it."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.behind import rows
from tests.chaos.plan import Life, Plan
from tests.chaos.server import ChaosServer
from tests.crash.api import Api

_NO_ANSWER = (aiohttp.ClientError, TimeoutError, ConnectionError)
_AGAIN = frozenset({408, 429, 503, 507})
"""A user tries later: too much at once, the server stops, its database has no space."""
_ARRIVES_SECONDS = 15.0
_LOOK_EVERY = 0.5
_COMMITTED_LATE = 50
"""Ids may be committed in another order than they were given."""
COMMON = "data.txt"


@dataclass
class Record:
    """What a user was told of one share."""

    life: Life
    name: str
    id: int = 0
    provider_id: str = ""
    expires_at: float | None = None
    incoming_id: int = 0
    path: str = ""
    """Where it stands among the receiver's files."""
    answered: str = ""
    left: bool = False
    unshared_at: float | None = None
    """When the unshare was acknowledged (monotonic)."""
    log: list[str] = field(default_factory=list)


class Arrivals:
    """What has arrived at a server, looked up for all who wait at once: 200 users asking for their inbox are too much load."""

    def __init__(self, server: ChaosServer) -> None:
        self.ids: dict[str, int] = {}
        """Of incoming shares, by providerId."""
        self._server = server
        self._looked = asyncio.Condition()
        self._last = 0

    async def run(self) -> None:
        """Look again and again."""
        while True:
            with contextlib.suppress(Exception):  # the database is busy, or being recovered: next time
                await self._look()
            async with self._looked:
                self._looked.notify_all()
            await asyncio.sleep(_LOOK_EVERY)

    async def _look(self) -> None:
        sql = "select id, provider_id from incoming_shares where id > ?"
        for row in await asyncio.to_thread(rows, self._server, sql, self._last - _COMMITTED_LATE):
            self.ids[row["provider_id"]] = row["id"]
            self._last = max(self._last, row["id"])

    async def next(self) -> None:
        """Until the next look."""
        async with self._looked:
            await self._looked.wait()


class Acting:
    """All lives, and what was acknowledged of them."""

    def __init__(self, plan: Plan, servers: Sequence[ChaosServer], http: aiohttp.ClientSession, began: float) -> None:
        self._plan = plan
        self._servers = servers
        self.began = began
        self._chance = random.Random(plan.seed + 1)
        self.users = [
            [Api(server.at, f"u{n}", http, token=token, may_answer=_AGAIN) for n, token in enumerate(server.tokens)]
            for server in servers
        ]
        self.records = _records(plan)
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self._arrivals = [Arrivals(server) for server in servers]
        self._patience = min(_ARRIVES_SECONDS, plan.size.seconds / 2)
        self.over = asyncio.Event()
        """Nobody waits any longer for what has not come by now."""

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    async def upload(self) -> None:
        """A file of every user that several shares name alike."""
        for server, users in zip(self._servers, self.users, strict=True):
            for user in users:
                status, _ = await user.file("PUT", COMMON, content_of(COMMON, server.number, user.name))
                assert status == 201, status

    async def run(self) -> None:
        """Live all lives."""
        watching = [asyncio.create_task(arrivals.run()) for arrivals in self._arrivals]
        try:
            await asyncio.gather(*(self._live(record) for record in self.records))
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _live(self, record: Record) -> None:
        try:
            await self._until(record.life.shared_at)
            if not await self._share(record):
                self.counts["not shared"] += 1
                return
            receiver = asyncio.create_task(self._receive(record))
            if record.life.unshared_after is not None:
                await self._until(self.now + record.life.unshared_after)
                await self._unshare(record)
            await receiver
        except AssertionError as error:
            self.violations.append(f"share {record.life.number}: {error}")

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self.now))

    # ------------------------------------------------------------ the Sending Party
    async def _share(self, record: Record) -> bool:
        life = record.life
        (server, user), (other, recipient) = life.giver, life.receiver
        content = content_of(record.name, server, f"u{user}")
        if record.name != COMMON and not await self._insist_on_file(life.giver, record.name, content):
            return False
        body = {"path": record.name, "share_with": f"u{recipient}@{self._servers[other].host}", "permissions": ["read"]}
        if life.expires_after is not None:
            record.expires_at = float(int(time.time() + self._servers[server].offset + life.expires_after))
        answer = await self._insist(record, life.giver, "/shares", {**body, "expires_at": record.expires_at})
        if answer is None:
            return False
        status, share = answer
        if status == 409 and record.expires_at is not None:
            self.counts["expired before it could be shared"] += 1
            return False
        assert status in (200, 201), f"sharing was answered {status} {share}"
        record.id, record.provider_id = share["id"], share["provider_id"]
        self.counts["shared" if status == 201 else "shared before, without an answer"] += 1
        return True

    async def _unshare(self, record: Record) -> None:
        answer = await self._insist(record, record.life.giver, f"/shares/{record.id}/unshare")
        if answer is None:
            return
        status, share = answer
        assert status == 200, f"unsharing was answered {status} {share}"
        record.unshared_at = time.monotonic()
        self.counts["unshared"] += 1

    # ------------------------------------------------------------ the Receiving Party
    async def _receive(self, record: Record) -> None:
        life = record.life
        if life.answer is None:
            return
        await self._until(self.now + life.answered_after)
        if not await self._arrived(record):
            self.counts["not answered: it did not arrive"] += 1
            return
        answer = await self._insist(record, life.receiver, f"/inbox/{record.incoming_id}/{life.answer}")
        if answer is None or answer[0] == 409:
            self.counts["not answered: it was over"] += 1
            return
        status, share = answer
        assert status == 200, f"{life.answer} was answered {status} {share}"
        record.answered, record.path = share["state"], share["path"] or ""
        self.counts["accepted" if life.answer == "accept" else "declined"] += 1
        if life.left_after is not None:
            await self._until(self.now + life.left_after)
            await self._leave(record)

    async def _leave(self, record: Record) -> None:
        answer = await self._insist(record, record.life.receiver, f"/inbox/{record.incoming_id}/leave")
        if answer is not None:
            assert answer[0] == 200, f"leaving was answered {answer}"
            record.left = True
            self.counts["left"] += 1

    async def _arrived(self, record: Record) -> bool:
        """Wait until it is in the inbox; a share that was taken back may never come."""
        server, _ = record.life.receiver
        arrivals = self._arrivals[server]
        while record.provider_id not in arrivals.ids:
            gone = record.unshared_at is not None and time.monotonic() > record.unshared_at + self._patience
            if gone or self.over.is_set():
                return False
            await arrivals.next()
        record.incoming_id = arrivals.ids[record.provider_id]
        return True

    # ------------------------------------------------------------ patience
    async def _insist(self, record: Record, party: tuple[int, int], path: str, body: Any = None) -> tuple[int, Any] | None:
        """POST until the server answers; None where it never did."""
        user = self.users[party[0]][party[1]]
        while not self.over.is_set():
            try:
                status, answer = await user.ask("POST", path, body)
            except _NO_ANSWER as error:
                record.log.append(f"{self.now:.1f}s POST {path}: {type(error).__name__}")
                self.counts["acts without an answer"] += 1
            else:
                record.log.append(f"{self.now:.1f}s POST {path}: {status}")
                if status not in _AGAIN:
                    return status, answer
                self.counts[f"acts answered {status}"] += 1
            await self._pause(party[0])
        return None

    async def _insist_on_file(self, party: tuple[int, int], name: str, content: bytes) -> bool:
        user = self.users[party[0]][party[1]]
        while not self.over.is_set():
            try:
                status, _ = await user.file("PUT", name, content)
            except _NO_ANSWER:
                status = 0
            if status in (201, 204):
                return True
            assert status in (0, *_AGAIN), f"PUT was answered {status}"
            self.counts[f"uploads answered {status}" if status else "uploads without an answer"] += 1
            await self._pause(party[0])
        return False

    async def _pause(self, server: int) -> None:
        """Until another try may do better: where the server was killed, until it is there again."""
        await asyncio.sleep(self._chance.uniform(0.2, 1.0))
        try:
            async with asyncio.timeout(5):
                await self._servers[server].serving.wait()
        except TimeoutError:
            pass


def _records(plan: Plan) -> list[Record]:
    """Of all lives; two that share the same with the same user would be one."""
    common = {(life.giver, life.receiver): life.number for life in plan.lives if life.number % 5 == 0}
    return [
        Record(life, COMMON if common.get((life.giver, life.receiver)) == life.number else f"share-{life.number}.txt")
        for life in plan.lives
    ]


def content_of(name: str, server: int, user: str) -> bytes:
    """What the file holds: nobody else's does."""
    return f"{name} of {user} on s{server}".encode()
