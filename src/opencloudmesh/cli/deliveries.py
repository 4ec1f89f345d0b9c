"""`ocm deliveries`: what other servers must still be told, what they were told, and why it failed (design decision 5)."""

from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.formats import format_time, text_of
from opencloudmesh.cli.terminal import PARAMETERS, Output

DeliveryId = Annotated[str, Parameter(name="ID", help="The id of the delivery (see: ocm deliveries).")]


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    commands = App(name="deliveries", group=group, default_parameter=PARAMETERS)
    commands.default(deliveries)
    for command in (show, retry, cancel):
        commands.command(command)
    app.command(commands)


async def deliveries(*, peer: str | None = None, failed: bool = False, output: Output = Output()) -> None:
    """List the messages to other servers and what became of them.

    Parameters
    ----------
    peer
        Only those to this server.
    failed
        Only those that failed: given up, or waiting after a failed try.
    """
    from opencloudmesh.cli.client import signed_in

    async with signed_in() as (api, _):
        query = ({"peer": peer.strip().lower()} if peer is not None else {}) | ({"failed": "true"} if failed else {})
        items = await api.items("/deliveries", query=query)
    rows = (
        (*(text_of(item, field) for field in ("id", "state", "kind", "peer", "attempts")), _next_try(item), _reason_of(item))
        for item in items
    )
    columns = ("ID", "STATE", "KIND", "PEER", "TRIES", "NEXT TRY", "REASON")
    output.terminal().table({"items": items}, columns, rows, empty="There are no such deliveries.")


async def show(delivery: DeliveryId, /, *, output: Output = Output()) -> None:
    """Show one delivery with every try."""
    from opencloudmesh.cli.client import item_path, signed_in

    async with signed_in() as (api, _):
        item = await api.call("GET", item_path("deliveries", delivery))
    attempts = item.get("attempts")
    tries = [attempt for attempt in attempts if isinstance(attempt, dict)] if isinstance(attempts, list) else []
    output.terminal().show(
        item,
        f"{text_of(item, 'kind')} to {text_of(item, 'peer')}: {text_of(item, 'state')}",
        *(f"{format_time(attempt.get('at'))}  {_reason_of(attempt) or 'delivered'}" for attempt in tries),
        *([f"Trace id, for the servers' operators: {item['trace_id']}"] if item.get("trace_id") else []),
    )


async def retry(delivery: DeliveryId, /, *, output: Output = Output()) -> None:
    """Try a delivery again now, even one that was given up."""
    item = await _act(delivery, "retry")
    output.terminal().show(item, f"Delivery {text_of(item, 'id')} to {text_of(item, 'peer')} is tried now; see: ocm deliveries")


async def cancel(delivery: DeliveryId, /, *, output: Output = Output()) -> None:
    """Give up a delivery."""
    item = await _act(delivery, "cancel")
    output.terminal().show(item, f"Delivery {text_of(item, 'id')} to {text_of(item, 'peer')} is given up.")


async def _act(delivery: str, action: str) -> dict[str, Any]:
    from opencloudmesh.cli.client import item_path, signed_in

    async with signed_in() as (api, _):
        return await api.call("POST", item_path("deliveries", delivery, action))


def _next_try(item: dict[str, Any]) -> str:
    return format_time(item.get("due_at")) if item.get("state") == "queued" else ""


def _reason_of(item: dict[str, Any]) -> str:
    reason, detail = text_of(item, "reason"), text_of(item, "detail")
    status = f"HTTP {item['http_status']}" if item.get("http_status") else ""
    return ": ".join(part for part in (reason or status, detail) if part) if reason else ""
