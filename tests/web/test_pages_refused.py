"""A form that is refused stands there again with what was typed, and says at the field what is wrong."""

import re
from typing import Any

import pytest

from opencloudmesh.protocol.errors import NotFound
from tests.web.visitor import Visitor


@pytest.mark.parametrize(
    ("path", "form", "at", "code"),
    [
        ("/shares", {"path": "nothing", "share_with": "d@peer.example.org"}, "path", "file-unknown"),
        ("/shares", {"path": "Reports", "share_with": "Dora", "write": "1"}, "share_with", "contact-unknown"),
        ("/shares", {"path": "Reports", "share_with": "d@peer.example.org", "until": "tomorrow"}, "until", "date-invalid"),
        ("/requests", {"owner": "Dora", "resource": "Slides"}, "owner", "contact-unknown"),
        ("/request-links", {"path": "Reports", "until": "tomorrow", "at_once": "1"}, "path", "date-invalid"),
        ("/received-requests/1/grant", {"path": "Reports", "until": "tomorrow", "write": "1"}, "path", "date-invalid"),
        ("/invites", {"note": "for Dora", "days": "12345"}, "days", "date-invalid"),
        ("/invite/accept", {"invite": "Dear Bob,\nhello", "pasted": "1"}, "invite", "invite-missing"),
        ("/contacts", {"address": "dora", "name": "Dora", "email": "d@example.org"}, "address", "address-invalid"),
    ],
)
async def test_what_was_typed_stands_there_again(
    server: Any, alice: Visitor, path: str, form: dict[str, str], at: str, code: str
) -> None:
    if form["path" if "path" in form else next(iter(form))] == "nothing":
        server.share_creation.error = NotFound("There is no such file.", code=code)
    answer = await alice.send(path, **form)
    assert answer.status in (400, 404)
    assert code in alice.page
    marked = re.findall(r'<(?:input|select|textarea)\b[^>]* name="(\w+)"[^>]* aria-invalid="true"', alice.page)
    assert marked == [at]
    assert alice.page.count('id="fault"') == 1
    for name, value in form.items():
        assert f'value="{value}"' in alice.page or f">{value}<" in alice.page or name == "days"
    for name in form.keys() & {"write", "at_once"}:
        assert f'name="{name}" value="1" checked' in alice.page


async def test_an_invitation_of_the_dialog_leads_back_to_the_dialog(alice: Visitor) -> None:
    await alice.send("/invite/accept", invite="https://other.example.org/invite/accept?token=t&providerDomain=other.example.org")
    assert "invite-refused" in alice.page
    assert 'href="/invite/accept?token=t&amp;providerDomain=other.example.org">Back' in alice.page
