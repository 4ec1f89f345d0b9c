"""`ocm doctor`: what stands between this server and another one, or between this server and the world, and what to do about it.

Rules kept here: one line for each step, the worst is seen at a glance; what is printed may be shown to anybody.
"""

from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.beside import quiet_logs
from opencloudmesh.cli.faults import EXIT_FAILED, EXIT_WARNED
from opencloudmesh.cli.operator import HERE, Folder, dir_option
from opencloudmesh.cli.terminal import Output, Terminal, in_folder

if TYPE_CHECKING:
    from opencloudmesh.services.doctor import Finding, Report, StepResult

_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}
_EXIT: Final = {"ok": 0, "warn": EXIT_WARNED, "fail": EXIT_FAILED}
_OUTCOME_WIDTH: Final = 9
_STEP_WIDTH: Final = 12


def register(app: App, group: Group) -> None:
    """Add the command of this module."""
    app.command(doctor, group=group)


async def doctor(
    peer: Annotated[str | None, Parameter(name="PEER", help="The other server: a host, a URL or an address.")] = None,
    /,
    *,
    folder: Folder = HERE,
    output: Output = Output(),
) -> int:
    """Find out why another server cannot be reached or does not understand us; without PEER, how others see this server.

    Nothing is changed, here or there; the server may be running or not. What PEER refused, because it did not deal with this
    server, is tried again where it takes a signed request now.

    Exit status: 0 all is well, 5 there are warnings, 1 something fails.
    """
    from opencloudmesh import bootstrap
    from opencloudmesh.services.tracing import begin_trace

    quiet_logs()
    trace_id = begin_trace()
    if peer is None:
        async with bootstrap.own_doctor(folder) as own:
            report = await own.examine()
    else:
        async with bootstrap.peer_doctor(folder) as other:
            report = await other.examine(peer)
    show(report, output.terminal(), trace_id, dir_option(folder))
    return _EXIT[report.outcome]


def show(report: "Report", terminal: Terminal, trace_id: str, there: str = "") -> None:
    """Print a report; under the trace id both servers have its requests in their exchange logs (ours `there`: a `--dir`)."""
    if terminal.json:
        terminal.show(describe(report) | {"trace_id": trace_id})
        return
    for result in report.results:
        terminal.styled(
            _STYLES[result.outcome],
            result.outcome.value.ljust(_OUTCOME_WIDTH),
            f"{result.step.ljust(_STEP_WIDTH)} {_summary(result)}",
        )
        for finding in result.seen.findings:
            for style, line in _lines(finding, there):
                terminal.styled(style, " " * (_OUTCOME_WIDTH + _STEP_WIDTH + 1), line)
    terminal.styled(_STYLES[report.outcome], "", _conclusion(report))
    if report.tried_again:
        terminal.styled("", "", "It takes our signed requests: what it refused before is tried again, one message first.")
    if not report.own:
        terminal.styled("dim", "", f"Every request of this, here and there: ocm log --trace {trace_id}{there}")


def _summary(result: "StepResult") -> str:
    """The sentence of the only finding is not said twice."""
    findings = result.seen.findings
    return "" if findings and findings[0].sentence == result.seen.summary else result.seen.summary


def _lines(finding: "Finding", there: str) -> list[tuple[str, str]]:
    mark = "note: " if finding.outcome == "ok" else ""
    lines = [(_STYLES[finding.outcome] if not mark else "", f"{mark}{finding.sentence} ({finding.code})")]
    lines += [("", f"we:   {in_folder(finding.us, there)}")] if finding.us else []
    return lines + ([("", f"they: {finding.them}")] if finding.them else [])


def _conclusion(report: "Report") -> str:
    parts = [f"{report.count(kind)} {word}" for kind, word in _counted() if report.count(kind)]
    return f"{report.subject}: {', '.join(parts)}"


def _counted() -> list[tuple[Any, str]]:
    from opencloudmesh.services.doctor import Outcome

    return [(Outcome.FAIL, "failed"), (Outcome.WARN, "with warnings"), (Outcome.SKIPPED, "skipped"), (Outcome.OK, "ok")]


def describe(report: "Report") -> dict[str, Any]:
    """The document of `--json`."""
    return {
        "subject": report.subject,
        "own": report.own,
        "at": report.at,
        "outcome": report.outcome.value,
        "tried_again": report.tried_again,
        "steps": [_describe_step(result) for result in report.results],
    }


def _describe_step(result: "StepResult") -> dict[str, Any]:
    return {
        "step": result.step,
        "outcome": result.outcome.value,
        "summary": result.seen.summary,
        "seconds": result.seconds,
        "facts": dict(result.seen.facts),
        "findings": [
            {"outcome": f.outcome.value, "code": f.code, "message": f.sentence, "us": f.us, "them": f.them}
            for f in result.seen.findings
        ],
    }
