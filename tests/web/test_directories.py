"""The directories that are read, for administrators."""

import dataclasses
from typing import Any


async def test_it_is_for_administrators(server: Any) -> None:
    for method, path in (("GET", "/admin/directories"), ("POST", "/admin/directories/refresh")):
        assert (await server.call(method, path, token="")).status == 401
        assert (await server.call(method, path)).status == 403
    assert server.directories.looks == 0


async def test_how_each_stands_and_looking_now(server: Any) -> None:
    server.accounts.user = dataclasses.replace(server.accounts.user, admin=True)
    good, down = (await server.call("GET", "/admin/directories")).json["items"]
    assert (good["federation"], good["servers"], good["signed_by"], good["reason"]) == ("Campus", 1, "directory#1", "")
    assert (down["federation"], down["fetched_at"], down["reason"]) == (None, None, "tcp-refused")
    assert down["detail"] == "It is down. Try again."
    assert server.directories.looks == 0
    assert len((await server.call("POST", "/admin/directories/refresh")).json["items"]) == 2
    assert server.directories.looks == 1
