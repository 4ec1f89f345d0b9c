"""`ocm peer`: the servers that this one knows, what was decided about them, and who decided it (design decision 15).

The commands work on the server's folder; a running server follows within a second.
"""

import getpass
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter, validators

from opencloudmesh.cli.beside import parts_of
from opencloudmesh.cli.faults import UsageFault
from opencloudmesh.cli.formats import format_time, parse_moment
from opencloudmesh.cli.operator import HERE, Folder, dir_option
from opencloudmesh.cli.peer_texts import (
    consequences,
    describe_act,
    describe_entry,
    describe_key,
    describe_peer,
    entry_row,
    key_line,
    meaning,
    peer_lines,
    peer_row,
    sent_again,
    trust_lines,
)
from opencloudmesh.cli.terminal import PARAMETERS, Output, in_folder
from opencloudmesh.protocol.errors import OCMError, PeerUnreachable

if TYPE_CHECKING:
    from opencloudmesh.bootstrap import Beside
    from opencloudmesh.services.peers import Act
    from opencloudmesh.services.peers.registry import Peer

Host = Annotated[str, Parameter(name="HOST", help="The server, such as cloud.example.org.")]
Subject = Annotated[str, Parameter(name="HOST", help="The server, such as cloud.example.org; or .example.org for all below.")]
Reason = Annotated[str, Parameter(help="Why; kept in the audit log and shown beside the decision.")]
Profile = Literal["draft-05", "draft-07", "draft-cavage"]
Mode = Literal["open", "invite-only", "allowlist", "federation"]
_COLUMNS = ("HOST", "TRUST", "WHY", "DECIDED BY", "LAST CONTACT", "GIVEN", "RECEIVED", "WAITING", "KEYS", "LOOK AT")
_NOBODY = "No server is known yet, and nothing was decided: one is known once something is shared or signed."
_PAGE = 500
_LONGEST_REASON = 500


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    commands = App(name="peer", help="Other servers, and whether to deal with them.", group=group, default_parameter=PARAMETERS)
    commands.command(list_peers, name="list")
    for command in (show, allow, deny, forget, pin, unpin, acknowledge, profiles, mode, quarantine, audit):
        commands.command(command)
    app.command(commands)


async def list_peers(*, folder: Folder = HERE, output: Output = Output()) -> None:
    """List the servers that are known or decided about, and the mode that decides about all others."""
    terminal = output.terminal()
    async with _trusting(folder) as wiring:
        book, after = wiring.peers.trust, ""
        peers: list[Peer] = []
        while page := await wiring.registry.page(after=after, limit=_PAGE):
            peers += page
            after = page[-1].record.host
    shown = {peer.record.host for peer in peers}
    entries = [entry for found in (book.denies, book.allows) for entry in found.values()]
    others = [entry for entry in entries if entry.subject not in shown]
    rows = [*(entry_row(entry) for entry in others), *(peer_row(peer) for peer in peers)]
    document = {
        "mode": book.mode,
        "mode_source": book.mode_source,
        "quarantine": book.quarantine,
        "quarantine_source": book.quarantine_source,
        "warnings": list(book.warnings),
        "entries": [describe_entry(entry) for entry in entries],
        "items": [describe_peer(peer) for peer in peers],
    }
    for line in trust_lines(book):
        terminal.note(line)
    terminal.table(document, _COLUMNS, rows, empty=_NOBODY)


async def show(host: Host, /, *, folder: Folder = HERE, output: Output = Output()) -> None:
    """Show what is known of a server: the decision and where it comes from, its keys, shares and messages."""
    async with _trusting(folder) as wiring:
        peer = await wiring.registry.peer(host)
        listed_as = wiring.directories.name_of(peer.record.host)
    keys = [describe_key(key) for key in peer.keys]
    document = {**describe_peer(peer), "listed_as": listed_as, "discovery": peer.discovery, "keys": keys}
    named = [f"  The directories name it {listed_as}."] if listed_as else []
    output.terminal().show(document, *_in(folder, peer_lines(peer)), *named)


