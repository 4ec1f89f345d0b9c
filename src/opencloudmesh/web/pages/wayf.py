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
    """Servers to choose from: the first `limit` that hold `sought` in name or host."""

    async def __call__(self, sought: str, /, *, limit: int) -> Choice: ...


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
        """The list; with `server` what was found of that one."""
        invite = _invite(request, request.query)
        if invite is None:
            return render(request, "wayf.html", status=400, invite=None)
        typed = request.query.get("server", "").strip()
        return await self._page(request, invite, typed, await self._found(request, invite, typed) if typed else None)

    async def choose(self, request: PageRequest) -> PageAnswer:
        """Send the visitor on to the server that was chosen, or say why not."""
        invite = _invite(request, request.form)
        if invite is None:
            return render(request, "wayf.html", status=400, invite=None)
        typed = request.form.get("server", "").strip()
        found = await self._found(request, invite, typed)
        if found.link and found.is_as_typed and _ADDRESS.fullmatch(found.link):
            return redirect(found.link)
        return await self._page(request, invite, typed, found)

    async def _page(self, request: PageRequest, invite: Invite, typed: str, found: Found | None) -> PageAnswer:
        sought = request.query.get("search", "").strip()[:_LONGEST]
        choice = await self._known_servers(sought, limit=_MOST)
        return render(
            request,
            "wayf.html",
            headers=((b"content-security-policy", _policy(request).encode()),),
            invite=invite,
            servers=choice.servers,
            is_cut=choice.is_cut,
            most=_MOST,
            sought=sought,
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


def _policy(request: PageRequest) -> str:
    """Browsers ask `form-action` about where a form is sent on to as well."""
    return POLICY.replace(
        "form-action 'self'", f"form-action 'self' https:{'' if request.origin.startswith('https:') else ' http:'}"
    )


def _host(typed: str) -> str:
    """The host of a host name, an OCM Address or an address of a page."""
    if "://" in typed:
        return host_of_url(typed)
    return parse_host(typed.rpartition("@")[2])
