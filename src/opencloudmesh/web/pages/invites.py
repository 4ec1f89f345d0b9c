"""Invitations that the user made, and the dialog in which those of others are accepted (section Invite Flow)."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import segno
from markupsafe import Markup

from opencloudmesh.protocol.errors import InvalidInput, OCMError
from opencloudmesh.protocol.invite_flow import Invite, build_invite_link, build_invite_string, parse_invite
from opencloudmesh.protocol.invite_in_text import find_invite
from opencloudmesh.protocol.lifecycle import OPEN
from opencloudmesh.protocol.trust import DEMANDS
from opencloudmesh.services.invite_flow import DAY, MadeInvite
from opencloudmesh.web.pages.page import PageAnswer, PageRequest, done, local_path, nothing_here, redirect, render, retry_after
from opencloudmesh.web.pages.paging import every, part_of
from opencloudmesh.web.pages.refused import NOT_REFUSED, Refused
from opencloudmesh.web.pages.texts import text

_MOST = 1000
_DAYS = (1, 7, 30, 90)
"""For which an invitation may be made, where the server does not end it before."""


@dataclass(frozen=True, slots=True)
class Made:
    """An invitation that this session made: its token is kept nowhere else."""

    invite: Invite
    expires_at: float


async def show(request: PageRequest, made: Made | None = None, *, refused: Refused = NOT_REFUSED) -> PageAnswer:
    """The list, and what to send of an invitation that was just made; what was typed stands there again where it was refused."""
    flow = request.services.invite_flow
    found = await every(lambda after, limit: flow.invites(request.me, after_id=after, limit=limit))
    ended = [one for one in reversed(found) if one.state != OPEN]
    shows_ended = "ended" in request.query and made is None
    people = await request.services.contacts.of_user(request.me, limit=_MOST)
    link = build_invite_link(f"{request.origin}/wayf", made.invite) if made else ""
    return render(
        request,
        "invites.html",
        status=refused.status,
        headers=retry_after(refused.fault) if refused.fault else (),
        refused=refused,
        invites=part_of(request, ended if shows_ended else [one for one in reversed(found) if one.state == OPEN]),
        ended=len(ended),
        shows_ended=shows_ended,
        days=[days for days in _DAYS if days < flow.lifetime_days],
        most_days=f"{flow.lifetime_days:g}",
        name_of={one.address: one.name for one in people},
        made=made,
        link=link,
        string=build_invite_string(made.invite) if made else "",
        code=_qr_code(link) if made else "",
        demand=request.me.invite_only,
        server=flow.demanded(),
        demands=DEMANDS,
    )


def _qr_code(link: str) -> Markup:
    drawn = segno.make(link, error="m", micro=False)
    return Markup(drawn.svg_inline(scale=4, border=4, light="#fff", dark="#000"))  # noqa: S704 - made by segno, of squares only


async def create(request: PageRequest) -> PageAnswer:
    """Make one; the page that follows shows it, and can be loaded anew."""
    flow, note = request.services.invite_flow, request.form.get("note", "").strip()
    try:
        return _tell(await flow.create(request.me, note=note, expires_at=_end(request, flow.lifetime_days)))
    except OCMError as fault:
        return await show(request, refused=Refused.at(fault, request.form, "note", {"date-invalid": "days"}))


def _end(request: PageRequest, most_days: float) -> float | None:
    """When an invitation of so many days ends: one of those that are offered; None for as long as the server allows."""
    chosen = request.form.get("days", "")
    if not chosen:
        return None
    if chosen not in {str(days) for days in _DAYS if days < most_days}:
        raise InvalidInput(text("invites.no_days"), code="date-invalid", hint=text("invites.no_days.hint"))
    return datetime.now(UTC).timestamp() + int(chosen) * DAY


def _tell(made: MadeInvite) -> PageAnswer:
    told = {"token": made.invite.token, "provider": made.invite.provider, "id": made.sent.id, "expires_at": made.sent.expires_at}
    return replace(redirect("/invites/made"), tells={"invite": told})


async def show_made(request: PageRequest) -> PageAnswer:
    """What to send of the invitation that was just made, as long as it is open."""
    told = request.told.get("invite")
    if told is not None:
        found = await request.services.invite_flow.invites(request.me, after_id=told["id"] - 1, limit=1)
        if any(one.id == told["id"] and one.state == OPEN and one.expires_at == told["expires_at"] for one in found):
            return await show(request, Made(Invite(told["token"], told["provider"]), told["expires_at"]))
    return redirect("/invites")


async def only(request: PageRequest) -> PageAnswer:
    """Demand something of people whom the user does not know."""
    await request.services.invite_flow.demand(request.me, request.form.get("demand", ""))
    return done("/invites", "demanded", what=text(f"demand.{request.form.get('demand', '')}"))


async def act(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Revoke one, or make it afresh."""
    flow = request.services.invite_flow
    if act == "renew":
        return _tell(await flow.renew(request.me, item))
    if act != "revoke":
        raise nothing_here()
    await flow.revoke(request.me, item)
    return done("/invites", "invite.revoked")


# ---------------------------------------------------------------- the accept dialog
async def dialog(request: PageRequest) -> PageAnswer:
    """Show who invites, before anything is sent."""
    try:
        invite = parse_invite(request.query.get("token", ""), provider=request.query.get("providerDomain", ""))
    except OCMError as error:
        return render(request, "accept.html", status=error.status if hasattr(error, "status") else 400, invite=None)
    await request.services.invite_flow.check_foreign(request.me, invite)
    return await _shown(request, invite)


def dialog_of(request: PageRequest) -> str:
    """The dialog of the invite that a form holds, or nothing where it holds none."""
    try:
        invite = find_invite(request.form.get("invite", ""))
    except OCMError:
        return ""
    return local_path(build_invite_link("/invite/accept", invite), "")


async def _shown(request: PageRequest, invite: Invite) -> PageAnswer:
    host = invite.provider
    there = await request.services.contacts.search(request.me, f"@{host}", limit=5)
    known = any(one.address.endswith(f"@{host}") for one in there)
    provider, fault = "", None
    try:
        provider = (await request.services.peers.discover(host)).provider
    except OCMError as error:
        fault = error
    return render(
        request,
        "accept.html",
        invite=invite,
        string=build_invite_string(invite),
        host=host,
        known=known,
        provider=provider,
        fault=fault,
    )


async def accept(request: PageRequest) -> PageAnswer:
    """Accept an invitation: the dialog's, or one that was pasted, which stands there again where it is refused."""
    try:
        contact = await request.services.invite_flow.accept(request.me, find_invite(request.form.get("invite", "")))
    except OCMError as fault:
        if not request.form.get("pasted"):
            raise
        return await show(replace(request, path="/invites"), refused=Refused.at(fault, request.form, "invite"))
    then = [("/shares", "share"), ("/inbox", "inbox")]
    host = contact.address.rpartition("@")[2]
    return done("/contacts", "invite.accepted", then=then, name=contact.name or contact.address, host=host)
