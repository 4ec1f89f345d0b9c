"""What the server counts and times, as calls that cost next to nothing; who reads the numbers is not known here.

Rules kept here: every word handed over is one of ours (a route class, a reason code, the name of a rule), never one that a
stranger chose; no call raises, waits or does I/O.
"""

from typing import Final, Protocol

OCM_SHARES: Final = "ocm_shares"
OCM_NOTIFICATIONS: Final = "ocm_notifications"
OCM_TOKEN: Final = "ocm_token"  # noqa: S105 - the name of a route
OCM_INVITES: Final = "ocm_invites"
OCM_REQUESTS: Final = "ocm_requests"
OCM_OTHER: Final = "ocm_other"
DISCOVERY: Final = "discovery"
DAV_SHARED: Final = "dav_shared"
DAV_FILES: Final = "dav_files"
API: Final = "api"
OTHER: Final = "other"

ROUTES: Final = (
    OCM_SHARES,
    OCM_NOTIFICATIONS,
    OCM_TOKEN,
    OCM_INVITES,
    OCM_REQUESTS,
    OCM_OTHER,
    DISCOVERY,
    DAV_SHARED,
    DAV_FILES,
    API,
    OTHER,
)
"""The classes that requests are counted in; a path never is a class of its own."""


class Measures(Protocol):
    """Where counts and times go."""

    def request_begun(self, route: str, /) -> None:
        """A request of this route class has come in."""

    def request_ended(self, route: str, method: str, status: int, seconds: float, /) -> None:
        """It has ended; `status` is 0 where the client left before an answer."""

    def message_refused(self, route: str, reason: str, /) -> None:
        """A peer's message was refused, with this reason code."""

    def signature_refused(self, reason: str, /) -> None:
        """A peer's signature does not hold; the code says why."""

    def delivery_tried(self, outcome: str, reason: str, /) -> None:
        """A delivery was tried: `delivered`, `again` (it will be tried again), `dead` or `overtaken`."""

    def database_asked(self, kind: str, /) -> None:
        """A `read` or a `write` waits for the database."""

    def database_answered(self, kind: str, seconds: float, /) -> None:
        """The database has answered, or failed."""

    def rate_limited(self, rule: str, /) -> None:
        """A request was turned away by a limit."""

    def loop_lagged(self, seconds: float, /) -> None:
        """The event loop woke so much later than it was asked to."""


class NoMeasures:
    """Counts nothing."""

    def request_begun(self, route: str, /) -> None: ...
    def request_ended(self, route: str, method: str, status: int, seconds: float, /) -> None: ...
    def message_refused(self, route: str, reason: str, /) -> None: ...
    def signature_refused(self, reason: str, /) -> None: ...
    def delivery_tried(self, outcome: str, reason: str, /) -> None: ...
    def database_asked(self, kind: str, /) -> None: ...
    def database_answered(self, kind: str, seconds: float, /) -> None: ...
    def rate_limited(self, rule: str, /) -> None: ...
    def loop_lagged(self, seconds: float, /) -> None: ...


NO_MEASURES: Final[Measures] = NoMeasures()
