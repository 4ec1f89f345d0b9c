"""`ocm shares repair`: compares shares with what the other servers say, and puts them right (POST /api/v1/shares/repair)."""

from typing import Any

from opencloudmesh.cli.formats import format_time, text_of
from opencloudmesh.cli.terminal import Output

_ACTS = {
    "announce": ("notification sent again", "would send its notification again"),
    "tell-end": ("told again that it was taken back", "would tell again that it was taken back"),
    "tell-answer": ("answer told again", "would tell the answer again"),
    "note": ("noted", "would note it"),
}
_WORDS = frozenset({"taken", "accepted", "declined"})
"""What servers said of shares given, some time ago."""


async def repair(*, dry_run: bool = False, resend: bool = False, peer: str | None = None, output: Output = Output()) -> None:
    """Ask other servers about your shares, and tell them again what they should know.

    Parameters
    ----------
    dry_run
        Only look; change nothing, here or there.
    resend
        Send the notifications of your shares again, also of those that failed: for a server that came back without its data.
    peer
        Only shares with this server.
    """
    from opencloudmesh.cli.client import signed_in

    terminal = output.terminal()
    items: list[dict[str, Any]] = []
    place: Any = ""
    async with signed_in() as (api, _):
        while isinstance(place, str):
            document = {"dry_run": dry_run, "resend": resend, "peer": peer, "after": place}
            page = await api.call("POST", "/shares/repair", document=document)
            found = page.get("items")
            items += [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
            # A server that names no new place to go on from would be asked for ever.
            place = page.get("next") if page.get("next") != place else None
            if isinstance(place, str) and terminal.draws:
                terminal.note(f"{len(items)} shares looked at ...")
    telling = [item for item in items if text_of(item, "said") or text_of(item, "act")]
    rows = (
        (*(text_of(item, field) for field in ("direction", "id", "state", "name", "party")), _said_of(item), _act_of(item))
        for item in telling
    )
    columns = ("SHARE", "ID", "STATE", "NAME", "WITH", "OTHER SIDE", "DONE")
    terminal.table(
        {"items": items, "dry_run": dry_run},
        columns,
        rows,
        empty="There is nothing to look at." if not items else "Nothing is to be said of them.",
    )
    if silent := len(items) - len(telling):
        terminal.note(f"{silent} more: nothing is to be said of them, they wait for an answer here.")
    if not resend and any(_was_not_asked(item) for item in telling):
        terminal.note(
            "Whether a server still has a share that you gave cannot be asked; to tell it again: ocm shares repair --resend"
        )


def _was_not_asked(item: dict[str, Any]) -> bool:
    return item.get("direction") == "given" and text_of(item, "said") in _WORDS


def _said_of(item: dict[str, Any]) -> str:
    said = text_of(item, "said")
    return f"{said} on {format_time(item.get('said_at'))}, not asked" if _was_not_asked(item) else said


def _act_of(item: dict[str, Any]) -> str:
    done, would = _ACTS.get(text_of(item, "act"), ("", ""))
    return done if item.get("done") else would
