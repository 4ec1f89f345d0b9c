"""Shares given and received: `ocm discover|share|shares|unshare|inbox|accept|decline|leave` (the share routes of /api/v1).

A share is named by its id, or by its name, path or place under "Shared with me" where that fits one share only.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.contacts import notice_line
from opencloudmesh.cli.deliveries import held_back, is_refused, why_undelivered
from opencloudmesh.cli.formats import format_time, is_denied, parse_expiry, path_to_share, text_of, unavailability_of, words_of
from opencloudmesh.cli.repair import repair
from opencloudmesh.cli.terminal import PARAMETERS, Output
from opencloudmesh.protocol.errors import PeerRefused

if TYPE_CHECKING:
    from opencloudmesh.cli.client import ApiClient

_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
"""A command waits so long for the first try of a message."""
Item = Mapping[str, Any]

_NOT_TAKEN: Final = "Check the address of the recipient; if it is right, ask the operators of both servers."
_REFUSED_THERE: Final = (
    "The other server does not deal with yours: that is for its operator to decide; ask them to allow your server. When it does,"
    " the share is offered again by itself, within hours; at once: ocm deliveries retry --peer HOST; to give it up:"
    " ocm unshare ID (see: ocm shares)."
)
_NOTICED: Final = "That is noticed within hours; at once: ocm deliveries retry --peer HOST"
_NO_MEMBER: Final = (
    "The other server deals with members of its federation only, and yours is none: ask your operator to join it, or theirs to"
    " allow your server."
)
_UNKNOWN_THERE: Final = (
    "The recipient takes shares only from people they know. Send them an invite (ocm invite create), or accept one of theirs"
    " (ocm invite accept INVITE); then share again."
)
_HINTS: Final = (
    (frozenset({"not-federated"}), _NO_MEMBER),
    (frozenset({"denylisted", "policy-denied", "not-allowlisted", "refused-by-peer"}), _REFUSED_THERE),
    (frozenset({"sender-unknown"}), _UNKNOWN_THERE),
)


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    given = App(name="shares", group=group, default_parameter=PARAMETERS)
    given.default(shares)
    given.command(repair)
    for command in (discover, share, unshare, inbox, accept, decline, leave):
        app.command(command, group=group)
    app.command(given)


async def discover(host: str, /, *, output: Output = Output()) -> None:
    """Ask another server what it can do (OCM API Discovery).

    Parameters
    ----------
    host
        The other server, such as cloud.example.org.
    """
    from opencloudmesh.cli.client import signed_in

    async with signed_in() as (api, _):
        found = await api.call("GET", "/discover", query={"host": host})
    types = found.get("resource_types")
    output.terminal().show(
        found,
        f"host          {text_of(found, 'host')}",
        f"provider      {text_of(found, 'provider')}",
        f"API version   {text_of(found, 'api_version')}",
        f"end point     {text_of(found, 'end_point')}",
        f"capabilities  {words_of(found, 'capabilities') or 'none'}",
        f"criteria      {words_of(found, 'criteria') or 'none'}",
        *(f"takes         {_describe_type(kind)}" for kind in (types if isinstance(types, list) else ())),
    )


def _describe_type(kind: Any) -> str:
    if not isinstance(kind, dict):
        return str(kind)
    protocols = kind.get("protocols")
    over = f" over {', '.join(map(str, protocols))}" if isinstance(protocols, dict) and protocols else ""
    return f"{text_of(kind, 'name')} for {words_of(kind, 'share_types')}{over}"


async def share(
    path: str, share_with: str, /, *, write: bool = False, expires: str | None = None, output: Output = Output()
) -> None:
    """Share a file or folder of yours with somebody on another server.

    Parameters
    ----------
    path
        The file or folder in your files on your server.
    share_with
        The OCM Address of the recipient, such as bob@cloud.example.org, or the name of a contact of yours.
    write
        Allow changes, not only reading.
    expires
        End the share after a time (30d, 12h, 2w) or with a day (2030-12-31).
    """
    import time

    from opencloudmesh.cli.client import signed_in
    from opencloudmesh.cli.named_contacts import address_of

    document = {
        "path": path_to_share(path),
        "permissions": ["read", "write"] if write else ["read"],
        "expires_at": parse_expiry(expires, time.time()) if expires is not None else None,
    }
    async with signed_in() as (api, session):
        address = await address_of(api, share_with)
        created, is_new = await api.made("/shares", document | {"share_with": address})
        # Not taken yet: what the first try ended with stands at the delivery.
        deliveries = await api.items("/deliveries") if created.get("state") in ("pending", "failed") else []
    mine = [each for each in deliveries if each.get("outgoing_share_id") == created.get("id")]
    delivery = mine[-1] if mine else {}
    if created.get("state") == "failed":
        raise _not_taken(created, delivery)
    output.terminal().show(
        {**created, "delivery": delivery or None},
        *_describe_created(created, delivery, is_new, share_with),
        *_login_name_told(created, session.user),
    )


def _login_name_told(created: Item, user: str) -> Iterator[str]:
    """A warning where the recipient is no contact who knows the user by an identifier (INV-7)."""
    owner = text_of(created, "owner")
    if owner.rpartition("@")[0] == user:
        invite = "whom you invite is told an identifier in its place (ocm invite create)."
        yield f"The other server is told your login name, {owner}: {invite}"


def _not_taken(created: Item, delivery: Item) -> PeerRefused:
    reason = text_of(created, "reason")
    why = text_of(delivery, "detail") or reason
    said = set(re.findall(r"[a-z-]+", f"{reason} {why}".lower()))
    hints = (hint for codes, hint in _HINTS if codes & said)
    return PeerRefused(
        f"{text_of(created, 'share_with')} was not given {text_of(created, 'path')}: {why}",
        code=reason,
        hint=next(hints, _NOT_TAKEN),
    )


def _describe_created(created: Item, delivery: Item, is_new: bool, typed: str) -> tuple[str, ...]:
    address = text_of(created, "share_with")
    whom = address if "@" in typed else f"{typed.strip()} <{address}>"
    what = f"{text_of(created, 'path')} with {whom} (share {text_of(created, 'id')})"
    if not is_new and created.get("state") in ("sent", "accepted"):
        had = "has accepted it" if created.get("state") == "accepted" else "has not answered yet"
        again = f"to send it anew, take it back first: ocm unshare {text_of(created, 'id')}"
        until = f" until {format_time(created.get('expires_at'))}" if created.get("expires_at") is not None else ""
        return (f"You share {what} just so already{until}: the recipient {had}.", f"Nothing was sent; {again}")
    if created.get("state") in ("sent", "accepted"):
        return (f"Shared {what}: the other server has taken it.",)
    if created.get("state") == "pending":
        why = ": ".join(filter(None, (text_of(delivery, "reason"), text_of(delivery, "detail")))) or held_back(delivery)
        already = "" if is_new else " already"
        return (
            f"Sharing {what}{already}: not delivered yet{f' ({why})' if why else ''}.",
            "It is tried again by itself; see: ocm deliveries",
        )
    return (f"Sharing {what}: {_state_of(created)}.",)


async def shares(*, every: Annotated[bool, Parameter(name="--all", negative=())] = False, output: Output = Output()) -> None:
    """List the shares that you gave.

    Parameters
    ----------
    every
        Also those that you took back and those that have expired.
    """
    from opencloudmesh.cli.client import signed_in
    from opencloudmesh.cli.named_contacts import people
    from opencloudmesh.cli.named_shares import OUTGOING

    async with signed_in() as (api, _):
        items = [item for item in await api.items("/shares") if every or item.get("state") in OUTGOING.listed]
        causes = _causes(await api.items("/deliveries", query={"failed": "true"})) if items else {}
        shown = await people(api) if items and not output.json else str
    items = [{**item, "cause": _cause(item, causes, OUTGOING.untold)} for item in items]
    rows = (
        (*_fields(item, "id", "state", "path"), shown(text_of(item, "share_with")), words_of(item, "permissions"),
         format_time(item.get("expires_at")), text_of(item, "cause") or text_of(item, "reason"))
        for item in items
    )  # fmt: skip
    columns = ("ID", "STATE", "PATH", "WITH", "MAY", "UNTIL", "REASON")
    terminal = output.terminal()
    terminal.table({"items": items}, columns, rows, empty="You share nothing.")
    if any(is_refused(item) for item in items):
        terminal.note(
            "refused-by-peer: the other server does not deal with yours. Such a share is offered again by itself when it does, "
            "within hours; at once: ocm deliveries retry --peer HOST; to give it up: ocm unshare ID"
        )


def _causes(failed: Sequence[Item]) -> dict[tuple[Any, str], str]:
    """Why a share has not been told of, by its id and the kind of message, in the words of `ocm deliveries`."""
    said = ((one.get("outgoing_share_id"), text_of(one, "kind"), why_undelivered(one)) for one in failed)
    return {(share, kind): why for share, kind, why in said if why}


def _cause(item: Item, causes: Mapping[tuple[Any, str], str], untold: Sequence[str]) -> str:
    """Why the other server has not heard of a share, or not that it was taken back."""
    if item.get("state") == "revoked":
        why = causes.get((item.get("id"), "SHARE_UNSHARED"), "")
        return f"not told yet: {why}" if why and (item.get("untold") or why.startswith("held back")) else ""
    return causes.get((item.get("id"), "SHARE_CREATION"), "") if item.get("state") in untold else ""


async def unshare(share: Annotated[str, Parameter(name="ID")], /, *, output: Output = Output()) -> None:
    """End a share that you gave.

    Parameters
    ----------
    share
        The id of the share (see: ocm shares), or its name or path.
    """
    from opencloudmesh.cli.client import item_path, signed_in
    from opencloudmesh.cli.named_shares import OUTGOING, find_share

    async with signed_in() as (api, _):
        others: list[str] = []
        share_id = await find_share(api, OUTGOING, share, states=OUTGOING.living, others=others)
        ended = await api.call("POST", item_path("shares", share_id, "unshare"))
        message = await _first_try(api, ended)
        if message and not ended.get("untold"):
            ended |= {"untold": _reason_untold(message)}
    what = f"{text_of(ended, 'path')} with {text_of(ended, 'share_with')}"
    done = f"Ended the share of {what} (share {text_of(ended, 'id')}): {_state_of(ended)}."
    output.terminal().show(ended, done, *_untold(ended, message), *_also_named(share, others))


async def _first_try(api: "ApiClient", ended: Item) -> Item:
    """The message that a share was taken back, after its first try, if that ends soon; empty where there is none."""
    import asyncio

    from opencloudmesh.cli.client import item_path

    peer = text_of(ended, "share_with").rpartition("@")[2]
    found = await api.items("/deliveries", query={"peer": peer})
    mine = [one for one in found if (one.get("outgoing_share_id"), one.get("kind")) == (ended.get("id"), "SHARE_UNSHARED")]
    message: Item = mine[-1] if mine else {}
    for pause in _PAUSES:
        if not _is_under_way(message):
            break
        await asyncio.sleep(pause)
        message = await api.call("GET", item_path("deliveries", text_of(message, "id")))
    return message


def _is_under_way(message: Item) -> bool:
    return message.get("state") == "leased" or (message.get("state") == "queued" and not why_undelivered(message))


def _reason_untold(message: Item) -> str:
    is_untold = message.get("state") in ("queued", "leased", "dead") and message.get("reason") != "overtaken"
    return text_of(message, "reason") if is_untold else ""


def _also_named(word: str, others: Sequence[str]) -> tuple[str, ...]:
    """Say which shares have the same name and were not meant, because they give no access."""
    if not others:
        return ()
    shares = f"share {others[0]}" if len(others) == 1 else f"shares {', '.join(others)}"
    return (f'"{word}" is the name of {shares}, too, which gave no access any more: meant was the one that did.',)


def _untold(ended: Item, message: Item) -> tuple[str, ...]:
    """Say where the other server does not know yet that a share was taken back, and when it will."""
    why = text_of(ended, "untold")
    if why == "policy-denied":
        return (
            "Nobody has access any more. The other server has not been told: your server does not deal with it (policy-denied).",
            "It is told when that ends, which is for your server's operator to decide.",
        )
    if why == "refused-by-peer":
        return (
            "Nobody has access any more. The other server has not been told: it does not deal with yours (refused-by-peer).",
            f"It is told when that ends, which is for its operator to decide. {_NOTICED}",
        )
    if not why and message.get("state") not in ("queued", "leased"):
        return ()
    reason = why_undelivered(message) or why or "it has not answered so far"
    return (f"Nobody has access any more. The other server has not been told yet ({reason}); see: ocm deliveries",)


async def inbox(
    *,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    unknown: bool = False,
    output: Output = Output(),
) -> None:
    """List the shares that you were given: those that wait for your answer, and those that you accepted.

    Parameters
    ----------
    every
        Also those that you declined or left, and those that were taken back or have expired.
    unknown
        Those of unknown senders that your server keeps apart; accepting one by its id makes its sender known.
    """
    from opencloudmesh.cli.client import signed_in
    from opencloudmesh.cli.named_shares import INCOMING

    async with signed_in() as (api, _):
        found = await api.items("/inbox", query={"unknown": "true"} if unknown else None)
        notices = (await api.call("GET", "/notices")).get("items")
        apart = 0 if unknown else (await api.call("GET", "/inbox", query={"limit": "1"})).get("unknown", 0)
    items = [item for item in found if every or item.get("state") in INCOMING.listed]
    rows = (
        (*_fields(item, "id"), _state_of(item), *_fields(item, "name", "resource_type"), _sender_of(item),
         words_of(item, "permissions"), format_time(item.get("expires_at")), text_of(item, "path"))
        for item in items
    )  # fmt: skip
    columns = ("ID", "STATE", "NAME", "TYPE", "FROM", "MAY", "UNTIL", "PATH")
    terminal = output.terminal()
    empty = "No shares of unknown senders." if unknown else "Nobody shares anything with you."
    terminal.table({"items": items, "unknown": len(items) if unknown else apart}, columns, rows, empty=empty)
    for notice in notices if isinstance(notices, list) else ():
        terminal.note(notice_line(notice))
    if notices:
        terminal.note("Put this away: ocm contacts notices --dismiss")
    if apart and not terminal.json:
        terminal.show({}, f"{apart} {'share' if apart == 1 else 'shares'} of unknown senders: ocm inbox --unknown")


IncomingId = Annotated[str, Parameter(name="ID", help="The id of the share (see: ocm inbox), or its name.")]


async def accept(share: IncomingId, /, *, output: Output = Output()) -> None:
    """Accept a share that you were given; it appears under "Shared with me"."""
    taken = await _answer(share, "accept", states=("pending",))
    what = f'"{text_of(taken, "name")}" from {_sender_of(taken)}'
    output.terminal().show(taken, f"Accepted {what}; it is at: {text_of(taken, 'path')}")


async def decline(share: IncomingId, /, *, output: Output = Output()) -> None:
    """Decline a share that you were given."""
    declined = await _answer(share, "decline", states=("pending",))
    output.terminal().show(declined, f'Declined "{text_of(declined, "name")}" from {_sender_of(declined)}.')


async def leave(share: IncomingId, /, *, output: Output = Output()) -> None:
    """Leave a share that you accepted; it disappears from "Shared with me"."""
    left = await _answer(share, "leave", states=("accepted",))
    output.terminal().show(left, f'Left "{text_of(left, "name")}" from {_sender_of(left)}.')


async def _answer(share: str, action: str, *, states: tuple[str, ...]) -> dict[str, Any]:
    from opencloudmesh.cli.client import item_path, signed_in
    from opencloudmesh.cli.named_shares import INCOMING, find_share

    async with signed_in() as (api, _):
        share_id = await find_share(api, INCOMING, share, states=states)
        return await api.call("POST", item_path("inbox", share_id, action))


def _sender_of(item: Item) -> str:
    name, address = text_of(item, "sender_display_name"), text_of(item, "sender")
    return f"{name} <{address}>" if name else address


def _fields(item: Item, *fields: str) -> tuple[str, ...]:
    return tuple(text_of(item, field) for field in fields)


def _state_of(item: Item) -> str:
    state = text_of(item, "state")
    if item.get("state") == "accepted" and item.get("unavailable_since") is not None and not is_denied(item):
        return f"{state}, {unavailability_of(item)}"
    if state == "pending" and item.get("sender_known") is False:
        return f"{state}, unknown sender"
    return f"{state} ({text_of(item, 'reason')})" if item.get("reason") else state
