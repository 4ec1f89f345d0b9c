"""Two servers as `ocm serve` runs them, and one browser for a file of tests."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.person import Person, chromium
from tests.federation.conftest import make_peer, start_site
from tests.federation.site import Site

__all__ = ["make_peer", "start_site"]

NewPerson = Callable[..., Person]


@pytest.fixture(scope="module")
def home(start_site: Callable[..., Site]) -> Site:
    """The server of Alice, who invites."""
    return start_site("home", ["alice"])


@pytest.fixture(scope="module")
def away(start_site: Callable[..., Site]) -> Site:
    """The server of Bob, who is invited."""
    return start_site("away", ["bob"])


@pytest.fixture(scope="module")
def browser(home: Site, away: Site) -> Iterator[Browser]:
    """Starts when the servers run, for they are set up by an event loop of their own."""
    with chromium() as running:
        yield running


@pytest.fixture
def person(browser: Browser) -> Iterator[NewPerson]:
    """Somebody at the browser, who saw no complaint of it by the end of the test."""
    people: list[Person] = []

    def come(**how: Any) -> Person:
        people.append(Person(browser, **how))
        return people[-1]

    yield come
    complaints = [complaint for one in people for complaint in one.complaints]
    for one in people:
        one.context.close()
    assert complaints == []
