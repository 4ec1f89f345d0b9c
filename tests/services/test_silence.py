"""How long an owner's server is waited for: not a moment longer than it is silent."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.services.patience import goes_on
from opencloudmesh.services.resource_access.silence import Silence, soon


@pytest.fixture
async def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Awaitable[None]]:
    """Lets seconds pass by the clock of the event loop, which stands still otherwise."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)

    async def passing(seconds: float) -> None:
        nonlocal now
        now += seconds
        for _ in range(5):
            await asyncio.sleep(0)

    return passing


async def _comes(passes: Callable[[float], Awaitable[None]], seconds: float, parts: int) -> str:
    for _ in range(parts):
        await passes(seconds)
        goes_on()
    return "all of it"


async def test_an_answer_that_goes_on_coming_is_not_cut(passes: Callable[[float], Awaitable[None]]) -> None:
    assert await soon(_comes(passes, 4.9, 20), "a.example") == "all of it"
    with pytest.raises(PeerUnreachable) as refusal:
        await soon(_comes(passes, 5.1, 2), "a.example")
    assert refusal.value.code == "idle-timeout"


async def test_nor_is_it_taken_for_silence_where_the_listing_was_remembered(passes: Callable[[float], Awaitable[None]]) -> None:
    silence = Silence(is_recalled=True)
    assert await silence.unless_found(lambda: soon(_comes(passes, 1.4, 20), "a.example"), "nothing") == "all of it"
    assert not silence.is_found
    assert await silence.unless_found(lambda: soon(_comes(passes, 1.6, 2), "a.example"), "nothing") == "nothing"
    assert silence.is_found


async def test_what_goes_on_behind_says_nothing_of_who_waited(passes: Callable[[float], Awaitable[None]]) -> None:
    async def starts_another() -> "asyncio.Task[str]":
        return asyncio.create_task(_comes(passes, 1.0, 1))

    assert await (await soon(starts_another(), "a.example")) == "all of it"
