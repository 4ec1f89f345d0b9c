"""The end: every pair agrees on every share, nothing acknowledged is lost, nothing is doubled, nothing waits."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.chaos.acting import Record
from tests.chaos.behind import Row, Stored
from tests.chaos.server import ChaosServer
from tests.crash.agreement import AGREE, AGREE_WITH_EXPIRY

_ANSWERED_THEN = {
    "accepted": {"accepted", "revoked", "expired", "left"},
    "declined": {"declined", "revoked"},
}
"""Answer that was acknowledged to the receiver -> states in which the share may be at the end."""


class Judge:
    """Compares what stands in the databases with each other, and with what users were told."""

    def __init__(self, servers: Sequence[ChaosServer], stored: Sequence[Stored], records: Sequence[Record]) -> None:
        self._servers = servers
        self._stored = stored
        self._told = {record.provider_id: record for record in records if record.provider_id}
        self._incoming: dict[str, list[tuple[ChaosServer, Row]]] = defaultdict(list)
        for server, one in zip(servers, stored, strict=True):
            for row in one.incoming:
                self._incoming[row["provider_id"]].append((server, row))
        self._by_host = {server.host: number for number, server in enumerate(servers)}
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.dead: Counter[tuple[str, str, str]] = Counter()

    def violations(self) -> list[str]:
        """Everything that is wrong."""
        return [*self._lost(), *self._disagreements(), *self._strays(), *self._deliveries()]

    # ------------------------------------------------------------ shares
    def _outgoing(self) -> Iterator[tuple[ChaosServer, Row]]:
        for server, one in zip(self._servers, self._stored, strict=True):
            for row in one.outgoing:
                yield server, row

    def _lost(self) -> Iterator[str]:
        given = {row["provider_id"]: row for _, row in self._outgoing()}
        for provider_id, record in self._told.items():
            row = given.get(provider_id)
            if row is None:
                yield self._describe(provider_id, "was acknowledged (201), and is gone")
                continue
            if record.unshared_at is not None and row["state"] != "revoked":
                yield self._describe(provider_id, f"its unshare was acknowledged, and it is {row['state']}")
            yield from self._lost_answers(provider_id, record)

    def _lost_answers(self, provider_id: str, record: Record) -> Iterator[str]:
        if not record.answered:
            return
        states = [row["state"] for _, row in self._incoming[provider_id]]
        allowed = {"left"} if record.left else _ANSWERED_THEN[record.answered]
        if len(states) != 1 or states[0] not in allowed:
            told = "left" if record.left else record.answered
            yield self._describe(provider_id, f"its receiver was told that it is {told}, and it is {states}")

    def _disagreements(self) -> Iterator[str]:
        for _, row in self._outgoing():
            there = self._incoming[row["provider_id"]]
            if len(there) > 1:
                yield self._describe(row["provider_id"], f"is stored {len(there)} times")
                continue
            if there and there[0][0].host != row["peer"]:
                yield self._describe(row["provider_id"], f"is for {row['peer']}, and is stored at {there[0][0].host}")
            state = there[0][1]["state"] if there else None
            self.pairs[row["state"], state or "(absent)"] += 1
            table = AGREE if row["expires_at"] is None else AGREE_WITH_EXPIRY
            if state not in table.get(row["state"], frozenset()):
                yield self._describe(row["provider_id"], f"is {row['state']} ({row['reason']}) here and {state} there")

    def _strays(self) -> Iterator[str]:
        given = {row["provider_id"] for _, row in self._outgoing()}
        for provider_id, there in self._incoming.items():
            if there and provider_id not in given:
                yield self._describe(provider_id, "is known at its receiver's server, and not at its sender's")

    # ------------------------------------------------------------ deliveries
    def _deliveries(self) -> Iterator[str]:
        for server, one in zip(self._servers, self._stored, strict=True):
            given = {row["id"]: row for row in one.outgoing}
            taken = {row["id"]: row for row in one.incoming}
            for row in one.deliveries:
                share = given.get(row["outgoing_share_id"]) or taken.get(row["incoming_share_id"])
                assert share is not None
                if row["state"] in ("queued", "leased"):
                    yield self._describe(share["provider_id"], f"{row['kind']} of {server.name} is still {row['state']}")
                if row["state"] == "dead":
                    self.dead[row["kind"], row["reason"], share["state"]] += 1
                    if not self._is_explained(row, share):
                        yield self._describe(share["provider_id"], f"{row['kind']} of {server.name} is dead: {row['reason']}")

    def _is_explained(self, row: Row, share: Row) -> bool:
        """Dead is only what nobody needs to hear any more."""
        if row["reason"] == "overtaken":
            # it may have arrived all the same, and have been declined, before its end
            return share["state"] in ("revoked", "expired", "left") or share["expires_at"] is not None
        if row["kind"] == "SHARE_UNSHARED":  # the share itself never arrived: tried, and perhaps lost on the way
            return row["reason"] == "http-403" and not self._incoming[share["provider_id"]]
        # the end had come already by the receiver's clock
        return row["kind"] == "SHARE_CREATION" and row["reason"] == "http-400" and share["expires_at"] is not None

    # ------------------------------------------------------------ words
    def _describe(self, provider_id: str, what: str) -> str:
        """What is wrong, with all that is known of the share."""
        lines = [f"share {provider_id} {what}"]
        record = self._told.get(provider_id)
        if record is not None:
            lines += [f"    {record.life}", f"    users were told: {_told(record)}", *(f"    {line}" for line in record.log)]
        for server, one in zip(self._servers, self._stored, strict=True):
            for kind, rows in (("outgoing", one.outgoing), ("incoming", one.incoming)):
                for row in rows:
                    if row["provider_id"] == provider_id:
                        lines.append(f"    {kind} at {server.name}: {_short(row)}")
                        lines += [
                            f"        {_short(found)}" for found in one.deliveries if found[f"{kind}_share_id"] == row["id"]
                        ]
        return "\n".join(lines)


def _told(record: Record) -> str:
    unshared = "" if record.unshared_at is None else ", unshared"
    return f"{record.answered or 'no answer'}{', left' if record.left else ''}{unshared}"


_SHOWN = ("id", "kind", "state", "reason", "detail", "http_status", "attempts", "created_at", "changed_at", "expires_at")


def _short(row: Mapping[str, Any]) -> str:
    shown = {name: row[name] for name in _SHOWN if name in row}
    return ", ".join(f"{name} {round(value, 2) if isinstance(value, float) else value}" for name, value in shown.items())
