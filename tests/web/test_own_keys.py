"""The server's own keys, for administrators."""

import dataclasses
from typing import Any

import pytest


@pytest.fixture
def admin(server: Any) -> Any:
    """The server, with alice as its administrator."""
    server.accounts.user = dataclasses.replace(server.accounts.user, admin=True)
    return server


async def test_it_is_for_administrators(server: Any) -> None:
    asked = [("GET", "/admin/keys", None), ("POST", "/admin/keys/rotate", {}), ("POST", f"/admin/keys/{'A' * 16}/retire", {})]
    for method, path, body in asked:
        assert (await server.call(method, path, body, token="")).status == 401
        assert (await server.call(method, path, body)).status == 403
    assert server.own_keys.acts == []


async def test_rotate_and_retire(admin: Any) -> None:
    assert [key["state"] for key in (await admin.call("GET", "/admin/keys")).json["items"]] == ["signing"]
    made = await admin.call("POST", "/admin/keys/rotate", {"kind": "ecdsa-p256-sha256", "reason": "new year"})
    assert (made.status, made.json["state"], made.json["algorithm"]) == (200, "announced", "ecdsa-p256-sha256")
    assert (await admin.call("POST", "/admin/keys/rotate", {"now": True})).json["state"] == "signing"
    retired = await admin.call("POST", f"/admin/keys/{'A' * 16}/retire", {"reason": "stolen"})
    assert (retired.status, retired.json["kid"]) == (200, "cloud.example.org#" + "A" * 16)
    assert admin.own_keys.acts == [
        ("rotate", "ecdsa-p256-sha256", False, "alice", "new year"),
        ("rotate", "ed25519", True, "alice", ""),
        ("retire", "A" * 16, "alice", "stolen"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/admin/keys/rotate", {"kind": "hmac-sha256"}, 422, "invalid-input"),
        (f"/admin/keys/{'A' * 15}/retire", {}, 422, "invalid-input"),
        (f"/admin/keys/{'B' * 16}/retire", {}, 404, "key-unknown"),
        (f"/admin/keys/{'A' * 16}/retire", {}, 409, "key-last"),
    ],
)
async def test_what_is_refused(admin: Any, path: str, body: Any, status: int, code: str) -> None:
    answered = await admin.call("POST", path, body)
    assert (answered.status, answered.json["error"]["code"]) == (status, code)
