"""Requests for shares in the browser: asked here, granted there; a visitor at a public link; without scripts, too."""

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import NewPerson
from tests.browser.test_accessible import axe, faults_of
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import wait_until

__all__ = ["axe"]


@pytest.fixture(scope="module")
def open_house(start_site: Callable[..., Site]) -> Site:
    """A server where users may make public links."""
    return start_site("openhouse", ["olga"], {"public_links": "true"})


@pytest.mark.spec("REQ-1", "REQ-2")
@pytest.mark.parametrize("scripts", [True, False])
def test_what_is_asked_for_on_one_server_is_shared_from_the_other(
    person: NewPerson, alice: User, bob: User, axe: str, scripts: bool
) -> None:
    alice.make_folder("Harvest")
    asking, owner = person(bob, java_script_enabled=scripts), person(alice, java_script_enabled=scripts)
    asking.visit(f"{bob.site.origin}/requests")
    asking.fill("Name or OCM Address of the owner", alice.address)
    asking.fill("What you ask for: its path, its web address, or what the owner called it", "Harvest")
    asking.click("button", "Ask")
    assert "arrived; the owner decides" in asking.text
    owner.visit(f"{alice.site.origin}/inbox")
    owner.click("link", "Somebody asks you for a share: 1")
    assert "you have never dealt with this person" in owner.text
    if scripts:
        assert faults_of(owner, axe) == []
    owner.open("Share it ...")
    assert owner.value("What exactly: a file or folder, as it stands in your files") == "Harvest"
    owner.page.get_by_role("button", name="Share", exact=True).first.click()
    assert "Nobody asks you for anything." in owner.text
    wait_until(lambda: bob.api("GET", "/requests")["items"][-1]["state"] == "granted")
    asking.visit(f"{bob.site.origin}/requests")
    assert "shared with you: see the inbox" in asking.text
    if scripts:
        assert faults_of(asking, axe) == []
    asking.visit(f"{bob.site.origin}/inbox")
    asking.click("button", "Accept")
    assert asking.heading == "Files"
    asking.visit(f"{bob.site.origin}/files")
    assert "Shared with me" in asking.text


@pytest.mark.parametrize("scripts", [True, False])
def test_a_visitor_asks_through_a_public_link(person: NewPerson, open_house: Site, bob: User, axe: str, scripts: bool) -> None:
    olga = User(open_house, "olga")
    if not any(one["path"] == "Talks" for one in olga.api("GET", "/request-links")["items"]):
        olga.make_folder("Talks")
    owner, visitor = person(olga, java_script_enabled=scripts), person(java_script_enabled=scripts)
    owner.visit(f"{open_house.origin}/requests")
    owner.page.locator("#linkpath").fill("Talks")
    owner.click("button", "Make a link")
    link = owner.value("Link")
    told.add(re.sub(".*token=", "", link))
    assert visitor.visit(link) == 200
    assert "Olga" in visitor.text
    if scripts:
        assert faults_of(owner, axe) == []
        assert faults_of(visitor, axe) == []
    visitor.fill("Your OCM Address, such as bob@cloud.example.org", "nonsense")
    visitor.click("button", "Ask for it")
    assert visitor.page.get_by_role("alert").is_visible()
    if scripts:
        assert faults_of(visitor, axe) == []
    visitor.fill("Your OCM Address, such as bob@cloud.example.org", bob.address)
    visitor.click("button", "Ask for it")
    assert "Olga is asked." in visitor.text
    owner.visit(f"{open_house.origin}/requests")
    assert "nothing proves that it is this person" in owner.text
    owner.open("Refuse")
    owner.click("button", "Yes, refuse")
    assert "Nobody asks you for anything." in owner.text
    owner.open("End it")
    owner.click("button", "Yes, end it")
    assert visitor.visit(link) == 404
    assert "There is no such link" in visitor.text
    if scripts:
        assert faults_of(visitor, axe) == []
