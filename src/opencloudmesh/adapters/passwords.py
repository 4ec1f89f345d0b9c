"""Passwords as argon2id hashes (RFC 9106), made in threads of their own.

Rules kept here: no more hashes at a time than memory and cores allow; the others wait, and the event loop never does.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error

from opencloudmesh.services.records import Secret


class Argon2Hasher:
    """Implements `services.ports.PasswordHasher`; each hash that runs takes `memory_kib` of memory."""

    def __init__(self, concurrency: int = 2, *, time_cost: int = 3, memory_kib: int = 65536, lanes: int = 4) -> None:
        """The costs are those of RFC 9106, section 4, second recommendation."""
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=lanes, type=Type.ID)
        self._threads = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="argon2")

    async def hash(self, password: Secret) -> str:
        """The hash to store, with its salt and costs in it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, _octets(password))

    async def verify(self, password_hash: str, password: Secret) -> bool:
        """True where the password is that of the hash; a hash that cannot be read has no password."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._verify, password_hash, _octets(password))

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
