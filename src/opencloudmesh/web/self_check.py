"""The endpoint behind `ocm doctor` without a peer: tells the operator what arrived of a request.

Why, and for whom: see `services.doctor.self_check`. Rules kept here: whoever is not the operator gets what any unknown path
answers, before a byte of the body is read; bodies are bounded as everywhere else.
"""

from typing import Final
from urllib.parse import quote

from opencloudmesh.protocol.errors import PeerFault
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.services.doctor.self_check import SelfCheck
from opencloudmesh.web.answers import NO_STORE, Answer, Receive, Scope, Send, json_answer, send_answer
from opencloudmesh.web.bodies import ClientGone, read_body
from opencloudmesh.web.errors import PEER_INTERNAL, answer_to_peer

_IDLE_SECONDS: Final = 20.0


class SelfCheckEndpoint:
    """Any method, at a prefix; `nothing` is what an unknown path there answers."""

    def __init__(self, check: SelfCheck, *, limit: int, nothing: Answer) -> None:
        self._check = check
        self._limit = limit
        self._nothing = nothing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
        authorization = next((value for name, value in headers if name == "authorization"), "")
        if not self._check.is_ours(authorization):
            await send_answer(send, self._nothing, head=scope["method"] == "HEAD")
            return
        try:
            answer = await self._answer(scope, receive, headers)
        except ClientGone:
            return
        await send_answer(send, answer, head=scope["method"] == "HEAD")

    async def _answer(self, scope: Scope, receive: Receive, headers: tuple[tuple[str, str], ...]) -> Answer:
        try:
            body = await read_body(scope, receive, self._limit, _IDLE_SECONDS)
        except PeerFault as error:
            return answer_to_peer(error) or PEER_INTERNAL
        raw: bytes | None = scope.get("raw_path")
        path = raw.decode("latin-1") if raw else quote(scope["path"])
        query = scope.get("query_string", b"").decode("latin-1")
        target = f"{self._check.origin}{path}" + (f"?{query}" if query else "")
        client = (scope.get("client") or ("",))[0]
        arrived = self._check.describe(Request(scope["method"], target, headers, body), client=client)
        return json_answer(200, {"arrived": arrived}, NO_STORE)
