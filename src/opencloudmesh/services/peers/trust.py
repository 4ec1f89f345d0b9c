"""Denylist and allowlist of servers (TRUST-1)."""

import re
from dataclasses import dataclass

_PORT = re.compile(r":\d+\Z")


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Which servers we talk to at all. A host matches an entry that equals it or, for ".example.org", ends with it.

    An entry of the denylist without a port stands for all ports of its host.
    """

    allowlist: tuple[str, ...] = ()
    denylist: tuple[str, ...] = ()

    def is_denylisted(self, host: str) -> bool:
        return _listed(host, self.denylist) or _listed(_without_port(host), self.denylist)

    def is_allowlisted(self, host: str) -> bool:
        """True too where there is no allowlist."""
        return not self.allowlist or _listed(host, self.allowlist)


def _listed(host: str, entries: tuple[str, ...]) -> bool:
    return any(host == e or (e.startswith(".") and _without_port(host).endswith(e)) for e in entries)


def _without_port(host: str) -> str:
    return _PORT.sub("", host)
