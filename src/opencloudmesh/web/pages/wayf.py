"""The WAYF page, "where are you from": an invited person chooses the own server (section Invite Flow; INV-9, INV-10).

Rules kept here: the page never sends anybody anywhere by itself; a visitor follows a link that shows the host, made of the
discovery document of a server that was found; the token stands in the link only, and is sent nowhere by us. Strangers see this
page: looks at servers that they name are limited as all looks that strangers cause are.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

from opencloudmesh.protocol.address import host_of_url, parse_host
from opencloudmesh.protocol.directory_service import ListedServer
from opencloudmesh.protocol.errors import InvalidInput, OCMError
from opencloudmesh.protocol.invite_flow import Invite, build_invite_link, build_invite_string, parse_invite
from opencloudmesh.services.callers import as_visitor
from opencloudmesh.web.pages.page import PageAnswer, PageRequest, render

_MOST = 1000


class KnownServers(Protocol):
    """Servers to choose from: of all Directory Services, and those that we deal with."""

    async def __call__(self) -> Sequence[ListedServer]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What can be said of a server: the `link` to its accept dialog, or the `string` to paste there, or the `fault`."""

    host: str
    link: str = ""
    string: str = ""
    is_own: bool = False
    fault: str = ""


class Wayf:
    """The page, over a list of servers."""

    def __init__(self, known_servers: KnownServers) -> None:
        self._known_servers = known_servers

    async def show(self, request: PageRequest) -> PageAnswer:
        """The list; with `server` what was found of that one."""
        try:
            invite = parse_invite(request.query.get("token", ""), provider=request.host)
        except InvalidInput:
            invite = None
        if invite is None or invite.provider != request.host:  # a link to another server's invite, passed off as ours
            return render(request, "wayf.html", status=400, invite=None)
        typed = request.query.get("server", "").strip()
        found = await self._found(request, invite, typed) if typed else None
        sought = request.query.get("search", "").strip().casefold()
        listed = [one for one in await self._known_servers() if sought in f"{one.display_name} {one.host}".casefold()]
        return render(
            request,
            "wayf.html",
            invite=invite,
            servers=listed[:_MOST],
            sought=request.query.get("search", "").strip()[:200],
            typed=typed[:200],
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
        return Found(host_of_url(dialog), link=build_invite_link(dialog, invite))


def _host(typed: str) -> str:
    """The host of a host name, an OCM Address or an address of a page."""
    if "://" in typed:
        return host_of_url(typed)
    return parse_host(typed.rpartition("@")[2])
