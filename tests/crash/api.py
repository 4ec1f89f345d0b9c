"""A user at /api/v1 of a server that may be killed, cut off or out of space at any moment."""

import json
from collections import Counter
from typing import Any
from urllib.parse import quote

import aiohttp


class Api:
    """One user; `may_answer` are the server's faults that this user must expect, any other is a defect."""

    def __init__(
        self, at: str, name: str, http: aiohttp.ClientSession, *, token: str = "", may_answer: frozenset[int] = frozenset()
    ) -> None:
        self.at = at
        self.name = name
        self.http = http
        self.answers: Counter[int] = Counter()
        self._token = token
        self._may_answer = may_answer

    @property
    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"} if self._token else {}

    async def log_in(self, password: str) -> None:
        """Get a session."""
        _, answer = await self.ask("POST", "/session", {"username": self.name, "password": password})
        self._token = answer["token"]

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and document; raises what aiohttp raises where no answer comes, AssertionError for a fault of the server."""
        async with self.http.request(method, f"{self.at}/api/v1{path}", json=body, headers=self._headers) as answer:
            text = await answer.text()
            self.answers[answer.status] += 1
            if answer.status >= 500 and answer.status not in self._may_answer:
                raise AssertionError(f"{self.name}: {method} {path}: {answer.status} {text}")
            return answer.status, json.loads(text) if text else None

    async def act(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of an act that was acknowledged, else None: refused, or the server was killed meanwhile."""
        try:
            status, answer = await self.ask(method, path, body)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return None
        return answer if status < 300 else None

    async def all(self, what: str) -> list[dict[str, Any]]:
        """Every item of a list."""
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            status, page = await self.ask("GET", f"/{what}?after={after}&limit=500")
            assert status == 200, (status, page)
            found += page["items"]
            after = page["next"]
        return found

    async def file(self, method: str, path: str, content: bytes | None = None) -> tuple[int, bytes]:
        """PUT or GET one of the user's files, or one that stands under "Shared with me"."""
        url = f"{self.at}/dav/files/{quote(self.name)}/{quote(path)}"
        async with self.http.request(method, url, data=content, headers=self._headers) as answer:
            return answer.status, await answer.read()
