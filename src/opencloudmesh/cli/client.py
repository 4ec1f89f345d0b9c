"""The client of the command line for /api/v1 of the user's own server.

The server that the user typed is trusted as a place (whatever its address is), its texts are not: they are printed by
`terminal` only. What the server refuses becomes `ServerRefused`, a session that it does not take any more `NotLoggedIn`.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from opencloudmesh.cli.faults import NotLoggedIn, ServerRefused, broken_off
from opencloudmesh.cli.session_file import StoredSession, load_session
from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.services.ports import HttpAnswer, HttpClient
from opencloudmesh.services.records import Secret

_MAX_ANSWER = 16 << 20
_TIMEOUT = 60.0
_READ_TIMEOUT = 15.0
"""For what the server answers out of its own database."""
_ASKS_OTHERS = frozenset({"/discover"})
_IDLE = 300.0  # the own server may be waiting for a slow one, or remove a large folder
_PAGE = 1000


class ApiClient:
    """Calls to /api/v1 of `server` (an origin), with the session's token where there is one."""

    def __init__(self, http: HttpClient, server: str, token: Secret | None = None) -> None:
        self._http = http
        self._server = server
        self._token = token

    async def login(self, user: str, password: Secret) -> StoredSession:
        """Open a session."""
        answer = await self.call("POST", "/session", document={"username": user, "password": password.reveal()})
        account = answer.get("user")
        token, expires_at = answer.get("token"), answer.get("expires_at")
        if not isinstance(account, dict) or not isinstance(token, str) or not isinstance(expires_at, int | float):
            raise _not_understood(self._server)
        if not (token.isascii() and token.isprintable()):
            raise _not_understood(self._server)
        name = str(account.get("name", user))
        return StoredSession(
            server=self._server,
            user=name,
            display_name=str(account.get("display_name", "")),
            address=str(account.get("address", name)),
            token=Secret(token),
            expires_at=float(expires_at),
        )

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, document: Any = None, data: bytes | None = None
    ) -> dict[str, Any]:
        """One call, with a JSON document or with data; returns the JSON object of the answer ({} where it has no body)."""
        headers = {"accept": "application/json"}
        if document is not None:
            headers["content-type"] = "application/json"
            data = json.dumps(document).encode()
        elif data is not None:
            headers["content-type"] = "application/octet-stream"
        return self._read(await self._asked(method, path, query=query, headers=headers, body=data or b""))

    async def made(self, path: str, document: Any) -> tuple[dict[str, Any], bool]:
        """POST what is to be made; returns it, and whether it was not there before."""
        headers = {"accept": "application/json", "content-type": "application/json"}
        answer = await self._asked("POST", path, query=None, headers=headers, body=json.dumps(document).encode())
        return self._read(answer), answer.status != 200

    async def content(self, path: str, *, query: Mapping[str, str]) -> bytes:
        """A file, as it is."""
        answer = await self._asked("GET", path, query=query, headers={}, body=b"")
        if answer.status != 200:
            self._read(answer)
        return answer.body

    async def _asked(
        self, method: str, path: str, *, query: Mapping[str, str] | None, headers: dict[str, str], body: bytes
    ) -> HttpAnswer:
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token.reveal()}"
        url = f"{self._server}/api/v1{path}" + (f"?{urlencode(query)}" if query else "")
        seconds = _READ_TIMEOUT if method == "GET" and path not in _ASKS_OTHERS else _TIMEOUT
        try:
            return await self._http.fetch(method, url, headers=headers, body=body, max_bytes=_MAX_ANSWER, total_timeout=seconds)
        except PeerUnreachable as error:
            raise broken_off(error, method, path) from None

    async def items(self, path: str, *, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """All items of a list, page after page."""
        found: list[dict[str, Any]] = []
        after: Any = 0
        while after is not None:
            page = await self.call("GET", path, query={**(query or {}), "after": str(after), "limit": str(_PAGE)})
            items = page.get("items")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise _not_understood(self._server)
            found += items
            # A server that names no new place to go on from would be asked for ever.
            after = page.get("next") if items and page.get("next") != after else None
        return found

    def _read(self, answer: HttpAnswer) -> dict[str, Any]:
        try:
            document = json.loads(answer.body) if answer.body else {}
        except (ValueError, RecursionError):
            document = None
        if 200 <= answer.status < 300:
            if not isinstance(document, dict):
                raise _not_understood(self._server)
            return document
        raise self._refusal(answer.status, document)

    def _refusal(self, status: int, document: Any) -> NotLoggedIn | ServerRefused:
        error = document.get("error") if isinstance(document, dict) else None
        error = error if isinstance(error, dict) else {}
        sentence = str(error.get("message") or f"{self._server} answered with the HTTP status {status}.")
        code = str(error.get("code") or f"http-{status}")
        if status == 401 and self._token is not None:
            return NotLoggedIn(sentence, code=code, hint=f"Log in again with: ocm login {self._server} USER")
        hint = str(error.get("hint") or ("" if error else "Is this an opencloudmesh server, and is its address right?"))
        return ServerRefused(sentence, code=code, hint=hint, status=status, trace_id=str(error.get("trace_id") or ""))


def item_path(*parts: str) -> str:
    """Return the path of a thing below /api/v1, each part percent-encoded."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _not_understood(server: str) -> ServerRefused:
    hint = "Is this an opencloudmesh server of the same version, and is its address right?"
    return ServerRefused(f"The answer of {server} cannot be understood.", code="answer-invalid", hint=hint)


@asynccontextmanager
async def open_http(server: str) -> AsyncIterator[HttpClient]:
    """The way out to the user's own server, whatever its address, and to no other host."""
    from opencloudmesh.adapters.http_client import GuardedHttpClient
    from opencloudmesh.adapters.http_connections import TimeLimits
    from opencloudmesh.adapters.routes import RoutePolicy

    parts = urlsplit(server)
    plain = parts.scheme == "http"
    route = RoutePolicy.parse(
        "own-server",
        hosts=[parts.hostname or ""],
        networks=["0.0.0.0/0", "::/0"],
        ports=[parts.port or (80 if plain else 443)],
        plain_http=plain,
    )
    http = GuardedHttpClient([route], limits=TimeLimits(connect=10.0, fetch_idle=_IDLE, stream_idle=_IDLE))
    try:
        yield http
    finally:
        await http.aclose()


@asynccontextmanager
async def signed_in() -> AsyncIterator[tuple[ApiClient, StoredSession]]:
    """A client with the session that is kept; raises `NotLoggedIn`."""
    session = load_session()
    async with open_http(session.server) as http:
        yield ApiClient(http, session.server, session.token), session
