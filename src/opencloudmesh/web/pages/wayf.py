"""The WAYF page, "where are you from": an invited person chooses the own server (section Invite Flow; INV-9, INV-10).

Rules kept here: a link to this page never leads anywhere else; a visitor is sent on by a form of ours alone (POST, with its
token) and only to the very host that was chosen there, in ASCII; else by a link that shows the host. Both are made of the
discovery document of a server that was found; the token stands in that address only, and is sent nowhere by us. Strangers see
this page: looks at servers that they name are limited as all looks that strangers cause are; of a long list the first ones are
shown.
"""

import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

from opencloudmesh.protocol.address import host_of_url, parse_host
from opencloudmesh.protocol.errors import InvalidInput, OCMError
from opencloudmesh.protocol.invite_flow import Invite, build_invite_link, build_invite_string, parse_invite
from opencloudmesh.services.callers import as_visitor
from opencloudmesh.services.servers_to_choose import Choice
from opencloudmesh.web.pages.page import POLICY, PageAnswer, PageRequest, redirect, render

_MOST: Final = 200
_LONGEST: Final = 200
_ADDRESS: Final = re.compile(r"https?://[\x21-\x7e]+", re.ASCII)


class KnownServers(Protocol):
    """Servers to choose from: the first `limit` that hold `sought` in name or host; `invited`: for who holds an open invite."""

    async def __call__(self, sought: str, /, *, limit: int, invited: bool) -> Choice: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What can be said of a server: the `link` to its accept dialog, or the `string` to paste there, or the `fault`.

    `is_as_typed`: the dialog is at the very host that was chosen, which looks to the visitor as it is.
    """

    host: str
    link: str = ""
    string: str = ""
    is_as_typed: bool = False
    is_own: bool = False
    fault: str = ""


class Wayf:
    """The page, over a list of servers."""

    def __init__(self, known_servers: KnownServers) -> None:
        self._known_servers = known_servers

    async def show(self, request: PageRequest) -> PageAnswer:
        """The list, narrowed by `search`; with `server` what was found of that one."""
        invite = _invite(request, request.query)
        if invite is None:
            return render(request, "wayf.html", status=400, invite=None)
        typed = request.query.get("server", "").strip()
        found = await self._found(request, invite, typed) if typed else None
        sought = request.query.get("search", "").strip() or typed
        return await self._page(request, invite, typed or sought, found, sought)

    async def choose(self, request: PageRequest) -> PageAnswer:
        """Send the visitor on to the server that was chosen, or show which ones may be meant, or say why not."""
        invite = _invite(request, request.form)
        if invite is None:
            return render(request, "wayf.html", status=400, invite=None)
        typed = request.form.get("server", "").strip()
        if typed and not _may_be_whole(typed) and (await self._listed(request, invite, typed)).servers:
            return await self._page(request, invite, typed, None, typed)
        found = await self._found(request, invite, typed)
        if found.link and found.is_as_typed and _ADDRESS.fullmatch(found.link):
            return redirect(found.link)
        return await self._page(request, invite, typed, found, typed)

    async def _listed(self, request: PageRequest, invite: Invite, sought: str) -> Choice:
        """With whom our users deal is seen by them, and by whom they invited."""
        invited = request.user is not None or await request.services.invite_flow.is_open(invite.token)
        return await self._known_servers(sought[:_LONGEST], limit=_MOST, invited=invited)

    async def _page(self, request: PageRequest, invite: Invite, typed: str, found: Found | None, sought: str) -> PageAnswer:
        listed_for = sought if found is None or found.fault else ""
        choice = await self._listed(request, invite, listed_for)
        if found and not choice.servers:  # that it was not found is said already
            listed_for, choice = "", await self._listed(request, invite, "")
        return render(
            request,
            "wayf.html",
            headers=((b"content-security-policy", _policy(request).encode()),),
            invite=invite,
            servers=choice.servers,
            is_cut=choice.is_cut,
            most=_MOST,
            sought=listed_for,
            typed=typed[:_LONGEST],
            found=found,
        )

    async def _found(self, request: PageRequest, invite: Invite, typed: str) -> Found:
        try:
            host = _host(typed)
            if host == request.host:
                return Found(host, is_own=True)
            with as_visitor() if request.user is None else nullcontext():
                dialog = (await request.services.peers.discover(host)).invite_accept_dialog
        except OCMError as error:
            return Found(typed[:200], fault=error.sentence)
        if dialog is None:
            return Found(host, string=build_invite_string(invite))
        there = host_of_url(dialog)
        return Found(there, link=build_invite_link(dialog, invite), is_as_typed=there == host and typed.isascii())


def _invite(request: PageRequest, given: Mapping[str, str]) -> Invite | None:
    """The invite of ours that a link or a form holds; None for another server's, passed off as ours."""
    try:
        invite = parse_invite(given.get("token", ""), provider=request.host)
    except InvalidInput:
        return None
    return invite if invite.provider == request.host else None


def _may_be_whole(typed: str) -> bool:
    """Whether this may be the whole name of a server, or an OCM Address: a name without a dot is looked for in the list."""
    return any(sign in typed for sign in ".:@/\\")


def _policy(request: PageRequest) -> str:
    """Browsers ask `form-action` about where a form is sent on to as well."""
    return POLICY.replace(
        "form-action 'self'", f"form-action 'self' https:{'' if request.origin.startswith('https:') else ' http:'}"
    )


def _host(typed: str) -> str:
    """The host of a host name, an OCM Address or an address of a page."""
    if "://" in typed:
        return host_of_url(typed)
    return parse_host(typed.rpartition("@")[2].partition("/")[0])
