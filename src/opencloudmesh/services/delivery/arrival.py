"""Whether a peer may have got a message, as far as the record of the tries tells (see the package).

Rule: only a try that certainly did not reach the peer's application, or was refused by it, counts as not arrived. What nobody
wrote down, as after kill -9, may have arrived.
"""

from collections.abc import Sequence

from opencloudmesh.protocol.lifecycle import DONE, LEASED
from opencloudmesh.services.records import Delivery, DeliveryAttempt

_NOT_SENT = frozenset(
    {
        "dns", "address-refused", "scheme-refused", "tcp-refused", "tcp-timeout",
        "tls", "tls-untrusted", "tls-name", "tls-expired",
        "discovery-not-json", "discovery-invalid", "discovery-disabled",
        "policy-denied", "refused-by-peer", "exchange-not-offered", "time-to-live", "overtaken",
    }
)  # fmt: skip
_NOT_REFUSED = frozenset({"http-408", "http-409"})
"""The peer may have had the message before it said so, or has it already."""


def may_have_arrived(delivery: Delivery, tries: Sequence[DeliveryAttempt]) -> bool:
    """Whether the peer may have the message; `tries` are those on record."""
    if delivery.state in (DONE, LEASED) or delivery.attempts > len(tries):
        return True
    return any(_may_have_arrived(attempt.reason) for attempt in tries)


def is_open_question(tries: Sequence[DeliveryAttempt]) -> bool:
    """Whether an earlier try ended without the peer's word on the message."""
    return any(_may_have_arrived(attempt.reason) and attempt.reason != "http-409" for attempt in tries)


def _may_have_arrived(reason: str) -> bool:
    refused = reason == "http-501" or (reason.startswith("http-4") and reason not in _NOT_REFUSED)
    return not refused and reason not in _NOT_SENT
