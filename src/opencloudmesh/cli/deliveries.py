"""`ocm deliveries`: what other servers must still be told, what they were told, and why it failed (design decision 5)."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.faults import UsageFault
from opencloudmesh.cli.formats import format_time, format_wait, parse_trace, short_trace, text_of
from opencloudmesh.cli.terminal import PARAMETERS, Output, Terminal
from opencloudmesh.cli.whose_deliveries import Whose, source_of

_MOST_SAID: Final = 160
DeliveryId = Annotated[str, Parameter(name="ID", help="The id of the delivery (see: ocm deliveries).")]


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    commands = App(name="deliveries", group=group, default_parameter=PARAMETERS)
    commands.default(deliveries)
    for command in (show, retry, cancel):
        commands.command(command)
    app.command(commands)


async def deliveries(
    *,
    peer: str | None = None,
    failed: bool = False,
    trace: str | None = None,
    whose: Whose = Whose(),
    output: Output = Output(),
) -> None:
    """List the messages to other servers and what became of them.

    Parameters
    ----------
    peer
        Only those to this server.
    failed
        Only those that failed: given up, or waiting because a try failed or their server is not reached.
    trace
        Only those of one trace: all that one act caused. Its id, or the first eight digits of it.
    """
    wanted, host = parse_trace(trace), None if peer is None else peer.strip().lower()
    async with source_of(whose) as source:
        found = await source.items(peer=host, failed=failed)
    items = [each for each in found if text_of(each, "trace_id").startswith(wanted)]
    users = ("user",) if whose.every else ()
    now = time.time()
    rows = [
        (
            text_of(item, "id"),
            *(text_of(item, field) for field in users),
            _state_of(item),
            *(text_of(item, field) for field in ("kind", "peer", "attempts")),
            _next_try(item, now),
            short_trace(text_of(item, "trace_id")),
            why_undelivered(item),
        )
        for item in items
    ]
    columns = ("ID", *(("USER",) if users else ()), "STATE", "KIND", "PEER", "TRIES", "NEXT TRY", "TRACE", "REASON")
    terminal = output.terminal()
    terminal.table({"items": items}, columns, rows, empty="There are no such deliveries.")
    for note in _notes(items, whose.options):
        terminal.note(note)


def _notes(items: Sequence[Mapping[str, Any]], whose: str = "") -> Iterator[str]:
    """What to do about what waits, and what becomes of what was refused."""
    waiting = sorted({text_of(item, "peer") for item in items if item.get("state") == "queued" and item.get("reason")})
    if waiting:
        yield f"To try now what waits: ocm deliveries retry --peer {waiting[0] if len(waiting) == 1 else 'PEER'}{whose}"
    for peer in sorted({text_of(item, "peer") for item in items if is_refused(item)}):
        yield (
            f"{peer} does not deal with your server: that is for its operator to decide. "
            "What it refused goes out by itself when that ends, within hours; to try it now: "
            f"ocm deliveries retry ID{whose}, or all: ocm deliveries retry --peer {peer}{whose}; "
            f"to give one up: ocm deliveries cancel ID{whose}"
        )


def is_refused(item: Mapping[str, Any]) -> bool:
    """Whether it ended because the other server does not deal with ours."""
    return item.get("state") in ("dead", "failed") and item.get("reason") == "refused-by-peer"


async def show(delivery: DeliveryId, /, *, whose: Whose = Whose(), output: Output = Output()) -> None:
    """Show one delivery with every try."""
    async with source_of(whose) as source:
        item = await source.item(delivery)
    attempts = item.get("attempts")
    tries = [attempt for attempt in attempts if isinstance(attempt, dict)] if isinstance(attempts, list) else []
    output.terminal().show(
        item,
        f"{text_of(item, 'kind')} to {text_of(item, 'peer')}{_for(item)}: {_state_of(item)}",
        *(f"{format_time(attempt.get('at'), '%Y-%m-%d %H:%M:%S')}  {_reason_of(attempt) or 'delivered'}" for attempt in tries),
        *waiting_for(item),
        *_advice(item),
        *([f"Trace id, for the servers' operators: {item['trace_id']}"] if item.get("trace_id") else []),
    )


async def retry(
    delivery: Annotated[str | None, Parameter(name="ID", help="The id of the delivery (see: ocm deliveries).")] = None,
    /,
    *,
    peer: str | None = None,
    whose: Whose = Whose(),
    output: Output = Output(),
) -> None:
    """Try a delivery again now, even one that was given up; or all to one server.

    Parameters
    ----------
    peer
        All to this server: what waits, and what failed and is still true.
    """
    if peer is not None and delivery is None:
        await _retry_all(peer.strip().lower(), whose, output)
        return
    if delivery is None or peer is not None:
        raise UsageFault("Give the id of a delivery, or --peer HOST.", hint="ocm deliveries shows both.")
    item = await _act(delivery, "retry", whose)
    terminal = output.terminal()
    terminal.show(
        item,
        f"Delivery {text_of(item, 'id')} to {text_of(item, 'peer')}{_for(item)} is tried now; see: ocm deliveries{whose.options}",
    )
    _say_when(terminal, whose)


def _for(item: Mapping[str, Any]) -> str:
    return f" for {text_of(item, 'user')}" if item.get("user") else ""


def _say_when(terminal: Terminal, whose: Whose) -> None:
    if whose.every:
        terminal.note("It goes out within half a minute, where the server runs and reaches the other one.")


async def _retry_all(peer: str, whose: Whose, output: Output) -> None:
    async with source_of(whose) as source:
        tried = await source.retry_all(peer)
    number = tried.get("messages")
    what = "Nothing waits for" if not number else f"{number} {'message is' if number == 1 else 'messages are'} tried now, to"
    see = f"; see: ocm deliveries{whose.options}" if number else "."
    terminal = output.terminal()
    terminal.show(tried, f"{what} {text_of(tried, 'peer')}{see}")
    if number:
        _say_when(terminal, whose)


async def cancel(delivery: DeliveryId, /, *, whose: Whose = Whose(), output: Output = Output()) -> None:
    """Give up a delivery."""
    item = await _act(delivery, "cancel", whose)
    output.terminal().show(item, f"Delivery {text_of(item, 'id')} to {text_of(item, 'peer')}{_for(item)} is given up.")


async def _act(delivery: str, action: str, whose: Whose) -> dict[str, Any]:
    async with source_of(whose) as source:
        return await source.act(delivery, action)


def waiting_for(item: dict[str, Any]) -> tuple[str, ...]:
    """Say when a waiting delivery is tried next, and why then; nothing where it is under way or has ended."""
    if held := held_back(item):
        return (f"{held[0].upper()}{held[1:]}",)
    following = _following(item)
    at = _at(following)
    sentences = {
        "due": "Next try: as soon as there is a place for it, and nothing older of its share waits.",
        "back-off": f"Next try: {at}; back-off: the wait grows with every try that failed.",
        "retry-after": f"Next try: {at}; the other server named that time (Retry-After).",
    }
    return tuple(sentences[why] for why in (text_of(following, "why"),) if why in sentences)


def held_back(item: Mapping[str, Any]) -> str:
    """Say so where a delivery waits because its server is not reached."""
    following = _following(item)
    if following.get("why") != "breaker-open":
        return ""
    reason = text_of(following, "reason")
    return (
        f"held back: {text_of(item, 'peer')} was not reached since {format_time(following.get('since'))}"
        f"{f' ({reason})' if reason else ''}, asked again {_at(following)}"
    )


def _at(following: Mapping[str, Any]) -> str:
    """When: how long it is until then, and the time."""
    wait, at = format_wait(following.get("at"), time.time()), format_time(following.get("at"), "%Y-%m-%d %H:%M:%S")
    return wait if wait == "now" else f"{wait} ({at})" if wait.startswith("in ") else f"at {at}"


def _advice(item: Mapping[str, Any]) -> tuple[str, ...]:
    """What the reason means that a delivery waits or was given up for, and what to do."""
    from opencloudmesh.cli.advice import advice_on

    why = text_of(item, "reason")
    advice = advice_on(why, text_of(item, "detail")) if item.get("state") != "done" else None
    return (f"Meaning: {advice.means}", f"What to do: {advice.what_to_do}") if advice else ()


def _following(item: Mapping[str, Any]) -> dict[str, Any]:
    found = item.get("next_try")
    return found if isinstance(found, dict) else {}


def _next_try(item: dict[str, Any], now: float) -> str:
    return format_wait(_following(item).get("at", item.get("due_at")), now) if item.get("state") == "queued" else ""


def why_undelivered(item: Mapping[str, Any]) -> str:
    """How the last try ended, with what the other server said, as far as that is short; of what was never tried, why it is held
    back."""
    return _reason_of(item, longest=_MOST_SAID) or held_back(item)


def _state_of(item: Mapping[str, Any]) -> str:
    """What its own user made pointless is no failure."""
    is_overtaken = item.get("state") == "dead" and item.get("reason") == "overtaken"
    return "not needed" if is_overtaken else text_of(item, "state")


def _reason_of(item: Mapping[str, Any], longest: int | None = None) -> str:
    reason, detail = text_of(item, "reason"), text_of(item, "detail")
    detail = detail if longest is None or len(detail) <= longest else f"{detail[:longest]}..."
    status = f"HTTP {item['http_status']}" if item.get("http_status") else ""
    return ": ".join(part for part in (reason or status, detail) if part) if reason else ""
