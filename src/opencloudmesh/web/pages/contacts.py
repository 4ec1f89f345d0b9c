"""The address book."""

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.services.contact_cards import Imported
from opencloudmesh.web.pages.page import PageAnswer, PageRequest, nothing_here, redirect, render
from opencloudmesh.web.pages.texts import text
from opencloudmesh.web.user_api.contact_cards import KINDS

_MOST = 200
"""Shown at once: more are found by a search."""


async def show(request: PageRequest, imported: Imported | None = None) -> PageAnswer:
    """All, or those that a search finds, by name."""
    sought, contacts = request.query.get("search", "").strip(), request.services.contacts
    found = await contacts.search(request.me, sought, limit=_MOST + 1)
    return render(
        request, "contacts.html", contacts=found[:_MOST], more=len(found) > _MOST, most=_MOST, sought=sought, imported=imported
    )


async def add(request: PageRequest) -> PageAnswer:
    """Add somebody by OCM Address."""
    form = request.form
    await request.services.contacts.add(
        request.me, form.get("address", "").strip(), name=form.get("name", ""), email=form.get("email", "")
    )
    return redirect("/contacts")


async def act(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Trust, ask again, or remove."""
    contacts = request.services.contacts
    if act == "remove":
        await request.services.contact_removal.remove(request.me, item, notify=bool(request.form.get("notify")))
    elif act in ("trust", "distrust"):
        await contacts.change(request.me, item, name=None, email=None, trusted=act == "trust")
    else:
        raise nothing_here()
    return redirect("/contacts")


async def export(request: PageRequest) -> PageAnswer:
    """All as a file to be kept."""
    form = request.query.get("format", "jscontact")
    if form not in KINDS:
        raise nothing_here()
    kind, name = KINDS[form]
    content = await request.services.contact_cards.export(request.me, form)
    disposition = f'attachment; filename="{name}"'.encode()
    return PageAnswer(200, content, ((b"content-type", kind.encode()), (b"content-disposition", disposition)))


async def import_cards(request: PageRequest) -> PageAnswer:
    """Take the people of a file, and say what became of each that was not taken."""
    if not request.file.strip():
        raise InvalidInput(text("contacts.import.none"), code="cards-invalid", hint=text("contacts.import.none.hint"))
    return await show(request, await request.services.contact_cards.read_in(request.me, request.file))