async def allow(subject: Subject, /, *, reason: Reason = "", folder: Folder = HERE, output: Output = Output()) -> None:
    """Deal with a server, whatever the mode; in the modes open and invite-only its users count as known.

    What denies a server wins over this.
    """
    async with _trusting(folder) as wiring:
        canonical, again = await wiring.trust_decisions.allow(subject, act_for(reason))
    document = {"host": canonical, "decision": "allow", "reason": reason, "deliveries_again": again}
    output.terminal().show(document, f"Allowed {canonical}{meaning(canonical)}.", *sent_again(again))


async def deny(subject: Subject, /, *, reason: Reason = "", folder: Folder = HERE, output: Output = Output()) -> None:
    """Deal no more with a server: it is refused everything, and asked for nothing."""
    async with _trusting(folder) as wiring:
        canonical, affected = await wiring.trust_decisions.deny(subject, act_for(reason))
    document = {
        "host": canonical,
        "decision": "deny",
        "reason": reason,
        "shares_given": affected.given,
        "shares_received": affected.received,
        "deliveries_waiting": affected.waiting,
        "deliveries_ended": affected.ended,
    }
    output.terminal().show(document, f"Denied {canonical}{meaning(canonical)}.", *_in(folder, consequences(canonical, affected)))


async def forget(
    subject: Subject,
    /,
    *,
    everything: Annotated[bool, Parameter(name="--all")] = False,
    reason: Reason = "",
    folder: Folder = HERE,
    output: Output = Output(),
) -> None:
    """Take a decision back: the mode decides again.

    Parameters
    ----------
    everything
        Forget all that is known of the server, its keys too. Refused while shares with it are alive.
    """
    async with _trusting(folder) as wiring:
        canonical, again = await wiring.trust_decisions.forget(subject, act_for(reason), everything=everything)
        trust = None if canonical.startswith(".") else wiring.peers.trust.explain(canonical)
    now = "" if trust is None else f" Now: {trust.sentence}"
    what = f"all that was known of {canonical}" if everything else f"the decision about {canonical}"
    document = {"host": canonical, "decision": "", "forgotten": everything, "deliveries_again": again}
    output.terminal().show(document, f"Forgot {what}.{now}", *sent_again(again))


async def pin(
    host: Host, /, *, renew: bool = False, reason: Reason = "", folder: Folder = HERE, output: Output = Output()
) -> None:
    """Take from now on only the keys that a server publishes today, and show their fingerprints.

    Parameters
    ----------
    renew
        Fetch its keys now, and pin them in place of those pinned before. Compare fingerprints with its operator first.
    """
    async with _trusting(folder) as wiring:
        try:
            keys = await wiring.trust_decisions.pin(host, act_for(reason), renew=renew)
        except PeerUnreachable as error:  # the other server: whose exit status is not that of the own one
            raise OCMError(error.sentence, code=error.code, hint=error.hint) from None
    document = {"host": keys[0].host, "pinned": True, "keys": [describe_key(key) for key in keys]}
    output.terminal().show(document, f"Pinned the keys of {keys[0].host}:", *(key_line(key) for key in keys))


async def unpin(host: Host, /, *, reason: Reason = "", folder: Folder = HERE, output: Output = Output()) -> None:
    """Take any key again that a server publishes."""
    async with _trusting(folder) as wiring:
        canonical = await wiring.trust_decisions.unpin(host, act_for(reason))
    output.terminal().show({"host": canonical, "pinned": False}, f"The keys of {canonical} are not pinned any more.")


async def acknowledge(host: Host, /, *, reason: Reason = "", folder: Folder = HERE, output: Output = Output()) -> None:
    """Settle the alert about a server's keys, after a look at them (see: ocm peer show)."""
    async with _trusting(folder) as wiring:
        canonical = await wiring.trust_decisions.acknowledge(host, act_for(reason))
    output.terminal().show({"host": canonical, "alert": ""}, f"The alert about {canonical} is settled.")


