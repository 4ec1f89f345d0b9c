"""The `protocol` object: three forms, the mixtures of deployed servers, and what makes one invalid."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from opencloudmesh.protocol.errors import InvalidInput, InvalidMessage
from opencloudmesh.protocol.share_protocols import (
    SshProtocol,
    WebappProtocol,
    WebdavProtocol,
    build_legacy_protocols,
    build_protocols,
    parse_protocols,
)

SECRET = "k3Yq9vTz0aPb7LmNc4RdXw5EfGh2JsUu"
URI = "https://a.example/dav/ocm/12"
WEBDAV = {"uri": URI, "sharedSecret": SECRET, "permissions": ["read", "write"]}
WEBAPP = {
    "uri": "https://a.example/app",
    "sharedSecret": SECRET,
    "targets": ["blank"],
    "permissions": ["view"],
    "requirements": ["must-exchange-token"],
}
SSH = {"uri": "alice@a.example:22/home/x"}


def faults(value: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidMessage) as caught:
        parse_protocols(value)
    assert SECRET not in str(caught.value)
    return [f"{fault.name}: {fault.message}" for fault in caught.value.validation_errors]


# ---------------------------------------------------------------- forms
@pytest.mark.spec("RECV-5")
@pytest.mark.parametrize("name", ["webdav", "multi"])
def test_details_under_their_own_name(name: str) -> None:
    protocols = parse_protocols({"name": name, "options": {}, "webdav": WEBDAV})
    assert protocols.webdav == WebdavProtocol(uri=URI, shared_secret=SECRET, permissions=("read", "write"))
    assert protocols.webdav.access_types == ("remote",)
    assert protocols.legacy_secret is None
    assert protocols.shared_secret == SECRET
    assert protocols.offered == protocols.readable == {"webdav"}
    assert protocols.permissions == ("read", "write")


@pytest.mark.spec("RECV-5")
def test_the_deprecated_options() -> None:
    raw = {
        "name": "webdav",
        "options": {"sharedSecret": SECRET, "permissions": "{http://open-cloud-mesh.org/ns}share-permissions"},
    }
    protocols = parse_protocols(raw)
    assert protocols.webdav is None
    assert protocols.legacy_secret == protocols.shared_secret == SECRET
    assert protocols.permissions == ("read", "write")
    assert protocols.offered == protocols.readable == {"webdav"}
    assert protocols.raw == raw
    assert raw == build_legacy_protocols(SECRET)


@pytest.mark.spec("RECV-5")
def test_several_protocols() -> None:
    webdav = {**WEBDAV, "requirements": ["must-exchange-token"], "accessTypes": ["remote", "datatx"], "size": 5}
    protocols = parse_protocols({"name": "multi", "webdav": webdav, "webapp": WEBAPP, "ssh": SSH, "talk": {"x": 1}})
    assert protocols.offered == {"webdav", "webapp", "ssh", "talk"}
    assert protocols.readable == {"webdav", "webapp", "ssh"}
    assert protocols.webdav is not None
    assert protocols.webdav.access_types == ("remote", "datatx")
    assert protocols.webdav.size == 5
    assert protocols.requirements == {"must-exchange-token"}
    assert protocols.raw["talk"] == {"x": 1}


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ({"name": "webdav", "options": {"sharedSecret": SECRET}, "webdav": {"uri": URI}}, URI),  # the secret in options
        ({"name": "webdav", "options": {"sharedSecret": "other"}, "webdav": WEBDAV}, URI),  # the details win
        ({"name": "multi", "webdav": {"url": URI, "sharedSecret": SECRET}}, URI),  # the alias of old releases
        ({"name": "multi", "options": [], "webdav": WEBDAV}, URI),  # an empty PHP array
        ({"name": "multi", "options": None, "webdav": {**WEBDAV, "size": None, "accessTypes": None}}, URI),
        ({"webdav": WEBDAV}, URI),  # no name
        ({"name": "webdav", "webdav": {"uri": "12", "sharedSecret": SECRET}}, "12"),
        ({"name": "webdav", "webdav": {"uri": "/dav/12", "sharedSecret": SECRET}}, "/dav/12"),
        ({"name": "webdav", "webdav": {"uri": "", "sharedSecret": SECRET}}, ""),
    ],
)
def test_mixtures_of_deployed_servers(value: dict[str, Any], uri: str) -> None:
    protocols = parse_protocols(value)
    assert protocols.webdav is not None
    assert (protocols.webdav.uri, protocols.shared_secret) == (uri, SECRET)
    assert protocols.raw == value


def test_empty_details_beside_options_are_the_deprecated_form() -> None:
    protocols = parse_protocols({"name": "webdav", "webdav": {}, "options": {"sharedSecret": SECRET}})
    assert (protocols.webdav, protocols.legacy_secret) == (None, SECRET)


def test_a_protocol_that_we_do_not_know_is_kept() -> None:
    protocols = parse_protocols({"name": "Seafile API", "options": {"sharedSecret": SECRET, "repoId": "x"}})
    assert protocols.offered == {"Seafile API"}
    assert protocols.readable == set()
    assert (protocols.legacy_secret, protocols.shared_secret, protocols.permissions) == (None, None, ())
    assert parse_protocols({"name": "multi", "webapp": WEBAPP}).shared_secret == SECRET


def test_permissions_that_are_not_given_mean_read() -> None:
    assert parse_protocols({"name": "multi", "webdav": {"uri": "x", "sharedSecret": SECRET}}).permissions == ("read",)


def test_no_secret_is_printed() -> None:
    value = {
        "name": "multi",
        "options": {"sharedSecret": SECRET},
        "webdav": {**WEBDAV, "requirements": WEBAPP["requirements"]},
        "webapp": WEBAPP,
    }
    assert SECRET not in repr(parse_protocols(value))
    assert SECRET not in repr(parse_protocols(build_legacy_protocols(SECRET)))


# ---------------------------------------------------------------- faults
@pytest.mark.spec("SHARE-9", "RECV-2")
@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"uri": None}, "protocol.webdav.uri: is missing"),
        ({"uri": 5}, "protocol.webdav.uri: must be a string"),
        ({"uri": "ftp://a.example/x"}, "protocol.webdav.uri: must be an absolute http or https URL without user name"),
        ({"uri": "https://u:p@a.example/x"}, "protocol.webdav.uri: must be an absolute http or https URL without user name"),
        ({"uri": "a\nb"}, "protocol.webdav.uri: holds characters that are not allowed here"),
        ({"uri": "a\\b"}, "protocol.webdav.uri: holds characters that are not allowed here"),
        ({"uri": "../x"}, "protocol.webdav.uri: must not hold dot segments"),
        ({"uri": "https://a.example/a/./b"}, "protocol.webdav.uri: must not hold dot segments"),
        ({"uri": "x" * 9000}, "protocol.webdav.uri: is too long"),
        ({"sharedSecret": None}, "protocol.webdav.sharedSecret: is missing"),
        ({"sharedSecret": ""}, "protocol.webdav.sharedSecret: must not be empty"),
        ({"sharedSecret": "a b"}, "protocol.webdav.sharedSecret: holds characters that are not allowed here"),
        ({"sharedSecret": "a\n"}, "protocol.webdav.sharedSecret: holds characters that are not allowed here"),
        ({"sharedSecret": "x" * 5000}, "protocol.webdav.sharedSecret: is too long"),
        ({"accessTypes": []}, "protocol.webdav.accessTypes: must not be empty"),
        ({"accessTypes": ["local"]}, "protocol.webdav.accessTypes.0: is not one of the words defined for it"),
        ({"permissions": []}, "protocol.webdav.permissions: must not be empty"),
        ({"permissions": "read"}, "protocol.webdav.permissions: must be an array"),
        ({"permissions": {"read": True}}, "protocol.webdav.permissions: must be an array"),
        ({"permissions": ["read", "view"]}, "protocol.webdav.permissions.1: is not one of the words defined for it"),
        ({"permissions": ["read"] * 100}, "protocol.webdav.permissions: has too many entries"),
        ({"permissions": ["x"]}, "protocol.webdav.permissions.0: is not one of the words defined for it"),
        ({"requirements": [5]}, "protocol.webdav.requirements.0: must be a string"),
        ({"size": "5"}, "protocol.webdav.size: must be an integer"),
        ({"size": True}, "protocol.webdav.size: must be an integer"),
        ({"size": -1}, "protocol.webdav.size: Input should be greater than or equal to 0"),
        ({"size": 2**63}, "protocol.webdav.size: Input should be less than or equal to 9223372036854775807"),
    ],
)
def test_faults_of_webdav(changes: dict[str, Any], fault: str) -> None:
    assert faults({"name": "multi", "webdav": {**WEBDAV, **changes}}) == [fault]


@pytest.mark.spec("RECV-7", "SHARE-14")
@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"targets": []}, "protocol.webapp.targets: must not be empty"),
        ({"targets": None}, "protocol.webapp.targets: is missing"),
        ({"targets": ["popup"]}, "protocol.webapp.targets.0: is not one of the words defined for it"),
        ({"permissions": []}, "protocol.webapp.permissions: must not be empty"),
        ({"permissions": None}, "protocol.webapp.permissions: is missing"),
        ({"uri": "/app"}, "protocol.webapp.uri: must be an absolute http or https URL without user name"),
        ({"uri": ""}, "protocol.webapp.uri: must not be empty"),
        ({"requirements": None}, "protocol.webapp.requirements: is missing"),
        ({"requirements": []}, "protocol.webapp.requirements: must hold must-exchange-token"),
        ({"requirements": ["must-use-mfa"]}, "protocol.webapp.requirements: must hold must-exchange-token"),
        ({"sharedSecret": None}, "protocol.webapp.sharedSecret: is missing"),
        ({"appName": 5}, "protocol.webapp.appName: must be a string"),
        ({"mediaTypes": "text/plain"}, "protocol.webapp.mediaTypes: must be an array"),
    ],
)
def test_faults_of_webapp(changes: dict[str, Any], fault: str) -> None:
    assert faults({"name": "multi", "webapp": {**WEBAPP, **changes}}) == [fault]


@pytest.mark.spec("RECV-7")
def test_requirements_of_two_protocols_that_disagree() -> None:
    assert faults({"name": "multi", "webdav": WEBDAV, "webapp": WEBAPP}) == [
        "protocol: holds requirements of webdav and webapp that do not agree"
    ]


@pytest.mark.spec("RECV-6")
def test_unknown_requirements_are_kept_for_admission() -> None:
    protocols = parse_protocols({"name": "multi", "webdav": {**WEBDAV, "requirements": ["must-sing", "must-use-mfa"]}})
    assert protocols.requirements == {"must-sing", "must-use-mfa"}


@pytest.mark.spec("ACC-6")
@pytest.mark.parametrize("options", [None, {}, [], {"permissions": "x"}])
def test_webdav_without_any_secret_is_invalid(options: Any) -> None:
    assert faults({"name": "webdav", "options": options}) == ["protocol: holds no sharedSecret"]


@pytest.mark.parametrize(
    "uri", ["a.example/x", "alice@a.example", "alice@/x", "@a.example/x", "a b@h/x", "alice@a.example:22/x\n", 5, None]
)
def test_faults_of_ssh(uri: Any) -> None:
    assert len(faults({"name": "multi", "ssh": {"uri": uri}})) == 1


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({}, ["protocol.name"]),
        ({"name": 5}, ["protocol.name"]),
        ({"name": "webdav", "options": ["x"]}, ["protocol.options"]),
        (
            {"name": "webdav", "options": "x", "webdav": "y", "webapp": [], "ssh": 5},
            [f"protocol.{n}" for n in ("options", "webdav", "webapp", "ssh")],
        ),
        ({"name": "webdav", "options": {"sharedSecret": 5}}, ["protocol.options.sharedSecret"]),
        ({"name": "multi", "webdav": {}}, ["protocol.webdav.uri", "protocol.webdav.sharedSecret"]),
        ({"name": "multi", "webdav": {"shared_secret": SECRET, "uri": "x"}}, ["protocol.webdav.sharedSecret"]),
        (
            {"name": "multi", "webapp": {}},
            [f"protocol.webapp.{n}" for n in ("uri", "sharedSecret", "targets", "permissions", "requirements")],
        ),
    ],
)
def test_every_fault_is_named(value: dict[str, Any], names: list[str]) -> None:
    assert [fault.partition(":")[0] for fault in faults(value)] == names


# ---------------------------------------------------------------- building
@pytest.mark.spec("SHARE-8", "SHARE-9")
def test_building_webdav() -> None:
    webdav = WebdavProtocol(uri=URI, shared_secret=SECRET, permissions=("read",), requirements=("must-exchange-token",), size=5)
    built = build_protocols(webdav=webdav)
    assert built == {
        "name": "multi",
        "webdav": {
            "uri": URI,
            "sharedSecret": SECRET,
            "accessTypes": ["remote"],
            "permissions": ["read"],
            "requirements": ["must-exchange-token"],
            "size": 5,
        },
    }
    assert parse_protocols(built).webdav == webdav
    assert "requirements" not in build_protocols(webdav=WebdavProtocol(uri=URI, shared_secret=SECRET))["webdav"]


@pytest.mark.spec("SHARE-8", "SHARE-14", "SHARE-16")
def test_building_several_protocols() -> None:
    requirements = ("must-exchange-token",)
    webapp = WebappProtocol(
        uri="https://a.example/app",
        shared_secret=SECRET,
        targets=("blank",),
        permissions=("view",),
        requirements=requirements,
        app_name="Editor",
        media_types=("text/plain",),
    )
    webdav = WebdavProtocol(uri=URI, shared_secret=SECRET, requirements=requirements)
    built = build_protocols(webdav=webdav, webapp=webapp, ssh=SshProtocol(uri="alice@a.example:22/x"))
    assert list(built) == ["name", "webdav", "webapp", "ssh"]
    assert built["webapp"]["appName"] == "Editor"
    assert built["webapp"]["mediaTypes"] == ["text/plain"]
    assert parse_protocols(built).webapp == webapp
    with pytest.raises(InvalidInput, match="agree"):
        build_protocols(webdav=WebdavProtocol(uri=URI, shared_secret=SECRET), webapp=webapp)


@pytest.mark.spec("RECV-5")
def test_unknown_fields_are_written_back() -> None:
    protocols = parse_protocols({"name": "multi", "webdav": {**WEBDAV, "colour": {"a": 1}}})
    assert build_protocols(webdav=protocols.webdav)["webdav"]["colour"] == {"a": 1}


@pytest.mark.spec("SHARE-10")
def test_a_secret_in_a_uri_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        build_protocols(webdav=WebdavProtocol(uri=f"{URI}/{SECRET}", shared_secret=SECRET))
    assert caught.value.code == "secret-in-uri"
    assert SECRET not in str(caught.value)


def test_a_share_without_protocol_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        build_protocols()
    assert caught.value.code == "protocol-invalid"


def test_a_wrong_value_of_our_own_does_not_print_the_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        WebdavProtocol(uri=URI, shared_secret=SECRET + " x")
    assert SECRET not in str(caught.value)


NAMES = st.sampled_from(
    ["name", "options", "webdav", "webapp", "ssh", "raw", "uri", "url", "sharedSecret", "permissions", "requirements"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["webdav", "multi", "read", "a@h:22/x", URI]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=15,
)


@given(st.dictionaries(NAMES, VALUES))
def test_any_object_is_read_or_refused(value: dict[str, Any]) -> None:
    try:
        protocols = parse_protocols(value)
    except InvalidMessage:
        return
    assert protocols.raw == value
    assert protocols.readable <= protocols.offered
