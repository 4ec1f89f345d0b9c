"""Keys change on both sides of a busy pair of servers: no message is lost, none refused for good, every read is answered."""

import time
from collections.abc import Callable

import pytest

from tests.federation.site import Site, User
from tests.federation.wire import wait_until
from tests.rotation.story import SETTINGS, Busy, keys_of, retire_old, rotate


@pytest.fixture(scope="module")
def pair(start_site: Callable[..., Site]) -> tuple[Site, Site]:
    return start_site("rotating-a", ["alice"], SETTINGS), start_site("rotating-b", ["bob"], SETTINGS)


def published(site: Site) -> list[str]:
    return [key["kid"] for key in site.ask("GET", "/.well-known/jwks.json").json["keys"]]


@pytest.mark.spec("SIG-11")
def test_both_rotate_while_they_share(pair: tuple[Site, Site]) -> None:
    one, other = pair
    alice, bob = User(one, "alice"), User(other, "bob")
    directions = (Busy(alice, bob), Busy(bob, alice))
    for busy in directions:
        busy.begin(0.1)
    rotate(one, "ecdsa-p256-sha256", now=True)  # as after a theft: no lead, and the old key is gone
    rotate(other, "ed25519", now=False)  # as once a year
    retire_old(one)
    wait_until(lambda: len(published(one)) == 1 and len(published(other)) == 2)
    signs_from = keys_of(other)[-1].signs_from
    wait_until(lambda: time.time() >= signs_from)
    before = [len(busy.given) for busy in directions]
    wait_until(lambda: all(len(busy.given) > count + 5 for busy, count in zip(directions, before, strict=True)), 30.0)
    for busy in directions:
        busy.end()
    assert [fault for busy in directions for fault in busy.disagreements(60.0)] == []
    assert all(busy.counts["reads"] > 5 for busy in directions)
    (signing,) = keys_of(one)
    assert signing.algorithm == "ecdsa-p256-sha256"
