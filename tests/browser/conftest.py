"""Two servers as `ocm serve` runs them for all files of this folder, a browser for each; people of their own for each test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.person import Person, chromium
from tests.federation.conftest import make_peer, start_site
from tests.federation.site import Site, User

__all__ = ["make_peer", "start_site"]

NewPerson = Callable[..., Person]


@pytest.fixture(scope="session")
def home(start_site: Callable[..., Site]) -> Site:
    """The server of those who invite."""
    return start_site("home", [])


@pytest.fixture(scope="session")
def away(start_site: Callable[..., Site]) -> Site:
    """The server of those who are invited."""
    return start_site("away", [])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with the file: while it is driven this thread has an event loop, and no test of coroutines can run."""
    with chromium() as running:
        yield running


@pytest.fixture
def alice(home: Site) -> User:
    """A new user of `home`, called Alice; what is at hand of her beside the browser."""
    return home.new_user("Alice")


@pytest.fixture
def bob(away: Site) -> User:
    """A new user of `away`, called Bob."""
    return away.new_user("Bob")


@pytest.fixture
def person(browser: Browser) -> Iterator[NewPerson]:
    """Somebody at the browser, who saw no complaint of it by the end of the test; `user`: logged in as that one."""
    people: list[Person] = []

    def come(user: User | None = None, **how: Any) -> Person:
        people.append(Person(browser, **how))
        if user is not None:
            people[-1].visit(user.site.origin)
            people[-1].log_in(user.name)
        return people[-1]

    yield come
    complaints = [complaint for one in people for complaint in one.complaints]
    for one in people:
        one.context.close()
    assert complaints == []
