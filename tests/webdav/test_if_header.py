"""The If header, from values."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.webdav.answers import DavRefusal
from opencloudmesh.webdav.if_header import Condition, ConditionList, State, holds, parse_if, tokens_of

BAD = sorted((Path(__file__).parents[1] / "vectors/bad/webdav/if").iterdir())
HERE = State({"urn:l"}, '"e"')


@pytest.mark.parametrize(
    ("value", "lists"),
    [
        ("(<urn:a>)", [("", [Condition(False, token="urn:a")])]),
        (' ( <urn:a>  ["e"] ) ', [("", [Condition(False, token="urn:a"), Condition(False, etag='"e"')])]),
        ('(["e,)>"])', [("", [Condition(False, etag='"e,)>"')])]),
        ('([W/"e"])(Not<urn:a>)', [("", [Condition(False, etag='W/"e"')]), ("", [Condition(True, token="urn:a")])]),
        ('(not ["e"])', [("", [Condition(True, etag='"e"')])]),
        ("<http://h/p> (<urn:a>) (<urn:b>) </q> (<urn:c>)",
         [("http://h/p", [Condition(False, token="urn:a")]), ("http://h/p", [Condition(False, token="urn:b")]),
          ("/q", [Condition(False, token="urn:c")])]),
        ("</q>(<urn:a>)</q>(<urn:b>)", [("/q", [Condition(False, token="urn:a")]), ("/q", [Condition(False, token="urn:b")])]),
    ],
)  # fmt: skip
def test_what_is_read(value: str, lists: list[tuple[str, list[Condition]]]) -> None:
    assert parse_if(value) == tuple(ConditionList(tag, tuple(conditions)) for tag, conditions in lists)


def test_a_missing_header_says_nothing() -> None:
    assert parse_if(None) == ()
    assert tokens_of(()) == frozenset()


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_bad_headers_are_refused(file: Path) -> None:
    with pytest.raises(DavRefusal) as refused:
        parse_if(file.read_text())
    assert (refused.value.status, refused.value.code) == (400, "if-invalid")


def test_every_token_in_it_is_submitted() -> None:
    assert tokens_of(parse_if('</a> (Not <urn:a> ["e"]) (<urn:b>) </c> (<urn:a>)')) == {"urn:a", "urn:b"}


@pytest.mark.parametrize(
    ("value", "states", "expected"),
    [
        ("(<urn:l>)", {"": HERE}, True),
        ("(<urn:x>)", {"": HERE}, False),
        ("(Not <urn:x>)", {"": HERE}, True),
        ("(Not <urn:l>)", {"": HERE}, False),
        ('(<urn:l> ["e"])', {"": HERE}, True),
        ('(<urn:l> ["f"])', {"": HERE}, False),
        ('(<urn:l> [W/"e"])', {"": HERE}, False),
        ('([W/"e"])', {"": State((), 'W/"e"')}, False),
        ('(<urn:x>)(["e"])', {"": HERE}, True),
        ("(<DAV:no-lock>)", {"": HERE}, False),
        ("(Not <DAV:no-lock>)", {"": HERE}, True),
        ('(Not ["e"])', {"": State()}, True),
        ('(["e"])', {"": State()}, False),
        ("</a> (<urn:l>)", {"/a": HERE}, True),
        ("</a> (<urn:l>)", {}, False),
        ("</a> (<urn:x>) </b> (<urn:l>)", {"/a": HERE, "/b": HERE}, True),
        ("</a> (<urn:x>) </b> (Not <urn:l>)", {"/a": HERE, "/b": HERE}, False),
    ],
)
def test_what_holds(value: str, states: Mapping[str, State], expected: bool) -> None:
    assert holds(parse_if(value), states) is expected


@given(st.text(alphabet='()<>[]"Not urn:a/W,\\', max_size=40))
def test_whatever_comes_is_read_or_refused(value: str) -> None:
    try:
        lists = parse_if(value)
    except DavRefusal:
        return
    assert all(one.conditions for one in lists)
    assert all(bool(each.token) != bool(each.etag) for one in lists for each in one.conditions)
