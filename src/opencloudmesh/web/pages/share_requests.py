"""Requests for shares: those that wait for the user's answer, those that the user made, and public links for visitors.

The page behind a link is for anybody (section Public Invite Flow): it shows whose link it is and what the resource is called,
takes an OCM Address, and says the same whatever becomes of it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from opencloudmesh.protocol.errors import InvalidInput, NotFound, OCMError
from opencloudmesh.protocol.lifecycle import FAILED, OPEN, SENT
from opencloudmesh.protocol.registries import READ, WRITE
from opencloudmesh.services.callers import as_visitor
from opencloudmesh.web.pages.page import PageAnswer, PageRequest, done, nothing_here, redirect, render, retry_after
from opencloudmesh.web.pages.paging import every, part_of
from opencloudmesh.web.pages.people import address_of
from opencloudmesh.web.pages.refused import NOT_REFUSED, Refused
from opencloudmesh.web.pages.shares import end_of_day

_MOST = 500


async def show(request: PageRequest, made: Mapping[str, Any] | None = None, *, refused: Refused = NOT_REFUSED) -> PageAnswer:
    """All of it, and what to pass on of a link that was just made; what was typed stands there again where it was refused."""
    services = request.services
    me = request.me
    asked = await every(lambda after, limit: services.request_reception.requests(me, open_only=True, after_id=after, limit=limit))
    sent = await every(lambda after, limit: services.request_sending.requests(me, after_id=after, limit=limit))
    waiting = part_of(request, asked[::-1], "waiting")
    people = await services.contacts.of_user(request.me, limit=_MOST)
    links = await every(lambda after, limit: services.request_links.links(me, after_id=after, limit=limit))
    return render(
        request,
        "requests.html",
        status=refused.status,
        headers=retry_after(refused.fault) if refused.fault else (),
        refused=refused,
        waiting=waiting,
        known=await services.request_reception.known(me, waiting.items),
        sent=part_of(request, sent[::-1], "sent"),
        people=people,
        links=part_of(request, [link for link in reversed(links) if link.state == OPEN], "links"),
        may_link=services.request_links.enabled,
        made=made,
        address_of_link=f"{request.origin}/request-access?token={made['token']}" if made else "",
    )


async def create(request: PageRequest) -> PageAnswer:
    """Ask somebody for something."""
    form = request.form
    try:
        asked = await request.services.request_sending.create(
            request.me,
            owner=await address_of(request, form.get("owner", "").strip()),
            resource=form.get("resource", "").strip(),
        )
    except OCMError as fault:
        return await show(request, refused=Refused.at(fault, form, "owner", {"resource-invalid": "resource"}))
    outcome = asked.state if asked.state in (SENT, FAILED) else "pending"
    return done("/requests", f"asked.{outcome}", who=asked.owner, resource=asked.resource)


async def act(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Wait no longer."""
    if act != "withdraw":
        raise nothing_here()
    asked = await request.services.request_sending.withdraw(request.me, item)
    return done("/requests", "asked.withdrawn", who=asked.owner, resource=asked.resource)


async def answer(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Share what is asked for, or refuse."""
    form = request.form
    if act == "refuse":
        one = await request.services.request_reception.refuse(request.me, item)
    elif act == "grant":
        try:
            one = await request.services.request_reception.grant(
                request.me,
                item,
                path=form.get("path", "").strip(),
                permissions=_rights(request),
                expires_at=end_of_day(form.get("until", ""), form.get("zone", "0")),
            )
        except OCMError as fault:
            if fault.code == "request-unknown":
                raise
            return await show(request, refused=Refused.at(fault, form, f"grant{item}"))
    else:
        raise nothing_here()
    then = [("/shares", "shares")] if act == "grant" else []
    return done("/requests", f"request.{act}", then=then, who=one.requester, resource=one.resource)


def _rights(request: PageRequest) -> tuple[str, ...]:
    return (READ, WRITE) if request.form.get("write") else (READ,)


# ---------------------------------------------------------------- public links
async def create_link(request: PageRequest) -> PageAnswer:
    """Make one; the page that follows shows it, and can be loaded anew."""
    form = request.form
    try:
        made = await request.services.request_links.create(
            request.me,
            path=form.get("path", "").strip(),
            permissions=_rights(request),
            at_once=bool(form.get("at_once")),
            expires_at=end_of_day(form.get("until", ""), form.get("zone", "0")),
        )
    except OCMError as fault:
        if fault.code == "request-links-off":
            raise
        return await show(request, refused=Refused.at(fault, form, "link"))
    told = {"token": made.token, "id": made.link.id, "expires_at": made.link.expires_at}
    return replace(redirect("/requests/made"), tells={"link": told})


async def show_made(request: PageRequest) -> PageAnswer:
    """What to pass on of the link that was just made, as long as it is open."""
    told = request.told.get("link")
    if told is not None:
        found = await request.services.request_links.links(request.me, after_id=told["id"] - 1, limit=1)
        if any(link.id == told["id"] and link.state == OPEN for link in found):
            return await show(request, told)
    return redirect("/requests")


async def act_on_link(request: PageRequest, item: int, act: str) -> PageAnswer:
    """End one."""
    if act != "revoke":
        raise nothing_here()
    await request.services.request_links.revoke(request.me, item)
    return done("/requests", "link.revoked")


async def visit(request: PageRequest) -> PageAnswer:
    """The page behind a link; with `done` what a visitor reads who has just asked there."""
    token = request.query.get("token", "")
    return await _page_of_link(request, token, done="done" in request.query and request.told.get("asked") == token)


async def ask(request: PageRequest) -> PageAnswer:
    """A visitor has entered an OCM Address."""
    token, typed = request.form.get("token", ""), request.form.get("address", "")
    try:
        with as_visitor():
            await request.services.request_links.ask(token, typed)
    except NotFound:
        return await _page_of_link(request, token)
    except OCMError as fault:
        return await _page_of_link(request, token, typed=typed, fault=fault)
    return replace(redirect(f"/request-access?{urlencode({'token': token, 'done': 1})}"), tells={"asked": token})


async def _page_of_link(
    request: PageRequest, token: str, *, typed: str = "", fault: OCMError | None = None, done: bool = False
) -> PageAnswer:
    try:
        link = await request.services.request_links.look(token)
    except NotFound:
        return render(request, "request_access.html", status=404, link=None)
    status = 200 if fault is None else getattr(fault, "status", InvalidInput.status)
    return render(
        request,
        "request_access.html",
        status=status,
        headers=() if fault is None else retry_after(fault),
        link=link,
        token=token,
        typed=typed[:1024],
        fault=fault,
        done=done,
    )
