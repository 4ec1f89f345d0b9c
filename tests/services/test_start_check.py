"""The look at our own server after its start: one line, whatever it meets."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from opencloudmesh.adapters.keys.signing_key import SigningKey
from opencloudmesh.adapters.tokens import JwtIssuer
from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.services.doctor import Instruments
from opencloudmesh.services.doctor.at_start import StartCheck
from tests.services.test_doctor_own import SimulatedHome
from tests.services.world import ORIGIN, Asked, SimulatedTime, answer, new_token

Proxy = Callable[[Asked], Any]


class Once:
    """Lets the check go on at once, and remembers for how long it would have waited."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.then: Callable[[], None] = lambda: None

    async def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)
        if len(self.waited) > 1:
            self.then()


@pytest.fixture
def home(time: SimulatedTime) -> SimulatedHome:
    return SimulatedHome(time)


@pytest.fixture
def pause() -> Once:
    return Once()


async def line(home: SimulatedHome, pause: Once, key: SigningKey | None = None) -> dict[str, Any]:
    """The one line that is said."""
    key = key or home.key
    check = StartCheck(
        instruments=Instruments(home, home.probe, home.time, new_token),
        origin=ORIGIN,
        discovery=lambda: home.discovery,
        signer=key,
        issuer=JwtIssuer(key, ORIGIN),
        trusts_proxy=home.trusted.__contains__,
        pause=pause,
    )
    with capture_logs() as said:
        await check.run()
    (only,) = said
    return dict(only)


async def test_all_is_well(home: SimulatedHome, pause: Once) -> None:
    said = await line(home, pause)
    assert (said["event"], said["log_level"]) == ("self-check", "info")
    assert pause.waited == [1.0]


def without(*names: str) -> Proxy:
    def proxy(asked: Asked) -> Asked:
        kept = {name: value for name, value in asked.headers.items() if name not in names}
        return Asked(asked.method, asked.url, kept, asked.body)

    return proxy


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        (without("signature"), "sig-missing"),
        (without("content-digest"), "sig-digest-missing"),
        (without("authorization"), "authorization-lost"),
        (lambda asked: Asked(asked.method, asked.url, asked.headers, asked.body + b" "), "proxy-body-changed"),
        (lambda asked: answer(302, location="https://login.example/sso") if "jwks" in asked.url else asked, "http-302"),
        (lambda asked: answer(502, b"<html>Bad gateway</html>", content_type="text/html"), "http-502"),
        (lambda asked: answer(413) if asked.method == "POST" else asked, "proxy-body-limit"),
    ],
)
async def test_what_a_proxy_does_is_named(home: SimulatedHome, pause: Once, proxy: Proxy, reason: str) -> None:
    home.proxy = proxy
    said = await line(home, pause)
    assert (said["event"], said["log_level"], said["reason"]) == ("self-check-failed", "warning", reason)
    assert said["hint"]
    assert "ocm doctor" in said["see"]


async def test_a_proxy_that_is_named_is_trusted(home: SimulatedHome, pause: Once) -> None:
    home.client = "10.0.0.4"
    said = await line(home, pause)
    assert (said["event"], said["reason"]) == ("self-check", "proxy-not-trusted")
    home.trusted = {"10.0.0.4"}
    assert (await line(home, pause))["log_level"] == "info"


async def test_another_server_at_our_address(home: SimulatedHome, pause: Once, time: SimulatedTime) -> None:
    assert (await line(home, pause, SimulatedHome(time).key))["reason"] == "own-key-missing"


def nowhere(asked: Asked) -> Any:
    raise PeerUnreachable("Nobody listens there.", code="tcp-refused")


async def test_where_the_address_leads_nowhere_it_is_skipped(home: SimulatedHome, pause: Once) -> None:
    home.proxy = nowhere
    said = await line(home, pause)
    assert (said["event"], said["log_level"], said["reason"]) == ("self-check-skipped", "warning", "tcp-refused")
    assert pause.waited == [1.0, 30.0]


async def test_a_proxy_that_starts_later_is_waited_for(home: SimulatedHome, pause: Once) -> None:
    home.proxy = nowhere

    def comes() -> None:
        home.proxy = lambda asked: asked

    pause.then = comes
    assert (await line(home, pause))["log_level"] == "info"


async def test_a_fault_of_ours_is_a_line_too(home: SimulatedHome, pause: Once) -> None:
    def broken(asked: Asked) -> Any:
        raise RuntimeError("a bug")

    home.proxy = broken
    assert (await line(home, pause))["event"] == "self-check-broken"
