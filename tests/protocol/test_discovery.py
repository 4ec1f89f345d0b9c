"""Discovery documents: ours keeps the draft's promises, others' are read with tolerance."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.discovery import Discovery, OwnOffer, ResourceType, build_discovery, parse_discovery, well_known_urls
from opencloudmesh.protocol.errors import InvalidInput, PeerRefused

ORIGIN = "https://cloud.example.org"
FILE = {"name": "file", "shareTypes": ["user"], "protocols": {"webdav": "/dav/"}}
LEAST = {"enabled": True, "apiVersion": "1.4.0", "endPoint": "https://h.example/ocm", "resourceTypes": [FILE]}


def own(**changes: Any) -> dict[str, Any]:
    return build_discovery(OwnOffer(origin=ORIGIN, provider="Example", **changes))


def read(**changes: Any) -> Discovery:
    return parse_discovery(
        json.dumps({name: value for name, value in {**LEAST, **changes}.items() if value != "ABSENT"}).encode()
    )


# ---------------------------------------------------------------- ours
@pytest.mark.spec("DISC-2", "DISC-3", "DISC-4", "DISC-5")
def test_our_document() -> None:
    protocols = {"webdav": "/dav/ocm/", "webdav-receive": {"uri": "absolute"}}
    assert own(capabilities=["notifications", "http-sig", "exchange-token"], criteria=["must-use-http-sig"]) == {
        "enabled": True,
        "apiVersion": "1.4.0",
        "endPoint": "https://cloud.example.org/ocm",
        "provider": "Example",
        "resourceTypes": [
            {"name": "file", "shareTypes": ["user"], "protocols": protocols},
            {"name": "folder", "shareTypes": ["user"], "protocols": protocols},
        ],
        "capabilities": ["notifications", "http-sig", "exchange-token"],
        "criteria": ["must-use-http-sig"],
        "tokenEndPoint": "https://cloud.example.org/ocm/token",
        "jwksUri": "https://cloud.example.org/.well-known/jwks.json",
    }


@pytest.mark.spec("DISC-6", "DISC-8")
def test_what_is_off_leaves_the_document() -> None:
    document = own()
    assert document["capabilities"] == []
    assert document["criteria"] == []
    assert not {"tokenEndPoint", "jwksUri", "inviteAcceptDialog"} & document.keys()


@pytest.mark.spec("DISC-6")
def test_token_exchange_is_not_demanded_without_being_offered() -> None:
    with pytest.raises(InvalidInput) as caught:
        own(criteria=["must-exchange-token"])
    assert caught.value.code == "offer-contradictory"
    assert own(criteria=["must-exchange-token"], capabilities=["exchange-token"])["tokenEndPoint"].startswith("https://")


@pytest.mark.spec("DISC-3")
def test_the_share_type_user_is_always_offered() -> None:
    with pytest.raises(InvalidInput):
        own(share_types=("group",))
    assert own(share_types=("user", "group"))["resourceTypes"][1]["shareTypes"] == ["user", "group"]


@pytest.mark.spec("DISC-7")
def test_invites_come_with_their_dialog() -> None:
    dialog = ORIGIN + "/invite/accept"
    assert own(capabilities=["invites"], invite_accept_dialog=dialog)["inviteAcceptDialog"] == dialog
    assert "inviteAcceptDialog" not in own(capabilities=["invites"])
    assert "inviteAcceptDialog" not in own(invite_accept_dialog=dialog)


def test_other_places_for_keys_and_webdav() -> None:
    document = own(capabilities=["http-sig", "http-sig"], jwks_uri="https://keys.example/jwks", webdav_root="/shared/")
    assert document["jwksUri"] == "https://keys.example/jwks"
    assert document["capabilities"] == ["http-sig"]
    assert document["resourceTypes"][0]["protocols"]["webdav"] == "/shared/"


def test_we_can_read_what_we_publish() -> None:
    discovery = parse_discovery(json.dumps(own(capabilities=["exchange-token", "http-sig"], criteria=["allowlist"])).encode())
    assert discovery.enabled
    assert discovery.end_point == ORIGIN + "/ocm"
    assert discovery.webdav_path("folder") == "/dav/ocm/"
    assert discovery.webdav_receive_uri == "absolute"
    assert discovery.offers_exchange
    assert discovery.requires("allowlist")
    assert not discovery.requires("must-invite")


# ---------------------------------------------------------------- others'
@pytest.mark.spec("DISC-9")
def test_where_a_document_is_looked_for() -> None:
    assert well_known_urls("https://h.example:8443") == (
        "https://h.example:8443/.well-known/ocm",
        "https://h.example:8443/ocm-provider/",
        "https://h.example:8443/ocm-provider",
    )


@pytest.mark.spec("DISC-9")
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"\xff", b"[" * 10_000, b'{"enabled":NaN}', b'{"enabled":true,"enabled":false}']
)
def test_what_is_no_json_object_is_a_clear_failure(body: bytes) -> None:
    with pytest.raises(PeerRefused) as caught:
        parse_discovery(body)
    assert caught.value.code == "discovery-not-json"
    assert ": : " not in caught.value.sentence


@pytest.mark.spec("DISC-2", "DISC-9")
@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"enabled": "ABSENT"}, "enabled is missing"),
        ({"enabled": "yes"}, "enabled must be true or false"),
        ({"enabled": 1}, "enabled must be true or false"),
        ({"endPoint": "ABSENT"}, "endPoint is missing"),
        ({"endPoint": "/ocm"}, "endPoint must be an absolute http or https URL"),
        ({"endPoint": 5}, "endPoint must be"),
        ({"endPoint": "https://h.example/ocm?x"}, "endPoint must be"),
        ({"endPoint": "https://u@h.example/ocm"}, "endPoint must be"),
        ({"endPoint": "https://h.example/o cm"}, "endPoint must be"),
        ({"endPoint": "https://h.example/öcm"}, "endPoint must be"),
        ({"endPoint": "https://\uff11\uff12\uff17.0.0.1/ocm"}, "endPoint must be"),
        ({"endPoint": "https://h.example/o\ncm"}, "endPoint must be"),
        ({"resourceTypes": "ABSENT"}, "resourceTypes is missing"),
        ({"resourceTypes": "file"}, "resourceTypes must be an array"),
        ({"resourceTypes": ["file"]}, r"resourceTypes\.0 must be an object"),
        ({"resourceTypes": [FILE, {"protocols": {}}]}, r"resourceTypes\.1\.name is missing"),
        ({"resourceTypes": [{**FILE, "name": 5}]}, r"resourceTypes\.0\.name must be a string"),
        ({"resourceTypes": [{**FILE, "protocols": ["webdav"]}]}, r"resourceTypes\.0\.protocols must be an object"),
    ],
)
def test_a_wrong_document_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(PeerRefused, match=fault) as caught:
        read(**changes)
    assert caught.value.code == "discovery-invalid"


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(PeerRefused) as caught:
        parse_discovery(b"{}")
    assert all(name in str(caught.value) for name in ("enabled", "endPoint", "resourceTypes"))


@pytest.mark.spec("DISC-11")
@pytest.mark.parametrize("body", [b'{"enabled":false}', b'{"enabled":false,"endPoint":5,"resourceTypes":"x"}'])
def test_a_server_that_is_off_may_lack_everything_else(body: bytes) -> None:
    discovery = parse_discovery(body)
    assert not discovery.enabled
    assert (discovery.end_point, discovery.resource_types, discovery.webdav_path("file")) == ("", (), None)


@pytest.mark.spec("DISC-11")
def test_unknown_words_and_fields_are_kept_and_never_refused() -> None:
    calendar = {"name": "calendar", "shareTypes": ["user", "robot"], "protocols": {"caldav": 5, "talk-v1": {}}, "x": 1}
    discovery = read(resourceTypes=[calendar, FILE], capabilities=["new"], criteria=["strange"], provider=5, quantum={"a": [1]})
    assert discovery.resource_types[0] == ResourceType("calendar", ("user", "robot"), {"caldav": 5, "talk-v1": {}})
    assert discovery.supports("new")
    assert discovery.requires("strange")
    assert discovery.provider == ""
    assert discovery.raw["quantum"] == {"a": [1]}
    assert discovery.raw["resourceTypes"][0]["x"] == 1
    assert discovery.takes("calendar", "robot")
    assert not discovery.takes("calendar", "group")
    assert not discovery.takes("contact", "user")


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({}, "1.4.0"),
        ({"apiVersion": "ABSENT"}, ""),
        ({"apiVersion": "ABSENT", "version": "1.1.0"}, "1.1.0"),
        ({"apiVersion": 1.1}, "1.1"),
        ({"apiVersion": []}, ""),
        ({"apiVersion": "1.0-proposal1", "version": "1.1.0"}, "1.0-proposal1"),
    ],
)
def test_any_version_is_taken(changes: dict[str, Any], version: str) -> None:
    assert read(**changes).api_version == version


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["/invite-accepted", "Shares"], {"invite-accepted", "invites", "shares"}),
        (["invites", 5, None], {"invites"}),
        ({"0": "notifications", "2": "http-sig"}, {"notifications", "http-sig"}),
        (None, set()),
        ("notifications", set()),
    ],
)
def test_capabilities_in_every_spelling(words: Any, found: set[str]) -> None:
    assert read(capabilities=words).capabilities == found


@pytest.mark.parametrize(
    ("field", "attribute"),
    [("tokenEndPoint", "token_end_point"), ("jwksUri", "jwks_uri"), ("inviteAcceptDialog", "invite_accept_dialog")],
)
@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("https://other.example/x?y", "https://other.example/x?y"),
        ("/index.php/x", "https://h.example/index.php/x"),
        ("//other.example/x", None),
        ("x", None),
        ("", None),
        (5, None),
        ("ABSENT", None),
        ("javascript:alert(1)", None),
        ("https://u:p@h.example/", None),
        ("https://h.example/töken", None),
    ],
)
def test_optional_urls(field: str, attribute: str, value: Any, url: str | None) -> None:
    assert getattr(read(**{field: value}), attribute) == url


def test_a_relative_url_needs_an_end_point() -> None:
    assert parse_discovery(b'{"enabled":false,"tokenEndPoint":"/token"}').token_end_point is None


@pytest.mark.spec("DISC-6")
def test_exchange_is_offered_only_with_capability_and_end_point() -> None:
    assert read(capabilities=["exchange-token"], tokenEndPoint="https://h.example/t").offers_exchange
    assert not read(capabilities=["exchange-token"]).offers_exchange
    assert not read(tokenEndPoint="https://h.example/t").offers_exchange


def types(*webdav: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "protocols": {"webdav": value}} for name, value in zip(("file", "folder", "note"), webdav, strict=False)
    ]


@pytest.mark.spec("DISC-4", "ACC-1")
@pytest.mark.parametrize(
    ("entries", "name", "path"),
    [
        (types("/a/", "/b/"), "folder", "/b/"),
        (types("/a/", "/b/"), "calendar", "/a/"),
        (types(None, "/b/"), "file", "/b/"),
        (types("seafdav"), "file", "/seafdav"),
        (types("//a"), "file", "/a"),
        (types({"uri": "/u/"}), "file", "/u/"),
        (types({"url": "/u/"}), "file", "/u/"),
        (types({}), "file", None),
        (types("https://dav.example/x"), "file", "https://dav.example/x"),
        (types("ftp://dav.example/x"), "file", None),
        (types("/a?b"), "file", None),
        (types("/a b"), "file", None),
        (types("/a\\b"), "file", None),
        (types("/a\n"), "file", None),
        (types(""), "file", None),
        ([], "file", None),
    ],
)
def test_the_webdav_path(entries: list[dict[str, Any]], name: str, path: str | None) -> None:
    assert read(resourceTypes=entries).webdav_path(name) == path


@pytest.mark.spec("DISC-5")
@pytest.mark.parametrize(
    ("details", "form"),
    [({"uri": "absolute"}, "absolute"), ({"uri": "relative"}, "relative"), ({"uri": "x"}, None), ("absolute", None)],
)
def test_the_form_of_uri_that_a_server_takes(details: Any, form: str | None) -> None:
    bare = {"name": "note", "protocols": []}
    assert read(resourceTypes=[bare, {"name": "file", "protocols": {"webdav-receive": details}}]).webdav_receive_uri == form


OWNCLOUD_10 = {
    "enabled": True,
    "apiVersion": "1.0-proposal1",
    "endPoint": "https://oc10.example/index.php/apps/federatedfilesharing",
    "shareTypes": [{"name": "file", "protocols": {"webdav": "/public.php/webdav/"}}],
}
SEAFILE = {
    "enabled": True,
    "apiVersion": "1.0-proposal1",
    "endPoint": "https://seafile.example/api/v2.1/ocm/",
    "resourceTypes": {"name": "library", "shareTypes": ["user"], "protocols": {"Seafile API": "Seafile API"}},
}


@pytest.mark.spec("DISC-11")
def test_shapes_of_deployed_servers() -> None:
    owncloud = parse_discovery(json.dumps(OWNCLOUD_10).encode())
    assert owncloud.resource_types == (ResourceType("file", ("user",), {"webdav": "/public.php/webdav/"}),)
    seafile = parse_discovery(json.dumps(SEAFILE).encode())
    assert seafile.end_point == "https://seafile.example/api/v2.1/ocm"
    assert seafile.takes("library", "user")
    assert read(resourceTypes={"0": FILE}).takes("file", "user")


FIELDS = st.sampled_from(
    ["enabled", "apiVersion", "version", "endPoint", "resourceTypes", "shareTypes", "capabilities", "tokenEndPoint"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.sampled_from(["https://h.example/x", "/x"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "protocols", "shareTypes", "webdav"]), inner)
    ),
    max_leaves=10,
)


@given(st.binary() | st.dictionaries(FIELDS, VALUES).map(lambda document: json.dumps({**LEAST, **document}).encode()))
def test_any_document_is_read_or_refused(body: bytes) -> None:
    try:
        discovery = parse_discovery(body)
    except PeerRefused:
        return
    assert discovery.webdav_path("file") is None or discovery.webdav_path("file")
    assert not discovery.end_point.endswith("/")
    assert discovery.webdav_receive_uri is None
