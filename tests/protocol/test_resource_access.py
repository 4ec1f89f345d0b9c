"""How a shared Resource is reached, and the gate before ours."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.discovery import Discovery, parse_discovery
from opencloudmesh.protocol.errors import AccessDenied, PeerRefused
from opencloudmesh.protocol.resource_access import READING, WRITING, AccessPlan, Exchange, Scheme, ShareAccess, may, plan_access
from opencloudmesh.protocol.share_protocols import parse_protocols

SECRET = "k3Yq9vTz0aPb7LmNc4RdXw5EfGh2JsUu"
TOKEN_END_POINT = "https://a.example/ocm/token"
NOW = 1_800_000_000.0


def sender(*, exchange: bool = False, capability: bool = True, webdav: Any = "/dav/ocm/") -> Discovery:
    protocols = {} if webdav is None else {"webdav": webdav}
    document: dict[str, Any] = {
        "enabled": True,
        "endPoint": "https://a.example/ocm",
        "resourceTypes": [{"name": "calendar", "protocols": {"webdav": "/cal/"}}, {"name": "folder", "protocols": protocols}],
    }
    if webdav is None:
        del document["resourceTypes"][0]
    if exchange:
        document |= {"capabilities": ["exchange-token"] if capability else [], "tokenEndPoint": TOKEN_END_POINT}
    return parse_discovery(json.dumps(document).encode())


def plan(details: dict[str, Any], discovery: Discovery | None = None, **options: Any) -> AccessPlan:
    protocols = parse_protocols({"name": "multi", "webdav": {"uri": "https://a.example/x", "sharedSecret": SECRET, **details}})
    return plan_access(protocols, resource_type="folder", sender_host="a.example", discovery=discovery or sender(), **options)


def refusal(call: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(PeerRefused) as caught:
        call(*arguments, **options)
    return caught.value.code


@pytest.mark.spec("ACC-5")
@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("https://dav.example:8443/a%20b/?c", "https://dav.example:8443/a%20b/?c"),
        ("http://a.example/x", "http://a.example/x"),
        ("12", "https://a.example/dav/ocm/12"),
        ("a/b c.txt", "https://a.example/dav/ocm/a/b%20c.txt"),
        ("a%20b?#ä", "https://a.example/dav/ocm/a%20b%3F%23%C3%A4"),
        ("/other/12", "https://a.example/other/12"),
        ("//evil.example/12", "https://a.example//evil.example/12"),
        ("", "https://a.example/dav/ocm/"),
    ],
)
def test_the_url_of_the_root(uri: str, url: str) -> None:
    assert plan({"uri": uri}).url == url


@pytest.mark.spec("ACC-1", "ACC-5")
def test_the_prefix_is_that_of_the_resource_type() -> None:
    protocols = parse_protocols({"name": "multi", "webdav": {"uri": "12", "sharedSecret": SECRET}})

    def url(resource_type: str, **options: Any) -> str:
        found = plan_access(protocols, resource_type=resource_type, sender_host="a.example", discovery=sender(), **options)
        return found.url

    assert url("folder") == "https://a.example/dav/ocm/12"
    assert url("calendar") == "https://a.example/cal/12"
    assert url("file") == "https://a.example/cal/12"
    assert url("folder", origin="http://127.0.0.1:8001") == "http://127.0.0.1:8001/dav/ocm/12"


@pytest.mark.spec("SHARE-11", "ACC-5")
def test_a_webdav_prefix_without_slash_or_with_a_host() -> None:
    assert plan({"uri": "12"}, sender(webdav="/dav")).url == "https://a.example/dav/12"
    assert plan({"uri": "12"}, sender(webdav="https://dav.example/x/")).url == "https://dav.example/x/12"


def test_a_relative_uri_needs_a_prefix() -> None:
    assert refusal(plan, {"uri": "12"}, sender(webdav=None)) == "webdav-path-missing"
    assert refusal(plan, {"uri": ""}, sender(webdav=None)) == "webdav-path-missing"
    assert plan({"uri": "/x"}, sender(webdav=None)).url == "https://a.example/x"
    assert plan({}, sender(webdav=None)).url == "https://a.example/x"


@pytest.mark.spec("ACC-2")
def test_the_exchange_is_required() -> None:
    required = {"requirements": ["must-exchange-token"]}
    found = plan(required, sender(exchange=True))
    assert (found.exchange, found.token_end_point, found.scheme) == (Exchange.REQUIRED, TOKEN_END_POINT, Scheme.BEARER)
    assert plan(required, sender(exchange=True, capability=False)).exchange is Exchange.REQUIRED
    assert refusal(plan, required, sender()) == "exchange-not-offered"


@pytest.mark.spec("ACC-3")
def test_the_exchange_is_tried_where_it_is_on_offer() -> None:
    found = plan({}, sender(exchange=True))
    assert (found.exchange, found.token_end_point, found.secret) == (Exchange.TRIED, TOKEN_END_POINT, SECRET)
    assert plan({}, sender(exchange=True), no_downgrade=True).exchange is Exchange.REQUIRED
    for discovery in (sender(), sender(exchange=True, capability=False)):
        none = plan({}, discovery, no_downgrade=True)
        assert (none.exchange, none.token_end_point, none.scheme) == (Exchange.NONE, None, Scheme.BEARER)


@pytest.mark.spec("ACC-4")
def test_the_second_factor() -> None:
    assert plan({"requirements": ["must-use-mfa"]}).needs_mfa
    assert not plan({}).needs_mfa


@pytest.mark.spec("ACC-6")
def test_the_deprecated_form() -> None:
    protocols = parse_protocols({"name": "webdav", "options": {"sharedSecret": SECRET}})

    def planned(discovery: Discovery) -> AccessPlan:
        return plan_access(protocols, resource_type="folder", sender_host="a.example", discovery=discovery)

    found = planned(sender(exchange=True))
    assert found == AccessPlan("https://a.example/dav/ocm/", Exchange.NONE, SECRET, Scheme.BASIC, None, needs_mfa=False)
    assert SECRET not in repr(found)
    assert refusal(planned, sender(webdav=None)) == "webdav-path-missing"


@pytest.mark.spec("ACC-6")
def test_details_that_lack_a_uri_are_reached_like_the_deprecated_form() -> None:
    assert plan({"uri": ""}).scheme is Scheme.BASIC


def test_a_share_without_webdav() -> None:
    protocols = parse_protocols({"name": "multi", "ssh": {"uri": "alice@a.example:22/x"}})
    assert (
        refusal(plan_access, protocols, resource_type="folder", sender_host="a.example", discovery=sender())
        == "protocol-unsupported"
    )


# ---------------------------------------------------------------- the gate
def access(**changes: Any) -> ShareAccess:
    return ShareAccess(
        **{"state": "accepted", "permissions": {"read", "write"}, "expires_at": None, "is_folder": True, **changes}
    )


def denial(share: ShareAccess, method: str = "GET", path: str = "a", now: float = NOW) -> str:
    with pytest.raises(AccessDenied) as caught:
        may(share, method, path, now)
    return caught.value.code


@pytest.mark.spec("ACC-9")
@pytest.mark.parametrize("state", ["pending", "sent", "accepted"])
@pytest.mark.parametrize("method", sorted(READING | WRITING))
def test_what_a_live_share_allows(state: str, method: str) -> None:
    may(access(state=state), method, "a/b", NOW)


@pytest.mark.spec("ACC-9")
@pytest.mark.parametrize("method", sorted(READING | WRITING))
@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("declined", "share-revoked"),
        ("revoked", "share-revoked"),
        ("failed", "share-revoked"),
        ("expired", "share-expired"),
        ("", "share-revoked"),
    ],
)
def test_an_ended_share_allows_nothing(state: str, code: str, method: str) -> None:
    assert denial(access(state=state), method) == code


@pytest.mark.spec("SHARE-19", "ACC-9")
@pytest.mark.parametrize("method", sorted(READING | WRITING))
def test_a_share_past_its_end_allows_nothing(method: str) -> None:
    share = access(expires_at=NOW)
    may(share, method, "a", NOW - 0.001)
    assert denial(share, method) == "share-expired"
    assert denial(share, method, now=NOW + 1e9) == "share-expired"


@pytest.mark.spec("ACC-9")
def test_permissions_of_methods() -> None:
    for method in READING:
        may(access(permissions={"read"}), method, "a", NOW)
        assert denial(access(permissions={"write"}), method) == "read-refused"
    for method in WRITING:
        may(access(permissions={"write"}), method, "a", NOW)
        assert denial(access(permissions={"read", "share"}), method) == "read-only"


@pytest.mark.parametrize("method", ["POST", "PATCH", "TRACE", "get", "", "ACL"])
def test_other_methods(method: str) -> None:
    assert denial(access(), method) == "method-not-allowed"


@pytest.mark.parametrize("path", ["", "/", "//"])
@pytest.mark.parametrize("is_folder", [True, False])
def test_the_root_of_a_share_stays(path: str, is_folder: bool) -> None:
    for method in ("DELETE", "MOVE"):
        assert denial(access(is_folder=is_folder), method, path) == "method-not-allowed"
        assert denial(access(permissions={"read"}), method, path) == "read-only"
    may(access(is_folder=is_folder), "PUT", path, NOW)
    may(access(is_folder=is_folder), "PROPFIND", path, NOW)


def test_a_shared_file_holds_no_folders() -> None:
    assert denial(access(is_folder=False), "MKCOL") == "method-not-allowed"
    may(access(is_folder=False), "PUT", "", NOW)


@pytest.mark.spec("ACC-9", "SHARE-3")
def test_the_raw_secret_does_not_open_a_share_that_demands_the_exchange() -> None:
    share = access(requirements={"must-exchange-token"}, by_secret=True)
    assert denial(share) == "exchange-required"
    may(access(requirements={"must-exchange-token"}), "GET", "a", NOW)
    may(access(by_secret=True), "GET", "a", NOW)


@given(st.text(), st.text(), st.text(), st.floats() | st.none(), st.sets(st.text()))
def test_nothing_else_opens_a_share(state: str, method: str, path: str, expires_at: float | None, permissions: set[str]) -> None:
    share = ShareAccess(state, permissions, expires_at, is_folder=True)
    with pytest.raises(AccessDenied):
        may(share, method, path, NOW)
