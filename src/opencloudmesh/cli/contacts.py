"""`ocm contacts`: the address book (the contacts routes of /api/v1)."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.faults import EXIT_FAILED, UsageFault
from opencloudmesh.cli.formats import format_time, text_of
from opencloudmesh.cli.terminal import PARAMETERS, Output

Who = Annotated[str, Parameter(name="CONTACT", help="The contact's id, OCM Address or name (see: ocm contacts list).")]


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    commands = App(name="contacts", help="People at other servers whom you know.", group=group, default_parameter=PARAMETERS)
    commands.command(list_contacts, name="list")
    for command in (add, show, trust, distrust, merge, remove, notices, export):
        commands.command(command)
    commands.command(import_cards, name="import")
    app.command(commands)


async def list_contacts(*, search: str | None = None, output: Output = Output()) -> None:
    """List your contacts.

    Parameters
    ----------
    search
        Only those whose name, address or e-mail address holds this.
    """
    from opencloudmesh.cli.client import signed_in

    async with signed_in() as (api, _):
        items = await api.items("/contacts", query={"search": search} if search else {})
    rows = (
        (
            text_of(item, "id"),
            text_of(item, "name"),
            text_of(item, "address"),
            text_of(item, "email"),
            text_of(item, "server"),
            text_of(item, "source"),
            format_time(item.get("last_seen_at")) or "never",
            ", ".join(mark for mark in ("trusted", "verified") if item.get(mark)),
        )
        for item in items
    )
    empty = "There are no such contacts." if search else "There are no contacts; invite somebody: ocm invite create"
    output.terminal().table({"items": items}, _COLUMNS, rows, empty=empty)


_COLUMNS = ("ID", "NAME", "ADDRESS", "E-MAIL", "SERVER", "BY", "LAST SEEN", "MARKS")


async def add(
    address: Annotated[str, Parameter(name="ADDRESS")],
    /,
    *,
    name: str = "",
    email: str = "",
    trusted: bool = False,
    output: Output = Output(),
) -> None:
    """Add somebody by OCM Address; an invite is better, for both know each other then.

    Parameters
    ----------
    address
        The OCM Address: user@cloud.example.org.
    name
        The person's name.
    email
        The person's e-mail address.
    trusted
        Accept shares of this contact without asking.
    """
    from opencloudmesh.cli.client import signed_in

    document = {"address": address, "name": name, "email": email, "trusted": trusted}
    async with signed_in() as (api, _):
        made = await api.call("POST", "/contacts", document=document)
    output.terminal().show(made, f"Added {_shown(made)}.")


async def show(contact: Who, /, *, output: Output = Output()) -> None:
    """Show one contact."""
    from opencloudmesh.cli.client import signed_in
    from opencloudmesh.cli.named_contacts import find_contact

    async with signed_in() as (api, _):
        item = await find_contact(api, contact)
    seen = format_time(item.get("last_seen_at")) or "never"
    output.terminal().show(
        item,
        _shown(item),
        *([f"Server: {text_of(item, 'server')}"] if item.get("server") else []),
        *(f"Also: {address}{_mark(item, address)}" for address in item.get("aliases", []) if isinstance(address, str)),
        *([f"E-mail: {text_of(item, 'email')}"] if item.get("email") else []),
        f"By {text_of(item, 'source')}, since {format_time(item.get('added_at'))}; last seen: {seen}",
        "Shares are accepted without asking." if item.get("trusted") else "Shares wait in the inbox for you.",
        f"Its own server has signed something of {text_of(item, 'address')}."
        if item.get("verified")
        else f"Its server has signed nothing of {text_of(item, 'address')} yet.",
    )


def _mark(item: Mapping[str, Any], address: str) -> str:
    return " (verified)" if address in item.get("verified_aliases", []) else ""


async def trust(contact: Who, /, *, output: Output = Output()) -> None:
    """Accept this contact's shares without asking, from now on."""
    item = await _changed(contact, {"trusted": True})
    output.terminal().show(item, f"Shares of {text_of(item, 'address')} are accepted without asking.")


async def distrust(contact: Who, /, *, output: Output = Output()) -> None:
    """Ask again before this contact's shares are accepted."""
    item = await _changed(contact, {"trusted": False})
    output.terminal().show(item, f"Shares of {text_of(item, 'address')} wait in the inbox for you.")


async def merge(contact: Who, other: Annotated[str, Parameter(name="OTHER")], /, *, output: Output = Output()) -> None:
    """Make one contact of two that are the same person, by two addresses at one server.

    The contact keeps its name, and is trusted as it was; what the other was trusted with ends.

    Parameters
    ----------
    other
        The contact, by id, OCM Address or name, whose addresses the first has from then on.
    """
    from opencloudmesh.cli.client import item_path, signed_in
    from opencloudmesh.cli.named_contacts import find_contact

    async with signed_in() as (api, _):
        kept, gone = await find_contact(api, contact), await find_contact(api, other)
        path = item_path("contacts", text_of(kept, "id"))
        item = await api.call("POST", f"{path}/merge/{text_of(gone, 'id')}")
    output.terminal().show(item, f"{_shown(item)} is {text_of(gone, 'address')}, too.")


