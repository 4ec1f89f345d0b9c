"""How many connections are open: the numbers, and what the log says of them."""

import resource

import pytest
from structlog.testing import capture_logs

from opencloudmesh.web.open_connections import OpenConnections, affordable


def test_in_all_and_of_one_address() -> None:
    connections = OpenConnections(5, 2)
    assert [connections.enter("a") for _ in range(3)] == [True, True, False]
    assert [connections.enter(address) for address in "bcde"] == [True, True, True, False]
    connections.leave("a")
    assert [connections.enter("a"), connections.enter("a")] == [True, False]


@pytest.mark.parametrize("proxy", ["10.1.2.3", "::ffff:10.1.2.3", "unix", "2001:db8::7%1"])
def test_proxies_have_no_number_of_their_own(proxy: str) -> None:
    connections = OpenConnections(5, 1, ["10.0.0.0/8", "2001:db8::/32", "unix"])
    assert [connections.enter(proxy) for _ in range(6)] == [True] * 5 + [False]
    for _ in range(5):
        connections.leave(proxy)
    assert [connections.enter("192.0.2.1"), connections.enter("192.0.2.1")] == [True, False]


def test_so_many_linger() -> None:
    connections = OpenConnections(1, 1)
    assert sum(connections.linger() for _ in range(1000)) == 256
    connections.gone()
    assert connections.linger()


def test_the_log_is_not_filled_by_them() -> None:
    now = 0.0
    connections = OpenConnections(1, 1, clock=lambda: now)
    connections.enter("192.0.2.1")
    with capture_logs() as lines:
        for _ in range(1000):
            connections.enter("192.0.2.2")
        now = 60.0
        connections.enter("192.0.2.2")
    assert [(line["number"], line["open"]) for line in lines] == [(1, 1), (1000, 1)]


@pytest.mark.parametrize(
    ("soft", "hard", "granted", "connections"),
    [
        (100_000, 100_000, True, 4096),
        (1024, 100_000, True, 4096),
        (1024, 1024, True, 384),
        (1024, 100_000, False, 384),
        (64, 64, True, 16),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, True, 4096),
        (1024, resource.RLIM_INFINITY, True, 4096),
    ],
)
def test_no_more_than_there_are_descriptors_for(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, granted: bool, connections: int
) -> None:
    def set_limits(which: int, limits: tuple[int, int]) -> None:
        if not granted:
            raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", set_limits)
    assert affordable(4096) == connections
