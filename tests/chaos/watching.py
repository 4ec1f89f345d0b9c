"""Somebody who kept every token and every secret, and tries them again and again: none opens what was taken back or has ended."""

import asyncio
import json
import random
import socket
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import aiohttp

from opencloudmesh.adapters.keys import SigningKey, load_signing_key
from opencloudmesh.bootstrap import new_token
from opencloudmesh.protocol.code_flow import FORM, build_token_request
from opencloudmesh.protocol.http_signatures import Request, sign
from tests.chaos.acting import COMMON, Acting, Record, content_of
from tests.chaos.behind import secret_of
from tests.chaos.server import ChaosServer

_EVERY = 3
"""Of so many shares one is watched."""
_PAUSE = 0.03
_NO_ANSWER = (aiohttp.ClientError, TimeoutError, ConnectionError)


def many_addresses(seed: int) -> aiohttp.TCPConnector:
    """Connections each from another address: the limit of refusals by address must not answer in the gate's place."""
    chance = random.Random(seed + 3)

    def new_socket(info: tuple[Any, ...]) -> socket.socket:
        made = socket.socket(*info[:3])
        made.setblocking(False)
        made.bind((f"127.{chance.randrange(200, 250)}.{chance.randrange(256)}.{chance.randrange(1, 255)}", 0))
        return made

    return aiohttp.TCPConnector(socket_factory=new_socket, force_close=True)


@dataclass
class Witness:
    """Knows the secret of a share, and a token for it that outlives it."""

    record: Record
    secret: str
    token: str = ""
    tries: int = 0


class Watcher:
    """Watches until it is cancelled."""

    def __init__(self, acting: Acting, servers: Sequence[ChaosServer], asking: aiohttp.ClientSession, seed: int) -> None:
        self._acting = acting
        self._servers = servers
        self._asking = asking
        self._chance = random.Random(seed + 2)
        self._known: dict[int, Witness] = {}
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []

    @cached_property
    def _signers(self) -> list[SigningKey]:
        return [load_signing_key(server.signing_key, server.host) for server in self._servers]

    async def run(self) -> None:
        """Learn and probe, again and again."""
        while True:
            await self._learn()
            known = list(self._known.values())
            for witness in self._chance.sample(known, min(40, len(known))):
                await self._probe(witness)
                await asyncio.sleep(_PAUSE)
            await asyncio.sleep(_PAUSE)

    async def probe_all(self) -> None:
        """Once for every witness."""
        for witness in list(self._known.values()):
            await self._probe(witness, everything=True)

    def _has_ended(self, record: Record, since: float) -> str:
        """Why a request between `since` (monotonic) and now had to be refused; empty where it may be granted."""
        if record.unshared_at is not None and record.unshared_at < since:
            return f"unshared {since - record.unshared_at:.1f} s before"
        clock = self._servers[record.life.giver[0]].clock_at_least(since)
        if record.expires_at is not None and clock >= record.expires_at:
            return f"expired {clock - record.expires_at:.1f} s before"
        return ""

    # ------------------------------------------------------------ learning
    async def _learn(self) -> None:
        for record in self._acting.records:
            number = record.life.number
            if number % _EVERY or number in self._known or not record.provider_id:
                continue
            try:
                secret = await asyncio.to_thread(secret_of, self._servers[record.life.giver[0]], record.provider_id)
            except Exception:  # the database is busy, or being recovered: next time
                self.counts["secrets not read"] += 1
                continue
            self._known[number] = Witness(record, secret)
        for witness in self._known.values():
            if not witness.token and witness.tries < 5 and not self._has_ended(witness.record, time.monotonic()):
                witness.tries += 1
                witness.token = await self._exchange(witness) or ""

    async def _exchange(self, witness: Witness) -> str | None:
        """Exchange the secret as the Receiving Server would."""
        giver = self._servers[witness.record.life.giver[0]]
        receiver = witness.record.life.receiver[0]
        body = build_token_request(witness.secret, self._servers[receiver].host)
        own = (("content-type", FORM),)
        signer = self._signers[receiver]
        added = sign(
            Request("POST", f"{giver.origin}/ocm/token", own, body),
            keyid=signer.keyid,
            algorithm=signer.algorithm,
            sign=signer.sign,
            created=int(time.time() + giver.offset),
            nonce=new_token(),
        )
        status, content = await self._ask("POST", f"{giver.at}/ocm/token", dict((*own, *added)), body)
        self.counts[f"token requests answered {_said(status, content)}"] += 1
        return str(json.loads(content)["access_token"]) if status == 200 else None

    # ------------------------------------------------------------ probing
    async def _probe(self, witness: Witness, *, everything: bool = False) -> None:
        record = witness.record
        url = f"{self._servers[record.life.giver[0]].at}/dav/ocm/{record.provider_id}"
        if witness.token:
            await self._try(record, "token", url, f"Bearer {witness.token}")
        if everything or self._chance.random() < 0.3:
            await self._try(record, "secret", url, self._chance.choice((f"Bearer {witness.secret}", _basic(witness.secret))))
        if record.path and record.name != COMMON and (everything or self._chance.random() < 0.3):
            await self._try_as_receiver(record)
        if everything or self._chance.random() < 0.1:
            since = time.monotonic()
            if await self._exchange(witness) and (why := self._has_ended(record, since)):
                self.violations.append(f"share {record.life.number}, {why}: a new token was given")

    async def _try(self, record: Record, what: str, url: str, authorization: str) -> None:
        since = time.monotonic()
        status, content = await self._ask("GET", url, {"authorization": authorization})
        granted, why = status in (200, 206, 207), self._has_ended(record, since)
        self._count(what, status, granted, why)
        if granted and (why or what == "secret"):
            self.violations.append(
                f"share {record.life.number} ({record.provider_id}), {why or 'living'}: GET with the {what} was answered "
                f"{status} {content[:60]!r}"
            )

    async def _try_as_receiver(self, record: Record) -> None:
        server, user = record.life.receiver
        since, has_left = time.monotonic(), record.left
        try:
            status, content = await self._acting.users[server][user].file("GET", record.path)
        except _NO_ANSWER:
            return
        expected = content_of(record.name, record.life.giver[0], f"u{record.life.giver[1]}")
        why = self._has_ended(record, since) or ("left" if has_left else "")
        self._count("receiver", status, status == 200 and content == expected, why)
        if status == 200 and (why or content != expected):
            self.violations.append(f"share {record.life.number}, {why or 'living'}: its receiver reads {content[:60]!r}")

    def _count(self, what: str, status: int, granted: bool, why: str) -> None:
        of = "ended" if why else "living"
        said = "opens" if granted else f"{status}" if status else "no answer"
        self.counts[f"{what} of a share {of}: {said}"] += 1

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]:
        try:
            async with self._asking.request(method, url, headers=headers, data=body or None) as answer:
                return answer.status, await answer.read()
        except _NO_ANSWER:
            return 0, b""


def _said(status: int, content: bytes) -> str:
    try:
        return f"{status} {json.loads(content).get('error', '')}".rstrip()
    except ValueError:
        return str(status) if status else "no answer"


def _basic(secret: str) -> str:
    return "Basic " + b64encode(f"{secret}:".encode()).decode()
