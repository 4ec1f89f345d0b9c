"""The walk of `ocm doctor PEER`: what stands between our server and another one.

Rules kept here: nothing is changed, here or there, but that what a server refused, because it did not deal with ours, is tried
again where it takes the signed message; a server that we do not deal with is not asked for anything (TRUST-1).
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from opencloudmesh.protocol.address import host_of_url, parse_host
from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.services.doctor.discovery import look_at_clock, look_at_discovery, look_at_legacy
from opencloudmesh.services.doctor.findings import Outcome, Seen
from opencloudmesh.services.doctor.key_set import look_at_keys
from opencloudmesh.services.doctor.our_side import Explain, OurSide
from opencloudmesh.services.doctor.reaching import look_at_dns, look_at_tcp, look_at_tls
from opencloudmesh.services.doctor.signed_message import look_at_signed
from opencloudmesh.services.doctor.visit import Instruments, Visit
from opencloudmesh.services.doctor.walk import WALK_SECONDS, Report, Step, walk
from opencloudmesh.services.doctor.webdav_root import look_at_webdav
from opencloudmesh.services.ports import Database, Signer

_NETWORK: Final[tuple[Step[Visit], ...]] = (
    Step("dns", look_at_dns, needs=("trust",), seconds=4.0),
    Step("tcp", look_at_tcp, needs=("dns",), seconds=4.5),
    Step("tls", look_at_tls, needs=("tcp",), seconds=5.0),
    Step("discovery", look_at_discovery, needs=("tls",)),
    Step("legacy", look_at_legacy, needs=("tls",), after=("discovery",)),
    Step("keys", look_at_keys, needs=("tls",), after=("discovery",)),
    Step("clock", look_at_clock, needs=("tls",), after=("discovery",)),
    Step("signed", look_at_signed, needs=("discovery",)),
    Step("webdav", look_at_webdav, needs=("discovery",)),
)


def read_peer(text: str) -> str:
    """The host in what a person types: a host, a URL or an OCM Address; raises `InvalidInput` (host-invalid)."""
    bare = text.strip()
    if "://" in bare:
        return host_of_url(bare)
    try:
        return parse_host(bare.rpartition("@")[2].rstrip("/"))
    except InvalidInput as error:
        hint = "Give the other server as its addresses have it, such as cloud.example.org."
        raise InvalidInput(f'"{bare[:100]}" is no server: {error.sentence}', code=error.code, hint=hint) from None


class PeerDoctor:
    """Looks at one other server."""

    def __init__(
        self,
        *,
        instruments: Instruments,
        explain: Explain,
        database: Database,
        signer: Signer,
        ask_again: Callable[[str], Awaitable[int]] | None = None,
    ) -> None:
        """`ask_again` tries again what a server refused; it returns how many messages that are."""
        self._ask_again = ask_again
        self._instruments = instruments
        self._explain = explain
        self._db = database
        self._signer = signer

    async def examine(self, peer: str, *, seconds: float = WALK_SECONDS) -> Report:
        """Walk through all steps; raises `InvalidInput` (host-invalid) for what names no server, and nothing else."""
        tools = self._instruments
        host = read_peer(peer)
        visit = Visit(host, tools.http.origin_of(host), False, tools, self._signer)
        results = await walk(self._steps(host), visit, seconds=seconds)
        report = Report(host, False, tools.clock(), results)
        signed = report.of("signed")
        if self._ask_again is None or signed.outcome is not Outcome.OK or signed.seen.findings:
            return report
        return replace(report, tried_again=await self._ask_again(host))

    def _steps(self, host: str) -> tuple[Step[Visit], ...]:
        side = OurSide(host=host, explain=self._explain, database=self._db, clock=self._instruments.clock)

        async def trust(_: Visit) -> Seen:
            return await side.trust()

        async def deliveries(_: Visit) -> Seen:
            return await side.deliveries()

        async def contact(_: Visit) -> Seen:
            return await side.contact()

        return (Step("trust", trust), *_NETWORK, Step("contact", contact), Step("deliveries", deliveries))
