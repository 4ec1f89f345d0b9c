"""Passwords: argon2id, in a bounded number of threads."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from opencloudmesh.adapters.passwords import Argon2Hasher
from opencloudmesh.protocol.errors import TemporarilyUnavailable
from opencloudmesh.services.ports import PasswordHasher
from opencloudmesh.services.records import Secret

PASSWORD = Secret("correct horse battery staple")


@pytest.fixture
def hasher() -> Iterator[Argon2Hasher]:
    hasher = Argon2Hasher(2, time_cost=1, memory_kib=64, lanes=1)
    yield hasher
    hasher.close()


async def test_a_password_is_known_again(hasher: Argon2Hasher) -> None:
    port: PasswordHasher = hasher
    stored = await port.hash(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert await port.verify(stored, PASSWORD)
    assert not await port.verify(stored, Secret("correct horse battery stapl"))
    assert await port.hash(PASSWORD) != stored


async def test_the_costs_are_those_of_rfc_9106() -> None:
    hasher = Argon2Hasher()
    stored = await hasher.hash(PASSWORD)
    hasher.close()
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


@pytest.mark.parametrize("stored", ["", "!", "$argon2id$", "$2b$12$abc", "$argon2id$v=19$m=64,t=1,p=1$AAAA$AAAA", "ä"])
async def test_what_is_no_hash_has_no_password(hasher: Argon2Hasher, stored: str) -> None:
    assert not await hasher.verify(stored, PASSWORD)


async def test_any_text_is_a_password(hasher: Argon2Hasher) -> None:
    for text in ("", "ä\0\n", "\udcff", "x" * 1024):
        assert await hasher.verify(await hasher.hash(Secret(text)), Secret(text))


async def test_no_more_than_so_many_hash_at_a_time_and_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = Argon2Hasher(2)
    loop, both, gate, lock = asyncio.get_running_loop(), asyncio.Event(), threading.Event(), threading.Lock()
    running = most = 0

    def hash_slowly(_: bytes) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 2:
                loop.call_soon_threadsafe(both.set)
        assert gate.wait(90)
        with lock:
            running -= 1
        return threading.current_thread().name

    monkeypatch.setattr(hasher, "_hasher", type("SimulatedHasher", (), {"hash": staticmethod(hash_slowly)}))
    tasks = [asyncio.ensure_future(hasher.hash(PASSWORD)) for _ in range(6)]
    async with asyncio.timeout(90):
        await both.wait()
    gate.set()
    threads = await asyncio.gather(*tasks)
    hasher.close()
    assert most == 2
    assert all(name.startswith("argon2") for name in threads)


async def test_so_many_wait_and_more_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = Argon2Hasher(1, queue=2)
    gate = threading.Event()
    monkeypatch.setattr(hasher, "_hasher", type("SimulatedHasher", (), {"hash": staticmethod(lambda _: str(gate.wait(90)))}))
    waiting = [asyncio.create_task(hasher.hash(PASSWORD)) for _ in range(3)]
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(TemporarilyUnavailable) as refusal:
            await hasher.hash(PASSWORD)
        assert (refusal.value.status, refusal.value.code, refusal.value.retry_after) == (503, "too-many-at-once", 2)
    gate.set()
    assert await asyncio.gather(*waiting) == ["True"] * 3
    assert await hasher.hash(PASSWORD) == "True", "there is room again"
    hasher.close()
