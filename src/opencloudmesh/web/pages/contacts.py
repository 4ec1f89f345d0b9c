"""The address book."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.services.contact_cards import Imported
from opencloudmesh.web.pages.page import PageAnswer, PageRequest, done, nothing_here, redirect, render
from opencloudmesh.web.pages.paging import SHOWN, linked, number_of
from opencloudmesh.web.pages.texts import text
from opencloudmesh.web.user_api.contact_cards import KINDS

_FAULTS_SHOWN = 8
_LONGEST_SHOWN = 40


async def show(request: PageRequest, imported: Mapping[str, Any] | None = None) -> PageAnswer:
    """All, or those that a search finds, by name."""
    sought, contacts = request.query.get("search", "").strip(), request.services.contacts
    number = number_of(request)
    found = await contacts.search(request.me, sought, limit=SHOWN + 1, offset=(number - 1) * SHOWN)
    return render(request, "contacts.html", contacts=linked(request, found, number), sought=sought, imported=imported)


async def add(request: PageRequest) -> PageAnswer:
    """Add somebody by OCM Address."""
    form = request.form
    contact = await request.services.contacts.add(
        request.me, form.get("address", "").strip(), name=form.get("name", ""), email=form.get("email", "")
    )
    return done("/contacts", "contact.added", then=[("/shares", "share")], name=contact.name or contact.address)


async def act(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Trust, ask again, or remove."""
    contacts = request.services.contacts
    if act == "remove":
        notify = bool(request.form.get("notify"))
        contact = await request.services.contact_removal.remove(request.me, item, notify=notify)
        did = "removed.told" if notify else "removed"
    elif act in ("trust", "distrust"):
        contact = await contacts.change(request.me, item, name=None, email=None, trusted=act == "trust")
        did = f"{act}ed"
    else:
        raise nothing_here()
    then = [("/shares", "shares")] if did == "removed" else []
    return done("/contacts", f"contact.{did}", then=then, name=contact.name or contact.address)


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
    imported = await request.services.contact_cards.read_in(request.me, request.file)
    return replace(redirect("/contacts/imported"), tells={"imported": _told(imported)})


def _told(imported: Imported) -> dict[str, Any]:
    """What a cookie has room for: the counts, and what became of the first who were refused."""
    faults = [{"number": one.number, "who": one.who[:_LONGEST_SHOWN], "sentence": one.sentence} for one in imported.faults]
    return asdict(imported) | {"faults": faults[:_FAULTS_SHOWN], "untold": imported.refused - len(faults[:_FAULTS_SHOWN])}


async def show_imported(request: PageRequest) -> PageAnswer:
    """What became of the file that was just taken in."""
    told = request.told.get("imported")
    return redirect("/contacts") if told is None else await show(request, told)
