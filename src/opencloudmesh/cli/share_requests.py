"""`ocm request`, `ocm requests`, `ocm request-link`: asking for shares (section Request for a Share; the routes of /api/v1)."""

import time
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.deliveries import waiting_for
from opencloudmesh.cli.formats import format_time, parse_expiry, path_to_share, text_of, words_of
from opencloudmesh.cli.terminal import PARAMETERS, Output
from opencloudmesh.protocol.errors import PeerRefused

RequestId = Annotated[str, Parameter(name="ID", help="The id of the request (see: ocm requests list).")]
SentId = Annotated[str, Parameter(name="ID", help="The id of your request (see: ocm requests list --sent).")]
LinkId = Annotated[str, Parameter(name="ID", help="The id of the link (see: ocm request-link list).")]
Expires = Annotated[
    str | None, Parameter(name="--expires", help="When it ends: a duration such as 30d or 12h, or a day such as 2030-12-31.")
]

_FAILED = {
    "sender-unknown": "The owner takes requests only from people they know. Send them an invite (ocm invite create), or accept"
    " one of theirs; then ask again.",
    "request-unsupported": "Ask in another way: by mail, or with an invite.",
    "resource-unknown": "Ask the owner what it is called.",
}


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    app.command(request, group=group)
    commands = App(
        name="requests", help="What you are asked for, and what you asked for.", group=group, default_parameter=PARAMETERS
    )
    commands.command(list_requests, name="list")
    commands.command(show)
    commands.command(grant)
    commands.command(refuse)
    commands.command(withdraw)
    app.command(commands)
    links = App(
        name="request-link", help="Public links by which anybody can ask for a share.", group=group, default_parameter=PARAMETERS
    )
    links.command(create)
    links.command(list_links, name="list")
    links.command(revoke)
    app.command(links)


# ---------------------------------------------------------------- asking
async def request(owner: str, resource: str, /, *, output: Output = Output()) -> None:
    """Ask somebody on another server to share something with you.

    The owner decides, and may never answer. What is shared comes to your inbox.

    Parameters
    ----------
    owner
        The OCM Address of the owner, such as alice@cloud.example.org, or the name of a contact of yours.
    resource
        What you ask for: its path or web address at the owner's server, or an identifier that you were told.
    """
    from opencloudmesh.cli.client import signed_in
    from opencloudmesh.cli.named_contacts import address_of

    async with signed_in() as (api, _):
        document = {"owner": await address_of(api, owner), "resource": resource.strip()}
        made = await api.call("POST", "/requests", document=document)
        deliveries = await api.items("/deliveries") if made.get("state") in ("pending", "failed") else []
    mine = [each for each in deliveries if each.get("sent_request_id") == made.get("id")]
    delivery = mine[-1] if mine else {}
    if made.get("state") == "failed":
        raise _not_taken(made, delivery)
    output.terminal().show({**made, "delivery": delivery or None}, *_describe_made(made, delivery))


def _not_taken(made: dict[str, Any], delivery: dict[str, Any]) -> PeerRefused:
    reason, detail = text_of(made, "reason"), text_of(delivery, "detail")
    said = next((code for code in _FAILED if code == reason or code in detail.split()), "")
    return PeerRefused(
        f"{text_of(made, 'owner')} was not asked for {text_of(made, 'resource')}: {detail or reason}",
        code=reason,
        hint=_FAILED.get(said, "Check the address; if it is right, ask the operators of both servers."),
    )


def _describe_made(made: dict[str, Any], delivery: dict[str, Any]) -> tuple[str, ...]:
    what = f"{text_of(made, 'owner')} for {text_of(made, 'resource')} (request {text_of(made, 'id')})"
    if made.get("state") == "pending":
        why = ": ".join(filter(None, (text_of(delivery, "reason"), text_of(delivery, "detail"))))
        return (f"Asking {what}: not delivered yet{f' ({why})' if why else ''}.", *waiting_for(delivery))
    return (
        f"Asked {what}: the owner's server has taken it.",
        f"If it is shared, it comes to your inbox: ocm inbox. To wait no longer: ocm requests withdraw {text_of(made, 'id')}",
    )


# ---------------------------------------------------------------- what one is asked for
async def list_requests(
    *,
    sent: Annotated[bool, Parameter(name="--sent", negative=())] = False,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    output: Output = Output(),
) -> None:
    """List what you are asked for.

    Parameters
    ----------
    sent
        What you asked for yourself instead, and what became of it.
    every
        Also what was granted, refused or has ended.
    """
    from opencloudmesh.cli.client import signed_in
    from opencloudmesh.cli.named_contacts import people

    async with signed_in() as (api, _):
        if sent:
            items = await api.items("/requests")
        else:
            items = await api.items("/received-requests", query={} if every else {"open": "true"})
        shown = await people(api) if items and not output.json else str
    columns = _SENT_COLUMNS if sent else _RECEIVED_COLUMNS
    rows = (_sent_row(item, shown) if sent else _received_row(item, shown) for item in items)
    output.terminal().table({"items": items}, columns, rows, empty="There are no such requests.")


_SENT_COLUMNS = ("ID", "STATE", "OWNER", "RESOURCE", "REASON", "UNTIL")
_RECEIVED_COLUMNS = ("ID", "STATE", "FOR", "WHO", "ASKED FOR", "YOUR FILE")


def _sent_row(item: dict[str, Any], shown: Callable[[str], str]) -> tuple[str, ...]:
    owner, rest = shown(text_of(item, "owner")), (text_of(item, field) for field in ("resource", "reason"))
    return (text_of(item, "id"), text_of(item, "state"), owner, *rest, format_time(item.get("expires_at")))


