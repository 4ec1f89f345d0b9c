"""What the stores keep: secrets that do not show."""

import copy
import pickle

import pytest

from opencloudmesh.services.records import NewIncomingShare, PeerRecord, Secret, Session, User


def test_a_secret_is_seen_only_where_it_is_revealed() -> None:
    secret = Secret("hush")
    assert secret.reveal() == "hush"
    assert "hush" not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert copy.copy(secret) is secret


def test_secrets_compare_by_what_they_hide() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_no_record_shows_a_secret() -> None:
    records = (
        User(1, "alice", "Alice", "hush", False, 1.0),
        Session(b"hush", 1, 1.0, 2.0),
        NewIncomingShare(
            1, "a", "p", "o", "s", "", "", "r", "user", "file", "n", "", (), {"sharedSecret": "hush"}, "hush", None, 1.0
        ),
    )
    assert "hush" not in repr(records)
    assert "a.example" in repr(PeerRecord("a.example", "{}", 1.0, "{}", 1.0, 1.0, 1.0, None, ""))