async def remove(contact: Who, /, *, notify: bool = False, output: Output = Output()) -> None:
    """Remove a contact, who is a stranger then; shares given and received stay, and nobody else is told, unless you want it.

    Parameters
    ----------
    notify
        Tell the contact's server, which removes you there, and end all shares with this contact.
    """
    from opencloudmesh.cli.client import item_path, signed_in
    from opencloudmesh.cli.named_contacts import find_contact

    async with signed_in() as (api, _):
        item = await find_contact(api, contact)
        query = {"notify": "true"} if notify else None
        await api.call("DELETE", item_path("contacts", text_of(item, "id")), query=query)
    told = (
        " Its server is told, and the shares with this contact end (see: ocm deliveries)."
        if notify
        else " Shares stay; whoever has one of yours counts as known until you take it back (ocm shares, ocm unshare)."
    )
    output.terminal().show(item, f"Removed {_shown(item)}.{told}")


async def notices(*, dismiss: bool = False, output: Output = Output()) -> None:
    """List what happened to your contacts: who accepted an invite, who removed you, and how many shares ended with that.

    Parameters
    ----------
    dismiss
        Put away what is shown.
    """
    from opencloudmesh.cli.client import item_path, signed_in

    async with signed_in() as (api, _):
        answer = await api.call("GET", "/notices")
        items = [item for item in answer.get("items", []) if isinstance(item, dict)]
        for item in items if dismiss else ():
            await api.call("DELETE", item_path("notices", text_of(item, "id")))
    output.terminal().show(answer, *(map(notice_line, items)), *([] if items else ["Nothing happened to your contacts."]))


def notice_line(item: dict[str, Any]) -> str:
    """A notice as one line."""
    if item.get("kind") == "invite-accepted":
        share = f"ocm share PATH {text_of(item, 'address')}"
        return f"{format_time(item.get('at'))}: {_shown(item)} accepted your invite. Share something: {share}"
    ended = text_of(item, "shares")
    return f"{format_time(item.get('at'))}: {_shown(item)} removed you, and is no contact now; shares that ended: {ended}."


async def export(
    file: Path | None = None, /, *, format: Literal["jscontact", "vcard", "vcard4"] = "jscontact", output: Output = Output()
) -> None:
    """Write your contacts into a file, or to standard output.

    Parameters
    ----------
    file
        The file; it must not be there yet.
    format
        jscontact (RFC 9553), or vcard for address books: version 3.0, which all of them read, or vcard4.
    """
    from opencloudmesh.cli.client import signed_in

    async with signed_in() as (api, _):
        content = await api.content("/contact-cards", query={"format": format})
    if file is None:
        print(content.decode("utf-8", "replace"), end="")
        return
    with file.open("xb") as target:
        target.write(content)
    output.terminal().show({"file": str(file), "bytes": len(content)}, f"Wrote {file}.")


async def import_cards(file: Path, /, *, output: Output = Output()) -> int:
    """Take the people of a file (JSContact or vCard) into your contacts.

    Nothing that you have is overwritten, and nobody is trusted for it. Where nobody of the file is a contact then, it failed.

    Parameters
    ----------
    file
        A file of an address book, or of `ocm contacts export`; - is standard input.
    """
    from opencloudmesh.cli.client import signed_in

    data = _read(file)
    async with signed_in() as (api, _):
        answer = await api.call("POST", "/contact-cards", data=data)
    counts = {name: text_of(answer, name) for name in ("added", "completed", "known", "without_address", "refused")}
    faults = [fault for fault in answer.get("faults", []) if isinstance(fault, dict)]
    is_in_vain = not any(answer.get(name) for name in ("added", "completed", "known"))
    output.terminal().show(
        answer,
        f"Added {counts['added']}, completed {counts['completed']}, there already {counts['known']}, "
        f"without an OCM Address {counts['without_address']}, not taken {counts['refused']}.",
        *(_fault_line(fault) for fault in faults),
        *([_IN_VAIN] if is_in_vain else []),
    )
    return EXIT_FAILED if is_in_vain else 0


_IN_VAIN = "Nothing was taken: nobody in this file has an OCM Address that could be. An e-mail address is none."


def _fault_line(fault: dict[str, Any]) -> str:
    who = text_of(fault, "who") or "without a name"
    return f"  entry {text_of(fault, 'number')}, {who}: {text_of(fault, 'message')} ({text_of(fault, 'code')})"


def _read(file: Path) -> bytes:
    from opencloudmesh.protocol.contacts import LARGEST_FILE

    with sys.stdin.buffer if str(file) == "-" else file.open("rb") as source:
        data = source.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        hint = "Export without pictures, or in parts."
        raise UsageFault(f"{file} has more than {LARGEST_FILE} bytes.", code="cards-too-large", hint=hint)
    return data


async def _changed(contact: str, change: dict[str, Any]) -> dict[str, Any]:
    from opencloudmesh.cli.client import item_path, signed_in
    from opencloudmesh.cli.named_contacts import find_contact

    async with signed_in() as (api, _):
        item = await find_contact(api, contact)
        return await api.call("POST", item_path("contacts", text_of(item, "id")), document=change)


def _shown(item: dict[str, Any]) -> str:
    name, address = text_of(item, "name"), text_of(item, "address")
    return f"{name} <{address}>" if name else address
