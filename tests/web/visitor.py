"""A browser in memory for the tests of the pages: keeps cookies, follows nothing by itself."""

import re
from typing import Any
from urllib.parse import urlencode


class Visitor:
    """One browser; `page` is the last answer."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.cookies: dict[str, str] = {}
        self.page = ""

    async def ask(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> Any:
        path, _, query = path.partition("?")
        sent = {"cookie": self.cookie} | headers
        answer = await self.server.ask(
            method, path, query=query, headers=sent, body=urlencode(form).encode() if form is not None else b""
        )
        self.keep(answer)
        self.page = answer.body.decode()
        return answer

    def keep(self, answer: Any) -> None:
        """The cookies of an answer."""
        for name, value in answer.headers:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]

    @property
    def cookie(self) -> str:
        """The header with all cookies."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.page)
        assert found is not None
        return found[1]

    async def send(self, path: str, /, **form: str) -> Any:
        return await self.ask("POST", path, form | {"csrf": self.csrf})

    async def log_in(self, onward: str = "/contacts") -> Any:
        await self.ask("GET", "/login")
        return await self.send("/login", name="alice", password="wonderland", next=onward)
