"""kill -9 at any moment loses and doubles nothing; `make crash` does the same 50 times."""

import random
from pathlib import Path

import pytest

from tests.crash.story import Story
from tests.federation.wire import free_ports


@pytest.mark.spec("RECV-12", "NOTIF-5")
async def test_both_sides_agree_after_kills(tmp_path: Path) -> None:
    faults = await Story(tmp_path, free_ports(2), random.Random(7)).run(4)
    assert faults == []
