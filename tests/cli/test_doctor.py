"""What `ocm doctor` prints of a report."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from opencloudmesh.cli.doctor import describe, show
from opencloudmesh.cli.operator import dir_option
from opencloudmesh.cli.terminal import Terminal
from opencloudmesh.services.doctor import Report, Seen, StepResult
from opencloudmesh.services.doctor.findings import fail, note, warn

REPORT = Report(
    "away.example",
    False,
    1.8e9,
    tuple(
        StepResult(name, seen.outcome, seen, 0.1)
        for name, seen in {
            "dns": Seen("192.0.2.1 (IPv4)", {"addresses": []}),
            "tls": Seen("9 days left", {}, (warn("tls-ends-soon", "The certificate ends.", them="Renew it."),)),
            "discovery": Seen("It is \x1b[31mred\u202e.", {}, (fail("http-404", "It is \x1b[31mred\u202e.", us="Ask."),)),
            "legacy": Seen("served", {}, (note("words-unknown", "Unknown words."),)),
        }.items()
    ),
)


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def printed(capsys: pytest.CaptureFixture[str], *, json: bool = False) -> str:
    show(REPORT, Terminal(json=json), TRACE)
    return capsys.readouterr().out


def test_one_line_for_each_step_and_what_to_do_below(capsys: pytest.CaptureFixture[str]) -> None:
    pad = " " * 22
    assert printed(capsys).splitlines() == [
        "ok       dns          192.0.2.1 (IPv4)",
        "warn     tls          9 days left",
        f"{pad}The certificate ends. (tls-ends-soon)",
        f"{pad}they: Renew it.",
        "fail     discovery",
        f"{pad}It is \\x1b[31mred\\u202e. (http-404)",
        f"{pad}we:   Ask.",
        "ok       legacy       served",
        f"{pad}note: Unknown words. (words-unknown)",
        "away.example: 1 failed, 1 with warnings, 2 ok",
        f"Every request of this, here and there: ocm log --trace {TRACE}",
    ]


def test_the_command_that_shows_more_names_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    show(REPORT, Terminal(json=False), TRACE, dir_option(Path("my cloud")))
    assert capsys.readouterr().out.endswith(f"ocm log --trace {TRACE} --dir 'my cloud'\n")
    assert dir_option(Path(".")) == ""


def test_the_commands_of_an_advice_name_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    us = "See: ocm peer show away.example, then ocm log show 7, or ocm peer allow away.example; as a user: ocm deliveries."
    report = Report(
        "away.example",
        False,
        1.8e9,
        (StepResult("trust", fail("x", "No.", us=us).outcome, Seen("", {}, (fail("x", "No.", us=us),)), 0.1),),
    )
    show(report, Terminal(json=False), TRACE, dir_option(Path("cloud")))
    assert (
        "ocm peer show --dir cloud away.example, then ocm log show --dir cloud 7, or ocm peer allow --dir cloud away.example; "
        "as a user: ocm deliveries."
    ) in capsys.readouterr().out


def test_it_says_that_what_was_refused_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    for number in (0, 1):
        show(replace(REPORT, tried_again=number), Terminal(json=False), TRACE)
        assert ("what it refused before is tried again" in capsys.readouterr().out) == bool(number)
        assert describe(replace(REPORT, tried_again=number))["tried_again"] == number


def test_colours_only_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    coloured = printed(capsys)
    assert "\x1b[33mwarn" in coloured
    assert "\x1b[1;31mfail" in coloured
    assert "\x1b[31mred" not in coloured, "a peer paints nothing"
    monkeypatch.setenv("NO_COLOR", "1")
    plain = printed(capsys)
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_the_document_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(printed(capsys, json=True))
    assert document == json.loads(json.dumps(describe(REPORT))) | {"trace_id": TRACE}
    assert (document["outcome"], document["steps"][1]["findings"]) == (
        "fail",
        [{"outcome": "warn", "code": "tls-ends-soon", "message": "The certificate ends.", "us": "", "them": "Renew it."}],
    )