def _received_row(item: dict[str, Any], shown: Callable[[str], str]) -> tuple[str, ...]:
    # An address that nobody proved is shown without the name of a contact.
    requester = shown(text_of(item, "requester")) if item.get("verified") else text_of(item, "requester")
    start = (text_of(item, "id"), text_of(item, "state"), requester)
    return (*start, _who(item), text_of(item, "resource"), _path(item))


def _who(item: dict[str, Any]) -> str:
    if item.get("known"):
        return "known"
    return "unknown" if item.get("verified") else "not proven"


def _path(item: dict[str, Any]) -> str:
    return text_of(item, "path") or "?"


async def show(request_id: RequestId, /, *, output: Output = Output()) -> None:
    """Show one request to you."""
    from opencloudmesh.cli.client import item_path, signed_in

    async with signed_in() as (api, _):
        item = await api.call("GET", item_path("received-requests", request_id))
    proven = {
        "known": "You know this person, whose server signed the request.",
        "unknown": "The person's server signed the request; you have not dealt with this person before.",
        "not proven": "Somebody typed this address through a public link of yours: nothing proves that it is this person.",
    }
    output.terminal().show(
        item,
        f"{text_of(item, 'requester')} asks for {text_of(item, 'resource')} ({text_of(item, 'state')})",
        proven[_who(item)],
        f"In your files, if it is there: {_path(item)}",
        f"Since {format_time(item.get('created_at'))}, until {format_time(item.get('expires_at'))}",
        *([f"Share: {text_of(item, 'share_id')}"] if item.get("share_id") else []),
    )


async def grant(
    request_id: RequestId, /, *, path: str | None = None, write: bool = False, expires: Expires = None, output: Output = Output()
) -> None:
    """Share what you are asked for, or something else, with who asks.

    Parameters
    ----------
    path
        The file or folder in your files; without it what the request names.
    write
        Allow changes, not only reading.
    """
    from opencloudmesh.cli.client import item_path, signed_in

    document = {
        "path": None if path is None else path_to_share(path),
        "permissions": ["read", "write"] if write else ["read"],
        "expires_at": None if expires is None else parse_expiry(expires, time.time()),
    }
    async with signed_in() as (api, _):
        item = await api.call("POST", item_path("received-requests", request_id, "grant"), document=document)
    output.terminal().show(
        item,
        f"Shared with {text_of(item, 'requester')} (share {text_of(item, 'share_id')}); see: ocm shares",
    )


async def refuse(request_id: RequestId, /, *, output: Output = Output()) -> None:
    """Refuse a request. Who asks is not told."""
    from opencloudmesh.cli.client import item_path, signed_in

    async with signed_in() as (api, _):
        item = await api.call("POST", item_path("received-requests", request_id, "refuse"))
    output.terminal().show(item, f"Refused the request {text_of(item, 'id')} of {text_of(item, 'requester')}, who is not told.")


async def withdraw(request_id: SentId, /, *, output: Output = Output()) -> None:
    """Wait no longer for what you asked for. What was not sent yet is not sent."""
    from opencloudmesh.cli.client import item_path, signed_in

    async with signed_in() as (api, _):
        item = await api.call("POST", item_path("requests", request_id, "withdraw"))
    output.terminal().show(item, f"Withdrawn: the request {text_of(item, 'id')} to {text_of(item, 'owner')}.")


# ---------------------------------------------------------------- public links
async def create(
    path: str, /, *, at_once: bool = False, write: bool = False, expires: Expires = None, output: Output = Output()
) -> None:
    """Make a public link for a file or folder of yours, and show it, this once.

    Whoever has the link can enter an OCM Address; you are asked then, and nothing can be read through the link itself.

    Parameters
    ----------
    path
        The file or folder in your files on your server.
    at_once
        Share it at once with every address that is entered, without asking you.
    write
        With --at-once: allow changes, not only reading.
    """
    from opencloudmesh.cli.client import signed_in

    document = {
        "path": path_to_share(path),
        "permissions": ["read", "write"] if write else ["read"],
        "at_once": at_once,
        "expires_at": None if expires is None else parse_expiry(expires, time.time()),
    }
    async with signed_in() as (api, session):
        made = await api.call("POST", "/request-links", document=document)
        address = f"{session.server}/request-access?token={text_of(made, 'token')}"
    link = made.get("link")
    item = link if isinstance(link, dict) else {}
    output.terminal().show(
        made | {"address": address},
        address,
        f"Anybody who has it can ask for {text_of(item, 'path')}{', and is given it at once' if item.get('at_once') else ''},"
        f" until {format_time(item.get('expires_at'))}.",
        f"It is not shown again. To end it: ocm request-link revoke {text_of(item, 'id')}",
    )


async def list_links(*, output: Output = Output()) -> None:
    """List your public links; the links themselves are not kept."""
    from opencloudmesh.cli.client import signed_in

    async with signed_in() as (api, _):
        items = await api.items("/request-links")
    rows = (
        (
            text_of(item, "id"),
            text_of(item, "state"),
            text_of(item, "path"),
            f"shares at once ({words_of(item, 'permissions')})" if item.get("at_once") else "asks you",
            format_time(item.get("expires_at")),
        )
        for item in items
    )
    columns = ("ID", "STATE", "PATH", "WHAT IT DOES", "UNTIL")
    output.terminal().table({"items": items}, columns, rows, empty="There are no links; make one: ocm request-link create PATH")


async def revoke(link: LinkId, /, *, output: Output = Output()) -> None:
    """End a public link. What was asked through it, and shared, stays."""
    from opencloudmesh.cli.client import item_path, signed_in

    async with signed_in() as (api, _):
        item = await api.call("POST", item_path("request-links", link, "revoke"))
    output.terminal().show(item, f"Ended: the link {text_of(item, 'id')} for {text_of(item, 'path')}.")
