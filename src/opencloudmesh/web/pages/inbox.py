"""Shares that wait for an answer: of people known, and apart from them those of unknown senders."""

from urllib.parse import quote

from opencloudmesh.protocol.lifecycle import PENDING
from opencloudmesh.services.records import IncomingShare
from opencloudmesh.web.pages.page import PageAnswer, PageRequest, done, nothing_here, redirect, render
from opencloudmesh.web.pages.paging import every, part_of

_MOST = 500
_RECEIVED = "Shared with me"


async def start(request: PageRequest) -> PageAnswer:
    """The first page."""
    return redirect("/inbox")


async def _waiting(request: PageRequest) -> list[IncomingShare]:
    reception, waiting = request.services.share_reception, []
    for apart in (False, True):
        some = await every(lambda after, limit: reception.inbox(request.me, unknown=apart, after_id=after, limit=limit))  # noqa: B023
        waiting += [share for share in some if share.state == PENDING]
    return waiting


async def show(request: PageRequest) -> PageAnswer:
    """What waits."""
    reception = request.services.share_reception
    waiting = await _waiting(request)
    known = (await reception.senders(request.me, waiting)).known
    requests = await request.services.request_reception.requests(request.me, open_only=True, limit=_MOST)
    return render(
        request,
        "inbox.html",
        requests=len(requests),
        knows_people=bool(await request.services.contacts.of_user(request.me, limit=1)),
        notices=await request.services.contact_removal.notices(request.me),
        known=part_of(
            request, [share for share in reversed(waiting) if share.sender in known and not share.quarantined], "known"
        ),
        unknown=part_of(
            request, [share for share in reversed(waiting) if share.sender not in known or share.quarantined], "unknown"
        ),
    )


async def act_on_notice(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Put one away."""
    if act != "dismiss":
        raise nothing_here()
    await request.services.contact_removal.dismiss(request.me, item)
    return done("/inbox", "dismissed")


async def act(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Accept, decline or leave one; after the last that waited was accepted it is open."""
    reception = request.services.share_reception
    acts = {"accept": reception.accept, "decline": reception.decline, "leave": reception.leave}
    if act not in acts:
        raise nothing_here()
    share = await acts[act](request.me, item)
    there, then = "/shares" if act == "leave" else "/inbox", list[tuple[str, str]]()
    if act == "accept":
        its_place = f"/files?path={quote(f'{_RECEIVED}/{share.mount_name}', safe='')}"
        others_wait = bool(await _waiting(request))
        there, then = (there, [(its_place, "open")]) if others_wait else (its_place, [(there, "inbox")])
        then.append(("/contacts", "contacts"))
    return done(
        there,
        f"share.{act}",
        then=then,
        name=share.name,
        who=share.sender_display_name or share.sender,
        place=f"{_RECEIVED}/{share.mount_name}",
    )
