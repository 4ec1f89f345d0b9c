"""`ocm invite`: invites to people at other servers, and theirs (section Invite Flow; the invites routes of /api/v1)."""

import sys
import time
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.formats import format_time, parse_expiry, text_of
from opencloudmesh.cli.terminal import PARAMETERS, Output

InviteId = Annotated[str, Parameter(name="ID", help="The id of the invite (see: ocm invite list).")]
Expires = Annotated[
    str | None,
    Parameter(
        name="--expires",
        help="When it ends: a duration such as 7d or 12h, or a date. [default: as late as the server allows, mostly 30 days]",
    ),
]


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    commands = App(name="invite", help="Become contacts with people at other servers.", group=group, default_parameter=PARAMETERS)
    commands.command(create)
    commands.command(accept)
    commands.command(list_invites, name="list")
    commands.command(revoke)
    commands.command(resend)
    commands.command(only)
    app.command(commands)


async def create(*, note: str = "", expires: Expires = None, qr: bool = True, output: Output = Output()) -> None:
    """Make an invite, and show what to send to the person, this once: a link or, for any server, the invite string.

    Whoever accepts it at another server is your contact then, and you theirs.

    Parameters
    ----------
    note
        What it is for; only you see it.
    qr
        Show a QR code of the link, on a terminal.
    """
    from opencloudmesh.cli.client import signed_in

    document = {"note": note} | _end(expires)
    async with signed_in() as (api, _):
        made = await api.call("POST", "/invites", document=document)
    _show(made, output, qr=qr)


async def accept(
    invite: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    provider: Annotated[str | None, Parameter(name="--from")] = None,
    output: Output = Output(),
) -> None:
    """Accept an invite: who sent it is your contact then.

    Parameters
    ----------
    invite
        The invite string or the link that you were sent, a text that holds it such as a whole mail, token@server, or a bare
        token with --from; - reads it from standard input.
    provider
        The server that a bare token is from.
    """
    from opencloudmesh.cli.client import signed_in

    text = _read_mail() if invite == "-" else invite
    document = {"invite": text.strip()} | ({} if provider is None else {"provider": provider.strip()})
    async with signed_in() as (api, _):
        contact = await api.call("POST", "/invites/accept", document=document)
    output.terminal().show(
        contact,
        f"{text_of(contact, 'name') or text_of(contact, 'address')} is your contact now: {text_of(contact, 'address')}",
        f"Share with: ocm share PATH {text_of(contact, 'address')}",
    )


async def list_invites(*, output: Output = Output()) -> None:
    """List your invites and what became of them."""
    from opencloudmesh.cli.client import signed_in
    from opencloudmesh.cli.named_contacts import people

    async with signed_in() as (api, _):
        items = await api.items("/invites")
        shown = await people(api) if not output.json and any(item.get("accepted_by") for item in items) else str
    rows = (
        (
            text_of(item, "id"),
            text_of(item, "state"),
            format_time(item.get("created_at")),
            format_time(item.get("expires_at")),
            shown(text_of(item, "accepted_by")) if item.get("accepted_by") else "",
            text_of(item, "note"),
        )
        for item in items
    )
    columns = ("ID", "STATE", "SINCE", "UNTIL", "ACCEPTED BY", "NOTE")
    output.terminal().table({"items": items}, columns, rows, empty="There are no invites; make one: ocm invite create")


async def revoke(invite: InviteId, /, *, output: Output = Output()) -> None:
    """Take an invite back: nobody can accept it any more."""
    from opencloudmesh.cli.client import item_path, signed_in

    async with signed_in() as (api, _):
        item = await api.call("POST", item_path("invites", invite, "revoke"))
    output.terminal().show(item, f"Revoked the invite {text_of(item, 'id')}.")


async def resend(invite: InviteId, /, *, expires: Expires = None, qr: bool = True, output: Output = Output()) -> None:
    """Make an open or expired invite afresh, to send it again; what you sent before opens nothing then.

    Parameters
    ----------
    qr
        Show a QR code of the link, on a terminal.
    """
    from opencloudmesh.cli.client import item_path, signed_in

    async with signed_in() as (api, _):
        made = await api.call("POST", item_path("invites", invite, "renew"), document=_end(expires))
    _show(made, output, qr=qr)


async def only(
    demand: Annotated[Literal["off", "quarantine", "refuse"] | None, Parameter(help="What becomes of their shares.")] = None,
    /,
    *,
    output: Output = Output(),
) -> None:
    """Demand an invite of people whom you do not know: their shares are kept apart (quarantine), or refused.

    You know your contacts, whom a share of yours gives access, and whom you asked for a share. Without a word, this shows what
    you demand. Where your server demands more, that counts.
    """
    from opencloudmesh.cli.client import signed_in

    async with signed_in() as (api, _):
        got = await (
            api.call("GET", "/invites/only") if demand is None else api.call("POST", "/invites/only", document={"mine": demand})
        )
    in_force, mine = text_of(got, "in_force"), text_of(got, "mine")
    stricter = [] if in_force == mine else [f"You demand: {mine}. Your server demands more: {in_force}."]
    output.terminal().show(got, _BECOMES.get(in_force, in_force), *stricter)


_LARGEST_MAIL = 64 << 20
"""Bytes; of what is read only the texts are sent, and the server says what is too long."""
_BECOMES = {
    "off": "Everybody may offer you shares.",
    "quarantine": "Shares of people whom you do not know are kept apart: ocm inbox --unknown",
    "refuse": "Shares of people whom you do not know are refused.",
}


def _read_mail() -> str:
    from opencloudmesh.protocol.invite_in_text import text_of_mail

    return text_of_mail(sys.stdin.buffer.read(_LARGEST_MAIL))


def _end(expires: str | None) -> dict[str, Any]:
    return {} if expires is None else {"expires_at": parse_expiry(expires, time.time())}


def _show(made: dict[str, Any], output: Output, *, qr: bool) -> None:
    terminal, link = output.terminal(), text_of(made, "link")
    code = _qr_code(link) if qr and link and not terminal.json and sys.stdout.isatty() else []
    terminal.show(
        made,
        f"link:          {link}",
        f"invite string: {text_of(made, 'invite')}",
        *code,
        "Send one of them to the person: the link leads to the page on which the own server is chosen, the invite string",
        f"is understood by every server. It can be accepted once, until {format_time(made.get('expires_at'))}.",
        f"It is not shown again. To take it back: ocm invite revoke {text_of(made, 'id')}",
    )


def _qr_code(text: str) -> list[str]:
    """Its lines, in characters."""
    import io

    import segno

    drawn = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(out=drawn, compact=True)
    return drawn.getvalue().rstrip("\n").split("\n")
