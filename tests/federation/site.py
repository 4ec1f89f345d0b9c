"""A real server of the product as `ocm serve` runs it, and its users, with what tests look up behind their backs."""

import asyncio
import itertools
import json
import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from demo.servers import ServerProcess
from opencloudmesh import bootstrap
from opencloudmesh.services.records import Secret
from tests.federation.secrets_told import told
from tests.federation.wire import Answer, Headers, ask, free_port, quoted, wait_until
from tests.migrated import put_migrated

PASSWORD = told.add("a password of everybody")
_ROUTE = """
[[routes]]
name = "tests"
hosts = ["127.0.0.1"]
networks = ["127.0.0.0/8"]
plain_http = true
"""
_number = itertools.count(1)
_MANY = "100000"
_SETTINGS = {
    "retry_first": "0.2",
    "wait_for_first_try": "60",  # a share is as the first try left it, however slow that was
    # All tests come from one address, and do in a minute what others do in a week.
    "failures_per_address": _MANY,
    "fetches_per_address": _MANY,
    "logins_per_address": _MANY,
    "requests_per_address": _MANY,
}


class Site(ServerProcess):
    """One server; `settings` are lines of its configuration by name."""

    def __init__(self, folder: Path, users: Sequence[str], settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder.name, folder, free_port(), other_port=0)
        self.users = users
        self.settings = _SETTINGS | dict(settings or {})
        self.listen = self.host
        self.route = _ROUTE

    def set_up(self) -> None:
        """Configuration, keys and users."""
        bootstrap.initialise(self.folder, self.origin, self.listen)
        config = self.folder / "opencloudmesh.toml"
        text = config.read_text()
        for name, value in self.settings.items():
            text, found = re.subn(rf"(?m)^# {name} = .*$", f"{name} = {value}", text)
            assert found == 1, name
        config.write_text(text + self.route)
        if "database_url" not in self.settings:
            put_migrated(self.folder / "data" / "opencloudmesh.sqlite3")
        self._add_users({name: name.title() for name in self.users})

    def new_user(self, display_name: str) -> "User":
        """Somebody whom no other test knows, with a name of login of their own; also while the server runs."""
        name = f"{display_name.lower()}-{next(_number)}"
        self._add_users({name: display_name})
        return User(self, name)

    def _add_users(self, display_names: Mapping[str, str]) -> None:
        async def add() -> None:
            async with bootstrap.beside(self.folder) as wiring:
                for name, display_name in display_names.items():
                    await wiring.accounts.add_user(name, Secret(PASSWORD), display_name)

        with ThreadPoolExecutor(1) as thread:  # where a browser is driven, this one has an event loop already
            thread.submit(asyncio.run, add()).result()

    def ask(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Answer:
        return ask(self.origin, method, target, headers, body)

    # ------------------------------------------------------------ behind the server's back
    def _query(self, sql: str, *values: Any) -> Any:
        path = f"file:{self.folder}/data/opencloudmesh.sqlite3?mode=ro"
        with closing(sqlite3.connect(path, uri=True)) as database:
            return database.execute(sql, values).fetchone()[0]

    def write(self, sql: str, *values: Any) -> None:
        """Change something in the database."""
        with closing(sqlite3.connect(self.folder / "data" / "opencloudmesh.sqlite3", timeout=60)) as database, database:
            database.execute(sql, values)

    def let_expire(self, table: str, provider_id: str) -> None:
        """Have the end of a share, that was far away, come."""
        self.write(f"update {table} set expires_at = ? where provider_id = ?", time.time() - 1, provider_id)  # noqa: S608

    def refusals_of(self, provider_id: str) -> int:
        """How many refusals of a received share were counted."""
        return int(self._query("select refusals from incoming_shares where provider_id = ?", provider_id))

    def stored_from(self, peer_host: str) -> int:
        """How many shares of a peer are stored."""
        return int(self._query("select count(*) from incoming_shares where peer = ?", peer_host))

    def exchanges(self, *filters: str) -> list[dict[str, Any]]:
        """What `ocm log` finds, newest last."""
        items: list[dict[str, Any]] = json.loads(self.ocm("log", "--json", "--dir", str(self.folder), *filters))["items"]
        return items

    def seen_last(self, peer_host: str) -> tuple[bool, str]:
        """Of the last message of a peer in the exchange log: whether it was verified, and the address that it came from."""
        last = "from exchanges where direction = 'in' and peer = ? order by id desc limit 1"
        found = self._query(f"select coalesce((select verified || ' ' || source {last}), '0')", peer_host)
        verified, _, source = str(found).partition(" ")
        return verified == "1", source

    def files_of(self, user: str) -> Path:
        """The folder on disk with a user's files."""
        return self.folder / "data" / "files" / str(self._query("select id from users where name = ?", user))

    def log_text(self) -> str:
        return self.log.read_text()


class User:
    """A user with a session, at the user API and at WebDAV."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.name = name
        self.address = f"{name}@{site.host}"
        self.token = ""
        self.token = told.add(self.api("POST", "/session", {"username": name, "password": PASSWORD})["token"])

    def ask_api(self, method: str, path: str, body: Any = None) -> Answer:
        headers = [("authorization", f"Bearer {self.token}")] if self.token else []
        content = b""
        if body is not None:
            headers.append(("content-type", "application/json"))
            content = json.dumps(body).encode()
        return self.site.ask(method, f"/api/v1{path}", headers, content)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """What a request to the user API that must succeed gives."""
        answer = self.ask_api(method, path, body)
        assert answer.status in (200, 201), answer
        return answer.json

    # ------------------------------------------------------------ giving
    def share(self, path: str, with_: str, permissions: Sequence[str] = ("read",), expires_at: float | None = None) -> Any:
        """A new share; its notification was tried once."""
        body = {"path": path, "share_with": with_, "permissions": list(permissions), "expires_at": expires_at}
        return self.api("POST", "/shares", body)

    def unshare(self, share: Any) -> Any:
        return self.api("POST", f"/shares/{share['id']}/unshare")

    def push(self, delivery: Any) -> None:
        """Have it sent now, unless that was done a moment ago."""
        answer = self.ask_api("POST", f"/deliveries/{delivery['id']}/retry")
        assert answer.status == 200 or answer.json["error"]["code"] == "delivery-done", answer

    def state_of(self, share: Any) -> str:
        return str(self.api("GET", f"/shares/{share['id']}")["state"])

    # ------------------------------------------------------------ receiving
    def received(self, provider_id: str) -> Any:
        """The share in the inbox with this providerId, or None; there is never more than one."""
        found = [item for item in self.inbox() if item["provider_id"] == provider_id]
        assert len(found) <= 1
        return found[0] if found else None

    def inbox(self) -> list[Any]:
        items: list[Any] = []
        after: int | None = 0
        while after is not None:
            page = self.api("GET", f"/inbox?after={after}")
            items, after = items + page["items"], page["next"]
        return items

    def answer(self, act: str, provider_id: str) -> Any:
        """accept, decline or leave a received share, as soon as it is there: a message may need a second try."""
        share = wait_until(lambda: self.received(provider_id))
        return self.api("POST", f"/inbox/{share['id']}/{act}")

    # ------------------------------------------------------------ files
    def dav(self, method: str, path: str, headers: Headers = (), body: bytes = b"") -> Answer:
        given = [("authorization", f"Bearer {self.token}"), *headers]
        return self.site.ask(method, f"/dav/files/{self.name}/{quoted(path)}", given, body)

    def make_folder(self, path: str) -> None:
        assert self.dav("MKCOL", path).status == 201

    def put(self, path: str, content: bytes = b"content") -> None:
        answer = self.dav("PUT", path, body=content)
        assert answer.status in (201, 204), answer
