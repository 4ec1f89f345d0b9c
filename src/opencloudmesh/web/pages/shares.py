"""Shares given, with what became of their messages, and shares accepted."""

from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.protocol.lifecycle import ACCEPTED, PENDING
from opencloudmesh.protocol.registries import READ, WRITE
from opencloudmesh.web.pages.page import PageAnswer, PageRequest, redirect, render

_MOST = 1000


async def show(request: PageRequest) -> PageAnswer:
    """Both lists."""
    given = await request.services.share_creation.shares(request.me, limit=_MOST)
    received = await request.services.share_reception.inbox(request.me, limit=_MOST)
    failed = await request.services.deliveries.of_user(request.me, failed=True, limit=_MOST)
    people = await request.services.contacts.of_user(request.me, limit=_MOST)
    waits = {one.outgoing_share_id: (one, request.services.deliveries.next_try(one)) for one in failed}
    return render(
        request,
        "shares.html",
        people=people,
        name_of={one.address: one.name for one in people},
        given=[(share, waits.get(share.id) if share.state == PENDING else None) for share in reversed(given)],
        received=[share for share in reversed(received) if share.state == ACCEPTED],
    )


async def create(request: PageRequest) -> PageAnswer:
    """Share something."""
    permissions = (READ, WRITE) if request.form.get("write") else (READ,)
    await request.services.share_creation.create(
        request.me,
        path=request.form.get("path", "").strip(),
        share_with=request.form.get("share_with", "").strip(),
        permissions=permissions,
        expires_at=None,
    )
    return redirect("/shares")


async def act(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Take one back."""
    if act != "unshare":
        raise NotFound("There is nothing at this address.")
    await request.services.share_creation.unshare(request.me, item)
    return redirect("/shares")
