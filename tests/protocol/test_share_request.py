"""Requests for a share: the message, which resource it names, and whether it is taken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.address import OCMAddress
from opencloudmesh.protocol.admission import Discard
from opencloudmesh.protocol.errors import InvalidInput, InvalidMessage
from opencloudmesh.protocol.share_request import (
    MAX_RESOURCE,
    Ignore,
    RequestArrival,
    Show,
    build_share_request,
    decide_request,
    is_opaque,
    is_unsupported,
    parse_owner,
    parse_resource,
    parse_share_request,
    path_of,
    requests_off,
)
from opencloudmesh.protocol.trust import Allowed, Denied

BODY = {"owner": "alice@a.example", "shareWith": "bob@b.example", "share": "Reports/2026"}
OPEN = Allowed("mode-open", "")
INVITED = Allowed("mode-invite-only", "", only_known=True)


def read(**changes: object):
    return parse_share_request(json.dumps(BODY | changes).encode())


# ---------------------------------------------------------------- the message
@pytest.mark.spec("REQ-1")
def test_what_is_built_is_read_again() -> None:
    body = build_share_request(owner=OCMAddress("alice", "a.example"), share_with=OCMAddress("bob", "b.example"), share="x")
    assert json.loads(body) == {"owner": "alice@a.example", "shareWith": "bob@b.example", "share": "x"}
    message = parse_share_request(body)
    assert (str(message.owner_address), str(message.recipient), message.share) == ("alice@a.example", "bob@b.example", "x")


@pytest.mark.spec("REQ-1")
@pytest.mark.parametrize("share", ["1234567890abcdef", "https://cloud.example.org/files/data.txt", "Grüße/ä b.txt"])
def test_every_form_of_the_identifier_is_taken(share: str) -> None:
    assert read(share=share).share == share


def test_an_identifier_may_be_a_number_and_addresses_come_in_dialects() -> None:
    message = read(share=17, owner="alice@https://a.example/", extra={"is": "kept"})
    assert message.share == "17"
    assert str(message.owner_address) == "alice@a.example"
    assert message.model_extra == {"extra": {"is": "kept"}}


@pytest.mark.spec("REQ-2")
@pytest.mark.parametrize("name", ["owner", "shareWith", "share"])
@pytest.mark.parametrize("value", [None, "", 1.5, True, [], {}])
def test_what_is_missing_or_of_another_type_is_named(name: str, value: object) -> None:
    with pytest.raises(InvalidMessage) as fault:
        read(**{name: value})
    assert [one.name for one in fault.value.validation_errors] == [name]


@pytest.mark.spec("REQ-2")
def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(InvalidMessage) as fault:
        parse_share_request(b"{}")
    assert {one.name for one in fault.value.validation_errors} == {"owner", "shareWith", "share"}


@pytest.mark.parametrize("share", ["a\nb", "\x1b[2J", "a\x7f", "  ", "x" * (MAX_RESOURCE + 1), "a\x00b"])
def test_an_identifier_is_one_line_of_bounded_length(share: str) -> None:
    with pytest.raises(InvalidMessage):
        read(share=share)


@pytest.mark.parametrize("address", ["bob", "@b.example", "bob@", "bo\nb@b.example", "bob@b..example", "x" * 2000 + "@b.example"])
def test_addresses_are_ocm_addresses(address: str) -> None:
    with pytest.raises(InvalidMessage):
        read(shareWith=address)


# ---------------------------------------------------------------- what a user asks for
def test_what_a_user_names_is_stripped_and_bounded() -> None:
    assert parse_resource("  Reports/2026 ") == "Reports/2026"
    for text in ("", "   ", "a\nb", "x" * (MAX_RESOURCE + 1)):
        with pytest.raises(InvalidInput) as fault:
            parse_resource(text)
        assert fault.value.code == "resource-invalid"


def test_an_owner_is_at_another_server() -> None:
    assert str(parse_owner(" alice@A.example ", own_host="b.example")) == "alice@a.example"
    for text, code in (("alice@b.example", "own-server"), ("alice", "address-invalid")):
        with pytest.raises(InvalidInput) as fault:
            parse_owner(text, own_host="b.example")
        assert fault.value.code == code


# ---------------------------------------------------------------- which resource is meant
@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("Reports/2026", "Reports/2026"),
        ("/Reports/2026/", "Reports/2026"),
        ("https://a.example/dav/files/alice/Reports/a%20b.txt", "Reports/a b.txt"),
        ("HTTPS://A.example:443/dav/files/alice/Reports/", "Reports"),
        ("https://a.example/dav/files/r4nd0m/Reports", "Reports"),
        ("https://a.example/dav/files/carol/Reports", None),
        ("https://b.example/dav/files/alice/Reports", None),
        ("https://a.example/dav/files/alice/", None),
        ("https://a.example/dav/files/alice/Reports?x=1", None),
        ("https://a.example/dav/files/alice/Reports#x", None),
        ("https://a.example/dav/files/alice/%2e%2e/carol/secret", None),
        ("https://a.example/dav/files/alice/a%2fb", None),
        ("https://a.example/dav/files/alice/%00", None),
        ("https://a.example/dav/files/alice/%ff", None),
        ("https://a.example/dav/files/../files/alice/Reports", None),
        ("https://a.example/files/data.txt", None),
        ("https://[::1/dav/files/alice/x", None),
        ("https://a.example@b.example/dav/files/alice/x", None),
        ("../carol/secret", None),
        ("Reports/../../etc/passwd", None),
        ("Reports//2026", None),
        ("./Reports", None),
        ("/", None),
        ("Shared with me", None),
        ("Shared with me/Holiday", None),
        ("/Shared with me/Holiday/", None),
        ("Reports/Shared with me", "Reports/Shared with me"),
    ],
)
def test_a_resource_names_a_path_in_the_owners_own_files_or_none(resource: str, path: str | None) -> None:
    assert path_of(resource, names=("alice", "r4nd0m"), own_host="a.example") == path


@given(st.text(max_size=60) | st.from_regex(r"(https://a\.example/dav/files/alice/)?[a-z./%2eF0-]{0,40}", fullmatch=True))
def test_no_text_leads_out_of_the_owners_files(resource: str) -> None:
    path = path_of(resource, names=("alice",), own_host="a.example")
    if path is not None:
        assert not {"", ".", ".."} & set(path.split("/"))
        assert path.split("/")[0] != "Shared with me"


def test_an_opaque_identifier_is_long_and_plain() -> None:
    assert is_opaque("1234567890abcdef")
    assert not any(map(is_opaque, ("short", "Reports/2026-and-more", "a b c d e f g h i j k")))


# ---------------------------------------------------------------- whether it is taken
@pytest.mark.spec("REQ-2")
def test_what_is_asked_for_is_shown_to_an_owner_who_knows_who_asks() -> None:
    assert decide_request(RequestArrival(trust=OPEN, owner_exists=True, known=True)) == Show()
    assert decide_request(RequestArrival(trust=INVITED, owner_exists=True, known=True)) == Show()


@pytest.mark.spec("REQ-2")
def test_strangers_cannot_tell_existing_from_missing() -> None:
    assert decide_request(RequestArrival(trust=OPEN, owner_exists=True)) == Show()
    assert decide_request(RequestArrival(trust=OPEN, owner_exists=False)) == Ignore()
    answers = {
        decision.reason
        for exists in (True, False)
        if isinstance(decision := decide_request(RequestArrival(trust=INVITED, owner_exists=exists)), Discard)
    }
    assert answers == {"sender-unknown"}


def test_a_denied_server_is_refused_whoever_asks() -> None:
    denied = decide_request(RequestArrival(trust=Denied("denylisted", "No."), owner_exists=True, known=True))
    assert isinstance(denied, Discard)
    assert (denied.reason, denied.error.status) == ("denylisted", 403)
    assert isinstance(decide_request(RequestArrival(trust=INVITED, owner_exists=True, known=True)), Show)


# ---------------------------------------------------------------- what a peer answers
@pytest.mark.spec("REQ-2")
def test_requests_that_are_off_are_501() -> None:
    assert (requests_off().status, requests_off().code) == (501, "requests-off")


@pytest.mark.parametrize(
    ("status", "body", "unsupported"),
    [
        (501, b'{"message":"requests-off"}', True),
        (405, b"", True),
        (410, b"{}", True),
        (404, b"<html>not found</html>", True),
        (404, b"", True),
        (404, b'{"message":"not-found","validationErrors":[]}', True),
        (404, b'{"message":7}', True),
        (404, b'{"message":"RESOURCE_NOT_FOUND"}', False),
        (404, b'{"message":"resource-unknown"}', False),
        (201, b"{}", False),
        (403, b"{}", False),
        (500, b"", False),
    ],
)
def test_an_answer_tells_whether_such_requests_are_taken_at_all(status: int, body: bytes, unsupported: bool) -> None:
    assert is_unsupported(status, body) is unsupported
