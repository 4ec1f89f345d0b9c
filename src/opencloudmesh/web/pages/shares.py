"""Shares given, with what became of their messages, and shares accepted."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.errors import InvalidInput, NotFound, OCMError
from opencloudmesh.protocol.lifecycle import ACCEPTED, FAILED, PENDING, SENT
from opencloudmesh.protocol.registries import READ, WRITE
from opencloudmesh.services.contacts import INVITE_ACCEPTED
from opencloudmesh.services.records import Delivery, Notice, OutgoingShare
from opencloudmesh.web.pages.page import PageAnswer, PageRequest, done, nothing_here, render, retry_after
from opencloudmesh.web.pages.paging import every, part_of
from opencloudmesh.web.pages.people import MOST, address_of, name_of
from opencloudmesh.web.pages.refused import NOT_REFUSED, Refused
from opencloudmesh.web.pages.texts import text

_TOLD_OF: Final = (SENT, ACCEPTED, FAILED)
_MINUTES_OF_DAY: Final = 24 * 60
_PLACES: Final = dict.fromkeys(
    (
        "address-invalid",
        "host-invalid",
        "own-server",
        "contact-unknown",
        "recipient-ambiguous",
        "policy-denied",
        "already-shared",
    ),
    "share_with",
) | dict.fromkeys(("date-invalid", "already-expired", "expiration-invalid"), "until")
"""Which field a fault is about, where it is not the path."""
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


async def show(request: PageRequest, refused: Refused = NOT_REFUSED) -> PageAnswer:
    """Both lists, and what other servers could not be told; `path` is what was chosen to be shared, `to` with whom."""
    services = request.services
    me = request.me
    given = await every(lambda after, limit: services.share_creation.shares(me, after_id=after, limit=limit))
    received = await every(lambda after, limit: services.share_reception.inbox(me, after_id=after, limit=limit))
    failed = await every(lambda after, limit: services.deliveries.of_user(me, failed=True, after_id=after, limit=limit))
    people = await services.contacts.of_user(request.me, limit=MOST)
    shown, others = _by_share(given, failed)
    told = [(share, one, one and services.deliveries.next_try(one)) for share, one in reversed(shown)]
    left = [(one, services.deliveries.next_try(one)) for one in reversed(others)]
    return render(
        request,
        "shares.html",
        status=refused.status,
        headers=retry_after(refused.fault) if refused.fault else (),
        refused=refused,
        typed=refused.typed
        if refused.fault
        else {"path": request.query.get("path", ""), "share_with": request.query.get("to", "")},
        people=people,
        name_of={one.address: one.name for one in people},
        given=part_of(request, told, "given"),
        received=part_of(request, [share for share in reversed(received) if share.state == ACCEPTED], "received"),
        messages=part_of(request, left, "messages"),
    )


Shown = tuple[OutgoingShare, Delivery | None]


def _by_share(given: Sequence[OutgoingShare], failed: Sequence[Delivery]) -> tuple[list[Shown], list[Delivery]]:
    """Each share that did not arrive with the message that should tell of it; and all other messages."""
    waits = {share.id for share in given if share.state in (PENDING, FAILED)}
    of_share = {one.outgoing_share_id or 0: one for one in failed if one.outgoing_share_id in waits}
    others = [one for one in failed if one is not of_share.get(one.outgoing_share_id or 0)]
    return [(share, of_share.get(share.id)) for share in given], others


async def create(request: PageRequest) -> PageAnswer:
    """Share something."""
    form, told = request.form, await request.services.contact_removal.notices(request.me)
    try:
        share, is_new = await request.services.share_creation.create(
            request.me,
            path=form.get("path", "").strip(),
            share_with=await address_of(request, form.get("share_with", "").strip()),
            permissions=(READ, WRITE) if form.get("write") else (READ,),
            expires_at=end_of_day(form.get("until", ""), form.get("zone", "0")),
        )
    except OCMError as fault:
        return await show(request, Refused.at(fault, form, "path", _PLACES))
    await _used(request, told, share.share_with)
    outcome = (share.state if share.state in _TOLD_OF else "pending") if is_new else "again"
    is_named = is_new and parse_address(share.owner).identifier == request.me.name  # by whom knows no other identifier
    named = " " + text("shares.login_name_told", owner=share.owner) if is_named else ""
    return done("/shares", f"shared.{outcome}", path=share.path, who=await name_of(request, share.share_with), told=named)


async def _used(request: PageRequest, told: Sequence[Notice], address: str) -> None:
    """Put away that whoever it was shared with accepted an invitation, which needs no further word."""
    for notice in told:
        if notice.kind == INVITE_ACCEPTED and notice.address == address:
            with suppress(NotFound):
                await request.services.contact_removal.dismiss(request.me, notice.id)


def end_of_day(day: str, zone: str) -> float | None:
    """When a day is over where the reader is: `zone` minutes behind UTC, which a script fills in; None for no day.

    Raises `InvalidInput` (date-invalid).
    """
    if not day:
        return None
    try:
        if not _DATE.fullmatch(day):
            raise ValueError
        end = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise InvalidInput(text("shares.no_date"), code="date-invalid", hint=text("shares.no_date.hint")) from None
    behind = int(zone) if re.fullmatch(r"-?[0-9]{1,4}", zone) else 0
    return end.timestamp() + 60 * max(-_MINUTES_OF_DAY, min(behind, _MINUTES_OF_DAY))


async def act(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Take one back."""
    if act != "unshare":
        raise nothing_here()
    share = await request.services.share_creation.unshare(request.me, item)
    return done("/shares", "unshared", path=share.path, who=await name_of(request, share.share_with))


async def act_on_message(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Try again to tell the other server, or give up."""
    acts = {"retry": request.services.deliveries.retry, "cancel": request.services.deliveries.cancel}
    if act not in acts:
        raise nothing_here()
    message = await acts[act](request.me, item)
    return done("/shares", f"message.{act}", peer=message.peer)
