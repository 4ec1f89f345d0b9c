"""The error tree: what each error tells programs, persons and peers."""

import re
from collections.abc import Iterator

import pytest

from opencloudmesh.protocol.errors import (
    ChangedWhileRead,
    Conflict,
    FieldFault,
    InvalidInput,
    InvalidMessage,
    InviteUsed,
    LocalFault,
    Locked,
    OCMError,
    PeerFault,
    PeerRefused,
    RateLimited,
    RefusedByPeer,
    TemporarilyUnavailable,
    TokenRefused,
)


def tree(root: type[OCMError]) -> Iterator[type[OCMError]]:
    yield root
    for branch in root.__subclasses__():
        yield from tree(branch)


@pytest.mark.parametrize("kind", [*tree(PeerFault), *tree(LocalFault)], ids=lambda kind: kind.__name__)
def test_every_fault_has_a_code_and_a_status_of_refusal(kind: type[PeerFault] | type[LocalFault]) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind.code)
    assert 400 <= kind.status < 600


def test_a_code_may_be_given_or_is_that_of_the_class() -> None:
    assert InvalidInput("No.").code == "invalid-input"
    error = InvalidInput("No.", code="address-invalid", hint="Write it so.")
    assert (error.code, error.sentence, error.hint, str(error)) == ("address-invalid", "No.", "Write it so.", "No.")
    assert InvalidInput.code == "invalid-input"


@pytest.mark.spec("RECV-2")
def test_an_invalid_message_keeps_every_fault() -> None:
    error = InvalidMessage((FieldFault("name", "is missing"), FieldFault("owner", "is no text")))
    assert [fault.name for fault in error.validation_errors] == ["name", "owner"]
    assert error.sentence == "name: is missing; owner: is no text"


@pytest.mark.spec("RECV-4")
def test_unavailable_says_when_to_come_back() -> None:
    assert TemporarilyUnavailable("Not now.").retry_after == 30
    error = TemporarilyUnavailable("Not now.", retry_after=5, code="database-unavailable")
    assert (error.status, error.retry_after, error.code) == (503, 5, "database-unavailable")


def test_who_asks_too_often_is_told_for_how_long() -> None:
    assert RateLimited("Too many.", retry_after=7).hint == "Try again in 7 s."
    assert RateLimited("Too many.", retry_after=7, hint="Wait.").hint == "Wait."


@pytest.mark.spec("CODE-5")
def test_a_refused_token_request_is_always_400_with_an_oauth_word() -> None:
    error = TokenRefused("invalid_grant", "The code is unknown.", code="code-unknown")
    assert (error.status, error.error, error.code) == (400, "invalid_grant", "code-unknown")


def test_a_refusing_peer_is_told_with_its_status() -> None:
    error = PeerRefused("It answered 503.", code="http-503", status=503, retry_after=7.5, hint="Wait.")
    assert (error.status, error.retry_after, error.code, error.hint) == (503, 7.5, "http-503", "Wait.")


def test_what_a_peer_said_of_a_file_is_told_with_its_status_and_its_own_code() -> None:
    error = RefusedByPeer("It answered 423.", status=423, code="http-423", said="Somebody writes.", told="locked")
    assert (error.status, error.code, error.said, error.told, error.retry_after) == (
        423,
        "http-423",
        "Somebody writes.",
        "locked",
        None,
    )
    assert RefusedByPeer("It answered 423.", status=423).told == ""


def test_a_file_that_changed_while_it_was_read_is_a_conflict() -> None:
    assert (ChangedWhileRead().code, ChangedWhileRead().status) == ("changed-while-read", Conflict.status)


def test_an_invite_that_was_used_tells_its_acceptor_again() -> None:
    assert (InviteUsed().code, InviteUsed().status, InviteUsed().identity) == ("invite-used", 409, None)
    assert InviteUsed({"userID": "alice"}).identity == {"userID": "alice"}


def test_a_lock_in_the_way_is_told_with_its_root() -> None:
    error = Locked("Somebody writes in it.", paths=("/a/",))
    assert (error.status, error.code, error.paths) == (423, "locked", ("/a/",))
