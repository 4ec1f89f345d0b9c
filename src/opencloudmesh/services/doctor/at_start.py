"""A look at our own server through its public address, once after its start; one line of the log says how that ended.

Rules kept here: serving neither waits for it nor ends with it, whatever it meets; where the public address leads nowhere yet (a
reverse proxy that starts later), it is tried once more, and then it is only said that nothing could be looked at; nothing is
changed by it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.services.doctor.discovery import WELL_KNOWN, look_at_discovery
from opencloudmesh.services.doctor.findings import Finding, Outcome, Seen
from opencloudmesh.services.doctor.key_set import look_at_keys
from opencloudmesh.services.doctor.looks import look
from opencloudmesh.services.doctor.own import judge_identity
from opencloudmesh.services.doctor.self_check import credential
from opencloudmesh.services.doctor.through_proxy import look_at_arrival, look_at_signature
from opencloudmesh.services.doctor.visit import Instruments, OwnVisit
from opencloudmesh.services.doctor.walk import Step, walk
from opencloudmesh.services.ports import Signer, TokenIssuer

_log = structlog.get_logger(__name__)
PAUSES: Final = (1.0, 30.0)
_NOWHERE: Final = frozenset({"dns", "tcp-refused", "tcp-timeout", "address-refused", "idle-timeout"})
"""From here the address leads nowhere; for others it may."""


class StartCheck:
    """Runs beside a server that has just started to serve."""

    def __init__(
        self,
        *,
        instruments: Instruments,
        origin: str,
        discovery: Callable[[], Mapping[str, Any]],
        signer: Signer,
        issuer: TokenIssuer,
        trusts_proxy: Callable[[str], bool],
        pauses: Sequence[float] = PAUSES,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`discovery` builds our document; `trusts_proxy`: whether `limits.trusted_proxies` names an address; `pauses` are the
        seconds before each look."""
        self._tools = instruments
        self._origin = origin
        self._discovery = discovery
        self._signer = signer
        self._issuer = issuer
        self._trusts_proxy = trusts_proxy
        self._pauses = pauses
        self._pause = pause

    async def run(self) -> None:
        """Look, and say in one line how that ended; never raises."""
        try:
            await self._run()
        except Exception:
            _log.exception("self-check-broken")

    async def _run(self) -> None:
        nowhere: Finding | None = None
        for seconds in self._pauses:
            await self._pause(seconds)
            nowhere = await self._leads_nowhere()
            if nowhere is None:
                self._tell(await self._findings())
                return
        if nowhere is not None:
            _log.warning("self-check-skipped", origin=self._origin, reason=nowhere.code, detail=nowhere.sentence, hint=nowhere.us)

    async def _leads_nowhere(self) -> Finding | None:
        seen = await look(self._tools.http, self._tools.clock, "GET", self._origin + WELL_KNOWN)
        if seen.error is None or seen.error.code not in _NOWHERE:
            return None
        hint = "If others reach this server, nothing; to see what they see, run ocm doctor on another machine."
        return Finding(Outcome.WARN, seen.error.code, f"{self._origin} is not reached from here: {seen.error.sentence}", hint)

    async def _findings(self) -> list[Finding]:
        visit = OwnVisit(
            host_of_url(self._origin), self._origin, True, self._tools, signer=self._signer, trusts_proxy=self._trusts_proxy
        )
        visit.credential = credential(self._issuer, self._origin, self._tools.clock())

        async def identity(visit: OwnVisit) -> Seen:
            return judge_identity(visit, self._discovery())

        steps: tuple[Step[OwnVisit], ...] = (
            Step("discovery", look_at_discovery),
            Step("keys", look_at_keys, after=("discovery",)),
            Step("identity", identity, needs=("discovery", "keys")),
            Step("arrival", look_at_arrival, after=("identity",)),
            Step("signature", look_at_signature, needs=("arrival",)),
        )
        results = await walk(steps, visit)
        return [finding for result in results for finding in result.seen.findings]

    def _tell(self, findings: Sequence[Finding]) -> None:
        wrong = [finding for outcome in (Outcome.FAIL, Outcome.WARN) for finding in findings if finding.outcome is outcome]
        if not wrong:
            _log.info("self-check", origin=self._origin, detail="Others reach this server, and its signatures hold.")
            return
        first = wrong[0]
        event = "self-check-failed" if first.outcome is Outcome.FAIL else "self-check"
        more = f"{len(wrong) - 1} more: ocm doctor" if len(wrong) > 1 else "ocm doctor"
        _log.warning(event, origin=self._origin, reason=first.code, detail=first.sentence, hint=first.us, see=more)
