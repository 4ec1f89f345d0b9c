"""`ocm shares repair`: compares shares with what the other servers say, and puts them right (POST /api/v1/shares/repair)."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from opencloudmesh.cli.beside import parts_of
from opencloudmesh.cli.faults import UsageFault
from opencloudmesh.cli.formats import format_time, text_of
from opencloudmesh.cli.operator import HERE, Folder, dir_option
from opencloudmesh.cli.terminal import Output

if TYPE_CHECKING:
    from opencloudmesh.services.reconciliation import Line

_ACTS = {
    "announce": ("notification sent again", "would send its notification again"),
    "tell-end": ("told again that it has ended", "would tell again that it has ended"),
    "tell-answer": ("answer told again", "would tell the answer again"),
    "note": ("noted", "would note it"),
}
_OFFERED_AGAIN = (
    "offered again: it counts as sent until it is answered",
    "would offer it again: it counts as sent until it is answered",
)
_MOST_DAYS = 36500.0
_WORDS = frozenset({"taken", "accepted", "declined"})
"""What servers said of shares given, some time ago."""


async def repair(
    *,
    dry_run: bool = False,
    resend: bool = False,
    days: float | None = None,
    peer: str | None = None,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    folder: Folder = HERE,
    output: Output = Output(),
) -> None:
    """Ask other servers about your shares, and tell them again what they should know.

    Parameters
    ----------
    dry_run
        Only look; change nothing, here or there.
    resend
        Offer your shares again, also those that failed: for a server that came back without its data. An accepted share counts as
        sent until it is answered. What ended lately is told again, too.
    days
        With --resend: tell again of shares that ended within so many days; by default as many as the log of exchanges is kept.
    peer
        Only shares with this server.
    every
        The shares of all users, for the server's operator; works on the server's folder, and needs no login.
    folder
        With --all: the server's folder, made by ocm init.
    """
    if folder != HERE and not every:
        raise UsageFault("--dir goes with --all: your own shares are those of the server where you are logged in.")
    if days is not None and not (resend and 0 <= days <= _MOST_DAYS):
        raise UsageFault("--days is a number from 0 on, and goes with --resend.")
    terminal = output.terminal()
    host = None if peer is None else peer.strip().lower()
    pages = _of_everybody(folder, host, dry_run, resend, days) if every else _of_mine(peer, dry_run, resend, days)
    items: list[dict[str, Any]] = []
    async with aclosing(pages):
        async for found, goes_on in pages:
            items += found
            if goes_on and terminal.draws:
                terminal.note(f"{len(items)} shares looked at ...")
    telling = [item for item in items if text_of(item, "said") or text_of(item, "act")]
    fields = (*(("user",) if every else ()), "direction", "id", "state", "name", "party")
    rows = ((*(text_of(item, field) for field in fields), _said_of(item), _act_of(item)) for item in telling)
    columns = (*(("USER",) if every else ()), "SHARE", "ID", "STATE", "NAME", "WITH", "OTHER SIDE", "DONE")
    terminal.table(
        {"items": items, "dry_run": dry_run},
        columns,
        rows,
        empty="There is nothing to look at." if not items else "Nothing is to be said of them.",
    )
    if silent := len(items) - len(telling):
        terminal.note(f"{silent} more: nothing is to be said of them, they wait for an answer here.")
    if not resend and any(_was_not_asked(item) for item in telling):
        command = f"ocm shares repair --resend{' --all' if every else ''}{dir_option(folder)}"
        terminal.note(f"Whether a server still has a share that was given cannot be asked; to tell it again: {command}")
    if every and not dry_run and any(item.get("act") not in ("", "note") for item in telling):
        terminal.note("What is told again goes out within half a minute, where the server runs.")


_Pages = AsyncGenerator[tuple[list[dict[str, Any]], bool]]
"""Lines about shares, and whether there are more."""


async def _of_mine(peer: str | None, dry_run: bool, resend: bool, days: float | None) -> _Pages:
    from opencloudmesh.cli.client import signed_in

    place: Any = ""
    async with signed_in() as (api, _):
        while isinstance(place, str):
            document: dict[str, Any] = {"dry_run": dry_run, "resend": resend, "peer": peer, "after": place}
            document |= {} if days is None else {"ended_days": days}
            page = await api.call("POST", "/shares/repair", document=document)
            found = page.get("items")
            # A server that names no new place to go on from would be asked for ever.
            place = page.get("next") if page.get("next") != place else None
            items = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
            yield items, isinstance(place, str)


async def _of_everybody(folder: Path, peer: str | None, dry_run: bool, resend: bool, days: float | None) -> _Pages:
    async with parts_of(folder) as wiring:
        await wiring.load_trust()
        for user in await wiring.accounts.users():
            place = None
            while True:
                lines, place = await wiring.repair.page(
                    user, dry_run=dry_run, resend=resend, ended_days=days, peer=peer, after=place
                )
                yield [_document(user.name, line, dry_run) for line in lines], True
                if place is None:
                    break


def _document(user: str, line: "Line", dry_run: bool) -> dict[str, Any]:
    return {
        "user": user,
        "direction": line.direction,
        "id": line.share_id,
        "name": line.name,
        "peer": line.peer,
        "party": line.party,
        "state": line.state,
        "said": line.said,
        "said_at": line.said_at,
        "act": line.act,
        "done": bool(line.act) and not dry_run,
    }


def _was_not_asked(item: dict[str, Any]) -> bool:
    return item.get("direction") == "given" and text_of(item, "said") in _WORDS


def _said_of(item: dict[str, Any]) -> str:
    said = text_of(item, "said")
    return f"{said} on {format_time(item.get('said_at'))}, not asked" if _was_not_asked(item) else said


def _act_of(item: dict[str, Any]) -> str:
    act = text_of(item, "act")
    done, would = _OFFERED_AGAIN if act == "announce" and item.get("state") == "accepted" else _ACTS.get(act, ("", ""))
    return done if item.get("done") else would
