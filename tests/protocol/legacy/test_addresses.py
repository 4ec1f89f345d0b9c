"""Addresses as deployed servers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.address import OCMAddress, parse_address
from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.protocol.legacy.addresses import repair_address


@pytest.mark.spec("ADDR-4")
@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("bob@https://h.example", "bob@h.example"),
        ("bob@HTTP://H.example:8080", "bob@h.example:8080"),
        ("bob@https://h.example/", "bob@h.example"),
        ("bob@https://h.example/index.php", "bob@h.example"),
        ("bob@h.example/nextcloud/index.php/", "bob@h.example"),
        ("bob@h.example?x#y", "bob@h.example"),
        ("https://bob@h.example", "bob@h.example"),
        (" bob@h.example\n", "bob@h.example"),
        ("bob@h.example@h.example", "bob@h.example"),
        ("bob@h.example@h.example@H.EXAMPLE", "bob@h.example"),
        ("bob@https://h.example@h.example", "bob@h.example"),
        ("bob@other.example@h.example", "bob@other.example@h.example"),
        ("bob@mail.example@https://h.example", "bob@mail.example@h.example"),
        ("@h.example@h.example", "@h.example@h.example"),
        ("not a host@h.example@h.example", "not a host@h.example"),
        ("a/b@h.example/x@y", "a/b@h.example"),
        ("bob@no host@h.example", "bob@no host@h.example"),
    ],
)
def test_dialects(text: str, address: str) -> None:
    assert str(repair_address(text)) == address


@pytest.mark.parametrize("text", ["", "bob", "bob@", "https://h.example/bob", "bob@https://", "x" * 2000 + "@h.example"])
def test_what_cannot_be_repaired_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        repair_address(text)


@given(st.text(st.sampled_from(list("ab@:/.?# htps")), max_size=40) | st.text(st.characters(exclude_categories=())))
def test_any_text_gives_an_address_or_our_error(text: str) -> None:
    try:
        address = repair_address(text)
    except InvalidInput:
        return
    assert isinstance(address, OCMAddress)
    assert parse_address(str(address)) == address
