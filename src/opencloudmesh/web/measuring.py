"""Times what the server answers: one wrapper around each app of the dispatcher.

Rules kept here: a request is counted by the class of its route, never by its path; the wrapper's `send` hands every message on
as it is and adds no await of its own, so that files go out as they would without it.
"""

import time
from collections.abc import Awaitable, Callable

from opencloudmesh.services.measures import (
    API,
    DAV_FILES,
    DAV_SHARED,
    DISCOVERY,
    OCM_INVITES,
    OCM_NOTIFICATIONS,
    OCM_OTHER,
    OCM_REQUESTS,
    OCM_SHARES,
    OCM_TOKEN,
    OTHER,
    Measures,
)
from opencloudmesh.web.answers import ASGIApp, Message, Receive, Scope, Send

_EXACT = {
    "/.well-known/ocm": DISCOVERY,
    "/ocm-provider": DISCOVERY,
    "/ocm-provider/": DISCOVERY,
    "/.well-known/jwks.json": DISCOVERY,
    "/ocm/shares": OCM_SHARES,
    "/ocm/notifications": OCM_NOTIFICATIONS,
    "/ocm/token": OCM_TOKEN,
    "/ocm/invite-accepted": OCM_INVITES,
    "/ocm/request-share": OCM_REQUESTS,
}
_BELOW = {"/ocm/": OCM_OTHER, "/dav/ocm": DAV_SHARED, "/dav/files": DAV_FILES, "/api/v1": API}


def route_class(path: str) -> str:
    """The class that requests to this route, or below this mount, are counted in."""
    return _EXACT.get(path) or next((name for start, name in _BELOW.items() if path.startswith(start)), OTHER)


def measured(app: ASGIApp, route: str, measures: Measures, now: Callable[[], float] = time.perf_counter) -> ASGIApp:
    """The app, its requests timed and counted in the class `route`."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        def sending(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        begun = now()
        measures.request_begun(route)
        try:
            await app(scope, receive, sending)
        except Exception:
            status = status or 500
            raise
        finally:
            measures.request_ended(route, scope["method"], status, now() - begun)

    return answering
