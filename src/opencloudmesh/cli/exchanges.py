"""`ocm log`: every exchange with other servers, in and out: what was asked, what was answered, and why something failed."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from cyclopts import App, Group, Parameter, validators

from opencloudmesh.cli.beside import parts_of
from opencloudmesh.cli.faults import UsageFault
from opencloudmesh.cli.formats import format_time, parse_moment, parse_trace, short_trace
from opencloudmesh.cli.operator import HERE, Folder, dir_option
from opencloudmesh.cli.terminal import PARAMETERS, Output, Terminal, clean, in_folder

if TYPE_CHECKING:
    from opencloudmesh.services.exchanges import Exchanges
    from opencloudmesh.services.records import Exchange, ExchangeFilter

Time = Annotated[
    str | None,
    Parameter(help="A span such as 30m, 1h or 2d, or a time such as 2030-12-31T14:00, local without an offset."),
]
_REASON = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_COLUMNS = ("ID", "TIME", "", "PEER", "REQUEST", "STATUS", "SECONDS", "TRACE", "ABOUT", "REASON")
_FOLLOW_SECONDS = 1.0
_FOLLOWED = 500


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    commands = App(name="log", group=group, default_parameter=PARAMETERS)
    commands.default(log)
    commands.command(show)
    app.command(commands)


async def log(
    *,
    peer: str | None = None,
    since: Time = None,
    until: Time = None,
    trace: str | None = None,
    direction: Literal["in", "out"] | None = None,
    failed: bool = False,
    reason: str | None = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=1000))] = 50,
    body: bool = False,
    follow: bool = False,
    folder: Folder = HERE,
    output: Output = Output(),
) -> None:
    """List what this server and others asked of each other, the newest last. The server may be running.

    A peer with a question mark is what a request said of itself, and did not prove.

    Parameters
    ----------
    peer
        Only exchanges with this server.
    since
        Only those since then.
    until
        Only those before then.
    trace
        Only those of one trace: all that one act caused. Its id, or the first eight digits of it.
    direction
        Only those that others began (in), or that we began (out).
    failed
        Only those that failed.
    reason
        Only those that ended with this reason code.
    limit
        The most to list, 1000 at most; the newest are.
    body
        Print each one whole, with headers and bodies.
    follow
        Go on and print what comes, until Ctrl-C.
    """
    from opencloudmesh.services.records import ExchangeFilter

    now = time.time()
    wanted = ExchangeFilter(
        peer=_host(peer),
        since=parse_moment(since, now),
        until=parse_moment(until, now),
        trace_id=parse_trace(trace),
        direction=direction or "",
        failed=failed,
        reason=_reason(reason),
    )
    if wanted.since and wanted.until and wanted.since >= wanted.until:
        raise UsageFault("Nothing lies between --since and --until.", code="time-invalid", hint="Give --until a later time.")
    terminal = output.terminal()
    async with parts_of(folder) as wiring:
        found = (await wiring.exchanges.find(wanted, limit=limit))[::-1]
        if follow:
            await _follow(terminal, wiring.exchanges, wanted, found, body=body)
            return
    if body and found and not terminal.json:
        terminal.show(None, *_whole(found))
        return
    rows = [_row(exchange) for exchange in found]
    terminal.table({"items": [describe(exchange) for exchange in found]}, _COLUMNS, rows, empty="There are no such exchanges.")
    if any(exchange.failed for exchange in found):
        terminal.note(in_folder("Why one of them failed, and what to do: ocm log show ID", dir_option(folder)))


async def show(
    exchange: Annotated[int, Parameter(name="ID", help="The id of the exchange (see: ocm log).")],
    /,
    *,
    folder: Folder = HERE,
    output: Output = Output(),
) -> None:
    """Show one exchange: headers and bodies without secrets, why it failed, and what to do."""
    async with parts_of(folder) as wiring:
        found = await wiring.exchanges.of_id(exchange)
    output.terminal().show(describe(found), *_lines(found, dir_option(folder)))


async def _follow(
    terminal: Terminal, log: "Exchanges", wanted: "ExchangeFilter", found: Sequence["Exchange"], *, body: bool
) -> None:
    """Print what is there, and then what comes."""
    import asyncio
    from dataclasses import replace

    newest = max((exchange.id for exchange in await log.find(type(wanted)(), limit=1)), default=0)
    while True:
        for exchange in found:
            print(*map(clean, _followed(exchange, terminal, body=body)), sep="\n", flush=True)
            newest = max(newest, exchange.id)
        await asyncio.sleep(_FOLLOW_SECONDS)
        found = (await log.find(replace(wanted, after_id=newest), limit=_FOLLOWED))[::-1]


def _followed(exchange: "Exchange", terminal: Terminal, *, body: bool) -> Sequence[str]:
    if terminal.json:
        return [json.dumps(describe(exchange))]
    return _whole([exchange]) if body else ["  ".join(_row(exchange)).rstrip()]


def _whole(found: Sequence["Exchange"]) -> list[str]:
    return [line for exchange in found for line in (f"Exchange {exchange.id}", *_lines(exchange), "")]


def describe(exchange: "Exchange") -> dict[str, Any]:
    """The exchange as JSON."""
    from opencloudmesh.services.exchanges.explaining import read

    return asdict(exchange) | {"failed": exchange.failed, "diagnosis": read(exchange.diagnosis) or None}


def _row(exchange: "Exchange") -> tuple[str, ...]:
    return (
        str(exchange.id),
        format_time(exchange.at, "%m-%d %H:%M:%S"),
        {"in": "<-", "out": "->"}.get(exchange.direction, exchange.direction),
        _peer(exchange),
        f"{exchange.method} {_target(exchange.url)}".strip(),
        str(exchange.status or "none"),
        f"{exchange.duration:.3f}",
        short_trace(exchange.trace_id),
        _about(exchange),
        _why(exchange),
    )


def _peer(exchange: "Exchange") -> str:
    if exchange.direction == "out" or exchange.verified:
        return exchange.peer
    return f"{exchange.peer}?" if exchange.peer else exchange.source


def _target(url: str) -> str:
    """Path and query: which server it is stands beside it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "") if parts.netloc else url


