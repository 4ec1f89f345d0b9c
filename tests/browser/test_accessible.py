"""Every page, light and dark, wide and narrow, keeps the rules of axe-core, and none needs to be scrolled sideways."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.browser.stage import go_to, pages, set_the_stage
from tests.federation.peer import SimulatedPeer
from tests.federation.site import User

_AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
_RUN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
    .map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`)"""
_WIDE, _NARROW = 1280, 320


@pytest.fixture(scope="module")
def axe() -> str:
    """The script, which is run from outside of the page: the page's own policy stays as it is."""
    return _AXE.read_text()


def faults_of(person: Person, axe: str) -> list[str]:
    """What is wrong with the page that is open. Colours hang on the scheme, places on the width: two of four ways tell all."""
    page, found = person.page, []
    page.evaluate(axe)
    for scheme, width in (("light", _WIDE), ("dark", _NARROW)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 800})
        found += [f"{scheme} {width}: {fault}" for fault in page.evaluate(_RUN)]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{scheme} {width}: wider than the window")
    return found


def test_every_page_is_accessible(
    person: NewPerson, alice: User, bob: User, make_peer: Callable[..., SimulatedPeer], axe: str
) -> None:
    peer, home, away = make_peer(), alice.site, bob.site
    user, visitor = person(alice), person()
    faults = []
    for name in ("inbox", "files", "shares", "contacts", "invites"):
        user.visit(f"{home.origin}/{name}")
        faults += [f"empty {name}: {fault}" for fault in faults_of(user, axe)]
    set_the_stage(alice, bob, peer)
    for page in pages(home, away, peer):
        who = visitor if page.is_public else user
        go_to(who, home.origin, page)
        faults += [f"{page.name}: {fault}" for fault in faults_of(who, axe)]
    assert faults == []
