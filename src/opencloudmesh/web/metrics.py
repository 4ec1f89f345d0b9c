"""`GET /metrics` for a Prometheus that knows the token.

Rules kept here: without the token nothing is told (401); tokens are compared in constant time.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Final

from opencloudmesh.services.records import Secret
from opencloudmesh.web.answers import NO_STORE, Answer, Header, Receive, Scope, Send, refuse_method, send_answer
from opencloudmesh.web.errors import USER_METHOD_REFUSED, user_answer

_TEXT: Final[Header] = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_REFUSED: Final = user_answer(
    401,
    "metrics-token",
    "The metrics are for those who have the token.",
    (b"www-authenticate", b'Bearer realm="metrics"'),
    hint="Send Authorization: Bearer with the content of keys/metrics.token in the server's folder.",
)


class MetricsEndpoint:
    """The metrics, as an ASGI app; `scrape` gives their text."""

    def __init__(self, scrape: Callable[[], Awaitable[bytes]], token: Secret) -> None:
        self._scrape = scrape
        self._token = token.reveal().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            answer = refuse_method(scope, ("GET", "HEAD"), USER_METHOD_REFUSED)
        elif not self._is_authorized(scope):
            answer = _REFUSED
        else:
            answer = Answer(200, (_TEXT, NO_STORE), await self._scrape())
        await send_answer(send, answer, head=scope["method"] == "HEAD")

    def _is_authorized(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)
