"""Conditional requests and ranges, from values."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.services.ports import Entry
from opencloudmesh.webdav.conditions import (
    ByteRange,
    Verdict,
    build_http_date,
    build_utc_time,
    has_conditions,
    judge,
    parse_http_date,
    parse_range,
    range_wanted,
)

AT = 784111777.0
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
ENTRY = Entry("f", False, 100, AT + 0.5, '"e"')
WEAK = Entry("f", False, 100, AT, 'W/"e"')

GO_ON, NOT_MODIFIED, FAILED = Verdict.GO_ON, Verdict.NOT_MODIFIED, Verdict.FAILED


def test_dates() -> None:
    assert build_http_date(AT + 0.9) == DATE
    assert parse_http_date(DATE) == AT
    assert parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == AT
    assert parse_http_date("Sun Nov  6 08:49:37 1994") == AT
    assert parse_http_date("Sun, 06 Nov 1994 08:49:37 -0000") == AT
    for nonsense in ("", "yesterday", "Sun, 99 Nov 1994 08:49:37 GMT", "0", "9" * 999):
        assert parse_http_date(nonsense) is None
    assert build_http_date(1e18) == "Fri, 31 Dec 9999 23:59:59 GMT"
    assert build_http_date(-1e18) == "Mon, 01 Jan 0001 00:00:00 GMT"


@pytest.mark.parametrize("at", [0.0, -1.0, 86399.5, 951_782_400.0, 1e10, 1e18])
def test_a_date_in_the_form_of_rfc_3339_is_the_same_moment(at: float) -> None:
    assert parse_http_date(build_http_date(at)) == datetime.fromisoformat(build_utc_time(at)).timestamp()


@pytest.mark.parametrize(
    ("headers", "entry", "reading", "verdict"),
    [
        ({}, ENTRY, True, GO_ON),
        ({"if-match": '"e"'}, ENTRY, False, GO_ON),
        ({"if-match": '"a", "e"'}, ENTRY, False, GO_ON),
        ({"if-match": '"a,b" ,"e"'}, ENTRY, False, GO_ON),
        ({"if-match": '"a"'}, ENTRY, False, FAILED),
        ({"if-match": 'W/"e"'}, ENTRY, False, FAILED),
        ({"if-match": 'W/"e"'}, WEAK, False, FAILED),
        ({"if-match": "e"}, ENTRY, False, FAILED),
        ({"if-match": "*"}, ENTRY, False, GO_ON),
        ({"if-match": "*"}, None, False, FAILED),
        ({"if-match": '"e"'}, None, False, FAILED),
        ({"if-none-match": '"e"'}, ENTRY, True, NOT_MODIFIED),
        ({"if-none-match": 'W/"e"'}, ENTRY, True, NOT_MODIFIED),
        ({"if-none-match": '"e"'}, WEAK, True, NOT_MODIFIED),
        ({"if-none-match": '"e"'}, ENTRY, False, FAILED),
        ({"if-none-match": '"a"'}, ENTRY, False, GO_ON),
        ({"if-none-match": "*"}, ENTRY, False, FAILED),
        ({"if-none-match": "*"}, None, False, GO_ON),
        ({"if-modified-since": DATE}, ENTRY, True, NOT_MODIFIED),
        ({"if-modified-since": LATER}, ENTRY, True, NOT_MODIFIED),
        ({"if-modified-since": EARLIER}, ENTRY, True, GO_ON),
        ({"if-modified-since": DATE}, ENTRY, False, GO_ON),
        ({"if-modified-since": "nonsense"}, ENTRY, True, GO_ON),
        ({"if-modified-since": DATE, "if-none-match": '"a"'}, ENTRY, True, GO_ON),
        ({"if-unmodified-since": EARLIER}, ENTRY, False, FAILED),
        ({"if-unmodified-since": DATE}, ENTRY, False, GO_ON),
        ({"if-unmodified-since": DATE}, None, False, FAILED),
        ({"if-unmodified-since": "nonsense"}, ENTRY, False, GO_ON),
        ({"if-unmodified-since": EARLIER, "if-match": '"e"'}, ENTRY, False, GO_ON),
        ({"if-match": '"e"', "if-none-match": '"e"'}, ENTRY, True, NOT_MODIFIED),
    ],
)
def test_conditions(headers: dict[str, str], entry: Entry | None, reading: bool, verdict: Verdict) -> None:
    assert judge(headers, entry, reading=reading, now=AT + 60) is verdict
    assert has_conditions(headers) == bool(headers)


@pytest.mark.parametrize(
    ("since", "later", "verdict"),
    [
        (DATE, 0.0, FAILED), (DATE, 1.9, FAILED), (DATE, 2.1, GO_ON), (DATE, -60.0, FAILED),
        (LATER, 0.0, GO_ON), (EARLIER, 9.0, FAILED),
    ],
)  # fmt: skip
def test_a_date_of_the_second_of_a_change_counts_when_that_is_over(since: str, later: float, verdict: Verdict) -> None:
    now = ENTRY.modified_at + later
    for reading in (True, False):
        assert judge({"if-unmodified-since": since}, ENTRY, reading=reading, now=now) is verdict


@pytest.mark.parametrize(
    ("value", "size", "ranges"),
    [
        (None, 10, None),
        ("bytes=0-4", 10, ((0, 5),)),
        ("bytes=0-", 10, ((0, 10),)),
        ("Bytes = 3-3", 10, ((3, 1),)),
        ("bytes=-3", 10, ((7, 3),)),
        ("bytes=-30", 10, ((0, 10),)),
        ("bytes=5-99", 10, ((5, 5),)),
        ("bytes=0-0, 9-9", 10, ((0, 1), (9, 1))),
        ("bytes=10-", 10, ()),
        ("bytes=-0", 10, ()),
        ("bytes=0-", 0, ()),
        ("bytes=-1", 0, ()),
        ("bytes=20-30,0-1", 10, ((0, 2),)),
        ("bytes=4-2", 10, None),
        ("bytes=-", 10, None),
        ("bytes=", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=1-2,,3-4", 10, ((1, 2), (3, 2))),
        ("bytes=0-1,", 10, ((0, 2),)),
        ("bytes=, 0-1 , ", 10, ((0, 2),)),
        ("bytes= , ,", 10, None),
        ("bytes", 10, None),
        ("lines=0-4", 10, None),
        ("bytes=0-9,0-9", 10, None),
        ("bytes=" + ",".join(["0-0"] * 33), 100, None),
        ("bytes=0-" + "9" * 30, 10, ((0, 10),)),
        ("bytes=-" + "9" * 30, 10, ((0, 10),)),
        ("bytes=" + "9" * 30 + "-", 10, ()),
        ("bytes=" + "9" * 6000 + "-", 10, ()),
        ("bytes=" + "9" * 30 + "-5", 10, None),
        ("bytes=" + "0" * 30 + "1-3", 10, ((1, 3),)),
        ("bytes=\u0661-\u0662", 10, None),
    ],
)
def test_ranges(value: str | None, size: int, ranges: tuple[tuple[int, int], ...] | None) -> None:
    assert parse_range(value, size) == ranges


@given(st.text(alphabet="0123456789-, bytes=", max_size=30).map("bytes={}".format), st.integers(0, 50))
def test_ranges_lie_inside_the_file(value: str, size: int) -> None:
    for part in parse_range(value, size) or ():
        assert isinstance(part, ByteRange)
        assert 0 <= part.start < part.start + part.length <= size


@pytest.mark.parametrize(
    ("guard", "entry", "holds"),
    [
        ('"e"', ENTRY, True), ('"a"', ENTRY, False), ('W/"e"', ENTRY, False), ('W/"e"', WEAK, False), (DATE, ENTRY, False),
        (LATER, ENTRY, False), ("nonsense", ENTRY, False), ("", ENTRY, True),
    ],
)  # fmt: skip
def test_if_range(guard: str, entry: Entry, holds: bool) -> None:
    headers = {"range": "bytes=0-1", "if-range": guard}
    assert range_wanted(headers, entry) == ("bytes=0-1" if holds else None)