async def profiles(
    host: Host,
    /,
    *names: Annotated[Profile, Parameter(name="PROFILE", help="The kinds of signatures to take from now on.")],
    reset: bool = False,
    reason: Reason = "",
    folder: Folder = HERE,
    output: Output = Output(),
) -> None:
    """Show or change which kinds of signatures are taken from a server.

    Parameters
    ----------
    reset
        What the configuration file says holds again.
    """
    from opencloudmesh.protocol.address import parse_host

    if reset and names:
        raise UsageFault("Give profiles, or --reset.")
    async with _trusting(folder) as wiring:
        if names or reset:
            taken = await wiring.trust_decisions.set_profiles(host, names, act_for(reason))
        else:
            taken = wiring.peers.trust.signatures_of(parse_host(host)).names
    document = {"host": parse_host(host), "profiles": list(taken)}
    output.terminal().show(document, f"Signatures taken from {parse_host(host)}: {', '.join(taken)}.")


async def mode(
    name: Annotated[Mode | None, Parameter(name="MODE", help="Whose shares are taken from now on.")] = None,
    /,
    *,
    reset: bool = False,
    reason: Reason = "",
    folder: Folder = HERE,
    output: Output = Output(),
) -> None:
    """Show or change whom this server deals with: the mode decides about all servers that nobody decided about.

    Parameters
    ----------
    reset
        What the configuration file says holds again.
    """
    if reset and name:
        raise UsageFault("Give a mode, or --reset.")
    again = 0
    async with _trusting(folder) as wiring:
        if name or reset:
            _, again = await wiring.trust_decisions.set_mode(name, act_for(reason))
        book = wiring.peers.trust
    document = {"mode": book.mode, "mode_source": book.mode_source, "warnings": list(book.warnings), "deliveries_again": again}
    output.terminal().show(document, *trust_lines(book), *sent_again(again))


async def quarantine(
    state: Annotated[Literal["on", "off"] | None, Parameter(name="STATE", help="on or off.")] = None,
    /,
    *,
    reset: bool = False,
    reason: Reason = "",
    folder: Folder = HERE,
    output: Output = Output(),
) -> None:
    """Show or change whether shares of senders whom their recipient does not know are kept apart, unannounced.

    Parameters
    ----------
    reset
        What the configuration file says holds again.
    """
    if reset and state:
        raise UsageFault("Give on or off, or --reset.")
    async with _trusting(folder) as wiring:
        if state or reset:
            await wiring.trust_decisions.set_quarantine(None if reset else state == "on", act_for(reason))
        book = wiring.peers.trust
    document = {"quarantine": book.quarantine, "quarantine_source": book.quarantine_source}
    output.terminal().show(document, *trust_lines(book))


async def audit(
    *,
    peer: str | None = None,
    since: Annotated[
        str | None,
        Parameter(help="A span such as 1h or 2d, or a time such as 2030-12-31T14:00, local without an offset."),
    ] = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=1000))] = 100,
    folder: Folder = HERE,
    output: Output = Output(),
) -> None:
    """List what operators and administrators decided, the newest first.

    Parameters
    ----------
    peer
        Only what is about this server, or about a pattern such as .example.org.
    limit
        At most this many.
    """
    from opencloudmesh.protocol.trust import parse_subject

    begin = parse_moment(since, time.time()) or 0.0
    subject = parse_subject(peer) if peer is not None else None
    async with _trusting(folder) as wiring:
        acts = await wiring.registry.audit(subject=subject, since=begin, limit=limit)
    rows = ((format_time(act.at), act.actor, act.action, act.subject, act.before, act.after, act.reason) for act in acts)
    columns = ("TIME", "WHO", "WHAT", "ABOUT", "BEFORE", "AFTER", "WHY")
    document: dict[str, Any] = {"items": [describe_act(act) for act in acts]}
    output.terminal().table(document, columns, rows, empty="Nothing was decided.")


def _in(folder: Path, lines: Iterable[str]) -> Iterator[str]:
    """Lines in which commands are named, with the folder of this one."""
    return (in_folder(line, dir_option(folder)) for line in lines)


@asynccontextmanager
async def _trusting(folder: Path) -> "AsyncIterator[Beside]":
    async with parts_of(folder) as wiring:
        await wiring.load_trust()
        yield wiring


def act_for(reason: str) -> "Act":
    """An act of the operator who types this command."""
    from opencloudmesh.services.peers import Act

    if len(reason) > _LONGEST_REASON:
        raise UsageFault(f"A reason has at most {_LONGEST_REASON} characters.")
    return Act(f"operator {_user()}", reason)


def _user() -> str:
    """The name of the user of the operating system, or the number of one without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
