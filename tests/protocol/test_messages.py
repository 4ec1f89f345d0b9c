"""JSON messages: one strict reader, which knows no exception but ours."""

import json
from contextlib import suppress
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from opencloudmesh.protocol.errors import FieldFault, InvalidMessage
from opencloudmesh.protocol.messages import MAX_FAULTS, WireModel, has_control_characters, read_object, validated, write_object

DEEP = b"[" * 10_000 + b"]" * 10_000
FEW_LEVELS = b'{"a":' * 63 + b"{}" + b"}" * 63

BAD_TEXTS = {
    "empty": (b"", "is not JSON"),
    "not UTF-8": (b'{"a":"\xff"}', "is not UTF-8"),
    "surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', "is not UTF-8"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "is not UTF-8"),
    "truncated": (b'{"a":', "is not JSON"),
    "trailing bytes": (b'{"a":1} x', "is not JSON"),
    "a list": (b"[1]", "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
    "deep, bare": (DEEP, "is nested too deep"),
    "deep, in a field": (b'{"a":' + DEEP + b"}", "is nested too deep"),
    "deep, objects": (b'{"a":' * 65 + b"1" + b"}" * 65, "is nested too deep"),
    "deep, truncated": (b'{"a":' * 10_000, "is nested too deep"),
    "NaN": (b'{"a":NaN}', "holds NaN, which is not JSON"),
    "Infinity": (b'{"a":-Infinity}', "holds -Infinity, which is not JSON"),
    "float out of range": (b'{"a":1e999}', "holds a number out of range"),
    "41 digits": (b'{"a":' + b"9" * 41 + b"}", "holds a number of too many digits"),
    "5000 digits": (b'{"a":' + b"9" * 5000 + b"}", "holds a number of too many digits"),
    "same name twice": (b'{"a":1,"a":1}', "has the same name twice in one object"),
    "same name twice, inner": (b'{"b":[{"a":1,"a":2}]}', "has the same name twice in one object"),
    "control character": (b'{"a":"\n"}', "is not JSON"),
}


@pytest.mark.spec("RECV-2")
@pytest.mark.parametrize(("body", "reason"), BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
def test_a_bad_text_is_an_invalid_message(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        read_object(body)
    assert caught.value.validation_errors == (FieldFault("", reason),)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"a":"\\u0000"}', ["a"]),
        (b'{"a":{"b":["x","\\ud800"]}}', ["a.b.1"]),
        (b'{"a":"\\uDfff","c":"\\u0000"}', ["a", "c"]),
        (b'{"a":{"\\u0000":["\\u0000"]}}', ["a"]),
        (b'{"a":"\\uDc00"}', ["a"]),
        (b'{"\\u0000":"\\u0000"}', [""]),
    ],
)
def test_nul_and_unpaired_surrogates_are_named_where_they_are(body: bytes, names: list[str]) -> None:
    with pytest.raises(InvalidMessage) as caught:
        read_object(body)
    assert [fault.name for fault in caught.value.validation_errors] == names


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),  # a pair is one character
        (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}),  # an escaped backslash, and no NUL
        (b'{"a":"\\ud83d\\ude00","b":[1,null,{"c":"d"}]}', {"a": "\U0001f600", "b": [1, None, {"c": "d"}]}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),  # a byte order mark is skipped
        (b'{"a":1.5,"b":' + b"9" * 40 + b"}", {"a": 1.5, "b": int("9" * 40)}),
        (b'{"a":[' + b"[]," * 100 + b"[]]}", {"a": [[]] * 101}),  # many brackets, little depth
    ],
)
def test_good_texts(body: bytes, value: dict[str, Any]) -> None:
    assert read_object(body) == value


def test_sixty_four_levels_are_the_most() -> None:
    assert list(read_object(FEW_LEVELS)) == ["a"]
    assert read_object(b'{"x":[[]],' + FEW_LEVELS[1:])["x"] == [[]]  # more brackets than levels
    with pytest.raises(InvalidMessage, match="too deep"):
        read_object(b'{"a":' + FEW_LEVELS + b"}")


@given(st.binary())
def test_any_bytes_give_an_object_or_our_error(body: bytes) -> None:
    with suppress(InvalidMessage):
        assert isinstance(read_object(body), dict)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters()), JSON_VALUES))
def test_what_is_read_can_be_written_and_read_again(value: dict[str, Any]) -> None:
    try:
        read = read_object(json.dumps(value).encode())
    except InvalidMessage:
        return
    assert read_object(write_object(read)) == read


class Inner(WireModel):
    word: str
    words: tuple[str, ...] = ()


class Outer(WireModel):
    number: int
    inner: Inner


def test_all_faults_are_named_with_their_paths() -> None:
    with pytest.raises(InvalidMessage) as caught:
        validated(Outer, {"number": "SECRET", "inner": {"word": 5}})
    assert caught.value.validation_errors == (
        FieldFault("number", "must be an integer"),
        FieldFault("inner.word", "must be a string"),
    )
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_number_of_faults_is_bounded() -> None:
    class Many(WireModel):
        numbers: dict[str, int]

    with pytest.raises(InvalidMessage) as caught:
        validated(Many, {"numbers": {str(n): None for n in range(1000)}})
    assert len(caught.value.validation_errors) == MAX_FAULTS


def test_an_array_of_faulty_entries_is_not_called_empty_too() -> None:
    class Some(WireModel):
        words: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]

    for words, names in (([], ["words"]), ([5], ["words.0"])):
        with pytest.raises(InvalidMessage) as caught:
            validated(Some, {"words": words})
        assert [fault.name for fault in caught.value.validation_errors] == names


@pytest.mark.spec("DISC-11")
def test_unknown_fields_are_kept() -> None:
    assert validated(Outer, {"number": 1, "inner": {"word": "x", "new": [1]}}).inner.model_extra == {"new": [1]}


@pytest.mark.parametrize("text", ["\0", "a\x1fb", "\x7f", "\x80", "x\x9f", "\ud800", "\n"])
def test_control_characters(text: str) -> None:
    assert has_control_characters(text)


@pytest.mark.parametrize("text", ["", "plain", "a b", "\xa0", "ä\u2028", "\U0001f600", "\u202e"])
def test_no_control_characters(text: str) -> None:
    assert not has_control_characters(text)
