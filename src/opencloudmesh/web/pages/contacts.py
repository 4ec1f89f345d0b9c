"""The address book."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from opencloudmesh.protocol.errors import InvalidInput, NotFound, OCMError
from opencloudmesh.services.contact_cards import Imported
from opencloudmesh.web.pages.page import PageAnswer, PageRequest, done, nothing_here, redirect, render
from opencloudmesh.web.pages.paging import SHOWN, linked, number_of
from opencloudmesh.web.pages.refused import NOT_REFUSED, Refused
from opencloudmesh.web.pages.texts import text
from opencloudmesh.web.user_api.contact_cards import KINDS

_FAULTS_SHOWN = 8
_OFFERED = 200
_LONGEST_SHOWN = 40
_CANDIDATES = 10


async def show(request: PageRequest, imported: Mapping[str, Any] | None = None, *, refused: Refused = NOT_REFUSED) -> PageAnswer:
    """All, or those that a search finds, by name; what was typed stands there again where it was refused."""
    sought, contacts = request.query.get("search", "").strip(), request.services.contacts
    number = number_of(request)
    found = await contacts.search(request.me, sought, limit=SHOWN + 1, offset=(number - 1) * SHOWN)
    others = await contacts.of_user(request.me, limit=_OFFERED)
    at = Counter(one.address.rpartition("@")[2] for one in others)
    return render(
        request,
        "contacts.html",
        status=refused.status,
        refused=refused,
        contacts=linked(request, found, number),
        sought=sought,
        imported=imported,
        others=others,
        merging={host for host, number in at.items() if number > 1},
    )


async def add(request: PageRequest) -> PageAnswer:
    """Add somebody by OCM Address."""
    form = request.form
    try:
        contact = await request.services.contacts.add(
            request.me, form.get("address", "").strip(), name=form.get("name", ""), email=form.get("email", "")
        )
    except OCMError as fault:
        return await show(request, refused=Refused.at(fault, form, "address", {"contact-invalid": "name"}))
    return done("/contacts", "contact.added", then=[("/shares", "share")], name=contact.name or contact.address)


async def act(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Trust, ask again, merge with another one, or remove."""
    contacts = request.services.contacts
    if act == "merge":
        return await _merge(request, item)
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


async def _merge(request: PageRequest, item: int) -> PageAnswer:
    """Make one of two; the other is given by an address of its own, or by a name that only one has."""
    contacts, typed = request.services.contacts, request.form.get("other", "").strip()
    found = [one for one in await contacts.search(request.me, typed, limit=_OFFERED) if one.id != item] if typed else []
    meant = [one for one in found if typed in one.addresses or one.name.strip().casefold() == typed.casefold()]
    if not meant:
        raise NotFound(text("contacts.merge.none"), code="contact-unknown", hint=text("contacts.merge.none.hint"))
    if len(meant) > 1:
        candidates = ", ".join(one.address for one in meant[:_CANDIDATES])
        sentence = text("people.ambiguous", name=typed, addresses=candidates)
        raise InvalidInput(sentence, code="recipient-ambiguous", hint=text("people.ambiguous.hint"))
    kept = await contacts.merge(request.me, item, meant[0].id)
    return done("/contacts", "contact.merged", name=kept.name or kept.address, other=meant[0].address)


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
