"""What is printed, and how values are typed and shown."""

import json
import time
from datetime import datetime
from typing import Any

import pytest

from opencloudmesh.cli.faults import UsageFault
from opencloudmesh.cli.formats import (
    format_size,
    format_time,
    format_wait,
    parse_expiry,
    parse_moment,
    path_to_share,
    remote_path,
    text_of,
    words_of,
)
from opencloudmesh.cli.progress import draw_progress
from opencloudmesh.cli.terminal import Terminal, clean, to_json

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 日本 🙂", "Grüße, 日本 🙂"),
        ("a\u00a0b\u202fc", "a\u00a0b\u202fc"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\r\nb\tc\x7f\x9b", "a\\r\\nb\\tc\\x7f\\x9b"),
        ("\u202eevil\u2066\u200b", "\\u202eevil\\u2066\\u200b"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("half\ud83d", "half\\ud83d"),
        ("bob\u3164\u115f\uffa0", "bob\\u3164\\u115f\\uffa0"),
        ("bo\u034fb\ufe0f\u2800", "bo\\u034fb\\ufe0f\\u2800"),
        ("\U000e0100\u2067moc.elpmaxe\u2069", "\\U000e0100\\u2067moc.elpmaxe\\u2069"),
        ("", ""),
    ],
)
def test_clean_leaves_only_what_can_be_seen(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_json_is_ascii_without_controls_and_comes_back() -> None:
    value = {"name": "ü\x7f\x1b\u202e\ud83d"}
    text = to_json(value)
    assert text.isascii()
    assert all(char.isprintable() or char == "\n" for char in text)
    assert json.loads(text) == value


def test_notes_are_silent_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(json=True).note("x")
    Terminal(json=False).note("y\x1b")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "y\\x1b\n")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 30 * 86400), ("12h", 43200), ("45m", 2700), ("2W", 1209600), (" 1d ", 86400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_expiry(text, NOW) == NOW + seconds


def test_dates_hold_to_their_end() -> None:
    assert parse_expiry("2030-12-31", NOW) == datetime(2031, 1, 1).timestamp()
    assert parse_expiry("2030-12-31T12:00:00+00:00", NOW) == 1924948800.0


@pytest.mark.parametrize(
    "text", ["", "soon", "30", "30y", "-1d", "\N{ARABIC-INDIC DIGIT THREE}d", "2030-02-30", "9999999d", "0001-01-01T00:00"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageFault):
        parse_expiry(text, NOW)


@pytest.mark.parametrize("text", ["0d", "2020-01-01"])
def test_times_that_are_past(text: str) -> None:
    with pytest.raises(UsageFault) as caught:
        parse_expiry(text, NOW)
    assert caught.value.code == "already-expired"


@pytest.mark.parametrize("at", [float("inf"), float("nan"), 1e300, "x", [], -1e20])
def test_a_time_that_is_none_is_shown_as_it_is(at: Any) -> None:
    assert format_time(at) == str(at)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [("UTC", "2001-09-09 01:46 UTC"), ("CET-1", "2001-09-09 02:46 +01:00"), ("XYZ4:30", "2001-09-08 21:16 -04:30")],
)
def test_a_time_is_local_says_so_and_can_be_typed(monkeypatch: pytest.MonkeyPatch, zone: str, shown: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert format_time(1e9) == shown
        monkeypatch.undo()
        time.tzset()
        assert parse_moment(shown, 0.0) == parse_expiry(shown, 0.0) == 1e9 - 40
    finally:
        monkeypatch.undo()
        time.tzset()
    assert format_time(None) == ""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "now"), (0, "now"), (0.2, "in 1 s"), (59, "in 59 s"), (60, "in 1 min"), (150, "in 3 min"), (3600, "in 1 h"),
        (7800, "in 2 h 10 min"), (8 * 86400, format_time(NOW + 8 * 86400)), (float("nan"), "nan"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_how_long_it_is_until_then(seconds: float, shown: str) -> None:
    assert format_wait(NOW + seconds, NOW) == shown


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (10**18, "1000.0 PB")]
)
def test_sizes(size: int, shown: str) -> None:
    assert format_size(size) == shown


def test_fields_of_any_type_become_text() -> None:
    item = {"a": None, "b": 7, "c": ["x", 1], "d": {}}
    assert [text_of(item, field) for field in "abdx"] == ["", "7", "{}", ""]
    assert [words_of(item, field) for field in "abcx"] == ["", "7", "x, 1", ""]


@pytest.mark.parametrize(("typed", "path"), [("", ""), ("/", ""), ("/a//b/", "a/b"), ("./a/./b", "a/b"), ("a b/ü", "a b/ü")])
def test_paths(typed: str, path: str) -> None:
    assert remote_path(typed) == path


@pytest.mark.parametrize("typed", ["..", "a/../b", "a\0b"])
def test_paths_that_lead_elsewhere(typed: str) -> None:
    with pytest.raises(UsageFault):
        remote_path(typed)


@pytest.mark.parametrize("typed", ["", ".", "/", "./"])
def test_the_whole_tree_is_not_shared(typed: str) -> None:
    with pytest.raises(UsageFault, match="whole tree") as refused:
        path_to_share(typed)
    assert refused.value.code == "path-refused"
    assert path_to_share("./a/") == "a"


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for is_terminal, json_wanted, drawn in [(False, False, False), (True, True, False), (True, False, True)]:
        monkeypatch.setattr("sys.stderr.isatty", lambda value=is_terminal: value)
        monkeypatch.setenv("TERM", "xterm")
        with draw_progress(Terminal(json=json_wanted)) as progress:
            progress.found(10)
            progress.started("a-very-long-name-\x1b]0;owned\x07" + "x" * 40)
            progress.moved(10)
        printed = capsys.readouterr()
        assert bool(printed.err) == drawn
        assert printed.out == ""
        assert "\x1b]0;" not in printed.err
