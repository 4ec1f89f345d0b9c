"""Passwords as argon2id hashes (RFC 9106), made in threads of their own.

Rules kept here: no more hashes at a time than memory and cores allow; others wait, a bounded number of them, and the event loop
never does.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error

from opencloudmesh.protocol.errors import TemporarilyUnavailable
from opencloudmesh.services.records import Secret

T = TypeVar("T")


class Argon2Hasher:
    """Implements `services.ports.PasswordHasher`; each hash that runs takes `memory_kib` of memory."""

    def __init__(
        self, concurrency: int = 2, *, queue: int = 64, time_cost: int = 3, memory_kib: int = 65536, lanes: int = 4
    ) -> None:
        """The costs are those of RFC 9106, section 4, second recommendation; at most `queue` passwords wait."""
        self._places = concurrency + queue
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=lanes, type=Type.ID)
        self._threads = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="argon2")

    async def hash(self, password: Secret) -> str:
        """The hash to store, with its salt and costs in it; raises `TemporarilyUnavailable` (too-many-at-once), as `verify`."""
        return await self._run(self._hasher.hash, _octets(password))

    async def verify(self, password_hash: str, password: Secret) -> bool:
        """True where the password is that of the hash; a hash that cannot be read has no password."""
        return await self._run(self._verify, password_hash, _octets(password))

    async def _run(self, work: Callable[..., T], *values: str | bytes) -> T:
        if not self._places:
            raise TemporarilyUnavailable(
                "Too many passwords are being checked.", retry_after=2, code="too-many-at-once", hint="Try again in a moment."
            )
        self._places -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *values)
        finally:
            self._places += 1

    def _verify(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (Argon2Error, ValueError):
            return False

    def close(self) -> None:
        """End the threads; hashes that still wait are given up."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _octets(password: Secret) -> bytes:
    return password.reveal().encode("utf-8", "surrogatepass")
