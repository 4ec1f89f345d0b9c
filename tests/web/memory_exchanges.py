"""An exchange log in memory, for the web layer's tests."""

from collections.abc import Sequence

from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.services.records import Exchange, ExchangeFilter

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def exchange(number: int) -> Exchange:
    """The even ones are ours and were answered, the odd ones are a stranger's and were refused."""
    ours = number % 2 == 0
    return Exchange(
        at=1_800_000_000.0 + number,
        direction="out" if ours else "in",
        peer="peer.example.org",
        method="POST",
        url="https://peer.example.org/ocm/shares",
        status=201 if ours else 401,
        duration=0.25,
        reason="" if ours else "sig-missing",
        trace_id=TRACE if number == 2 else "",
        request_headers="authorization: Bearer ***",
        request_body='{"protocol": {"webdav": {"sharedSecret": "***"}}}',
        verified=ours,
        source="" if ours else "192.0.2.1",
        id=number,
    )


class MemoryExchanges:
    """Keeps what it was asked for; finds by direction and id alone."""

    def __init__(self) -> None:
        self.kept = {number: exchange(number) for number in range(1, 6)}
        self.asked: list[ExchangeFilter] = []

    async def find(self, wanted: ExchangeFilter, *, limit: int = 100) -> Sequence[Exchange]:
        self.asked.append(wanted)
        before = wanted.before_id or 1 << 62
        found = [each for number, each in sorted(self.kept.items(), reverse=True) if number < before]
        return [each for each in found if wanted.direction in ("", each.direction)][:limit]

    async def of_id(self, exchange_id: int) -> Exchange:
        if exchange_id not in self.kept:
            raise NotFound("There is no such exchange, or not any more.", code="exchange-unknown")
        return self.kept[exchange_id]