def _about(exchange: "Exchange") -> str:
    """What a message is about: the share, and what is said of it."""
    try:
        message = json.loads(exchange.request_body)
    except ValueError:
        return ""
    if not isinstance(message, dict):
        return ""
    kind = message.get("notificationType") or (f"share for {message['shareWith']}" if "shareWith" in message else "")
    return f"{kind} {message.get('providerId', '')}".strip() if kind else ""


def _why(exchange: "Exchange") -> str:
    return ": ".join(part for part in (exchange.reason, exchange.detail) if part)


def _lines(exchange: "Exchange", there: str = "") -> list[str]:
    from opencloudmesh.cli.advice import advice_on

    arrow = "from" if exchange.direction == "in" else "to"
    who = exchange.peer or "an unknown server"
    proof = " (not proved)" if exchange.direction == "in" and exchange.peer and not exchange.verified else ""
    source = f", address {exchange.source}" if exchange.source else ""
    lines = [
        f"{exchange.method} {exchange.url}",
        f"{arrow} {who}{proof}{source}, {format_time(exchange.at, f'%Y-%m-%d %H:%M:%S.{int(exchange.at % 1 * 1000):03d}')}, "
        f"{exchange.duration:.3f} seconds",
        f"Answer: {exchange.status or 'none'}",
    ]
    if why := _why(exchange):
        lines.append(f"Reason: {why}" if exchange.reason else f"Detail: {why}")
    if exchange.reason and (advice := advice_on(exchange.reason, exchange.detail)):
        lines += [f"Meaning: {advice.means}", f"What to do: {advice.what_to_do}"]
    lines += _diagnosis(exchange)
    for title, text in (
        ("Request headers", exchange.request_headers),
        ("Request body", _indented(exchange.request_body)),
        ("Answer headers", exchange.answer_headers),
        ("Answer body", _indented(exchange.answer_body)),
    ):
        if text:
            lines += ["", f"{title}:", *(f"  {line}" for line in text.splitlines())]
    return [*lines, "", f"All of this trace: ocm log --trace {exchange.trace_id}{there}"] if exchange.trace_id else lines


def _diagnosis(exchange: "Exchange") -> list[str]:
    from opencloudmesh.services.exchanges.explaining import read, sentence_of

    found = read(exchange.diagnosis)
    sentence = sentence_of(found)
    lines = [f"Explanation: {sentence}"] if sentence else []
    if found.get("label"):
        covered = ", ".join(map(str, found.get("covered", ()))) or "nothing"
        lines += ["", f"Signature {found['label']}, key {found.get('keyid') or 'not named'}", f"  covers: {covered}"]
        lines.append(f"  {found.get('profile')} asks for: {', '.join(map(str, found.get('required', ())))}")
    if found.get("base"):
        lines += ["", "What was verified, as it arrived here (the signature base):", *(f"  {line}" for line in found["base"])]
    return lines


def _indented(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def _host(text: str | None) -> str:
    """The server of an address, a URL or a host, as the log names it."""
    if text is None:
        return ""
    from opencloudmesh.services.doctor.peer import read_peer

    return read_peer(text)


def _reason(text: str | None) -> str:
    """A reason code, which need not be one of ours: of a peer's answer it is the status."""
    if text is not None and not _REASON.fullmatch(text):
        hint = "Reason codes are listed in docs/reason-codes.md; http-404 is one, too."
        raise UsageFault(f'"{text}" is no reason code.', code="reason-invalid", hint=hint)
    return text or ""
