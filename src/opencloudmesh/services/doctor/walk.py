"""Steps as data, and the walk through them: each as soon as those before it have ended, each in bounded time.

Rules kept here: a step that needs one that failed is skipped and says so; a step that hangs fails alone; the whole walk ends
within `WALK_SECONDS`, whatever the other side does; an error of ours becomes a finding with its code.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.doctor.findings import Finding, Outcome, Seen, fail, worst

V = TypeVar("V")
_log = structlog.get_logger(__name__)

WALK_SECONDS: Final = 28.0
STEP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Step(Generic[V]):
    """One step over a visit `V`, where it leaves what later steps use.

    It begins when the steps in `needs` and `after` have ended; if one in `needs` failed or was skipped, it is skipped.
    """

    name: str
    look: Callable[[V], Awaitable[Seen]]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    seconds: float = STEP_SECONDS


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step ended, after how many seconds of its own."""

    step: str
    outcome: Outcome
    seen: Seen
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """All steps in their order; `subject` is the host that was looked at, `own` whether it is ours; `tried_again`: so many
    messages that it had refused."""

    subject: str
    own: bool
    at: float
    results: tuple[StepResult, ...]
    tried_again: int = 0

    @property
    def outcome(self) -> Outcome:
        return worst(result.outcome for result in self.results if result.outcome is not Outcome.SKIPPED)

    def of(self, step: str) -> StepResult:
        """The result of a step; raises `KeyError`."""
        return {result.step: result for result in self.results}[step]

    def count(self, outcome: Outcome) -> int:
        """How many steps ended so."""
        return sum(result.outcome is outcome for result in self.results)


async def walk(steps: Sequence[Step[V]], visit: V, *, seconds: float = WALK_SECONDS) -> tuple[StepResult, ...]:
    """Walk through all steps; the results are in the order of the steps."""
    deadline = asyncio.get_running_loop().time() + seconds
    tasks: dict[str, asyncio.Task[StepResult]] = {}
    async with asyncio.TaskGroup() as group:
        for step in steps:
            before = {name: tasks[name] for name in (*step.needs, *step.after)}  # KeyError: steps name earlier ones only
            tasks[step.name] = group.create_task(_take(step, visit, before, deadline), name=f"doctor: {step.name}")
    return tuple(task.result() for task in tasks.values())


async def _take(step: Step[V], visit: V, before: "dict[str, asyncio.Task[StepResult]]", deadline: float) -> StepResult:
    for task in before.values():
        await asyncio.wait([task])
    lacking = [name for name in step.needs if before[name].result().outcome in (Outcome.FAIL, Outcome.SKIPPED)]
    if lacking:
        return StepResult(step.name, Outcome.SKIPPED, Seen(f"not looked at, because of {lacking[0]}"), 0.0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    seen = await _look(step, visit, max(0.0, min(step.seconds, deadline - began)))
    return StepResult(step.name, seen.outcome, seen, round(loop.time() - began, 3))


async def _look(step: Step[V], visit: V, seconds: float) -> Seen:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await step.look(visit)
    except OCMError as error:
        return failed(fail(error.code, error.sentence, us=error.hint or "See docs/reason-codes.md for this code."))
    except Exception as error:
        if isinstance(error, TimeoutError) and limit.expired():
            us = "Try again; if it stays, something on the way drops packets (a firewall, a tunnel with a small MTU)."
            return failed(fail("step-timeout", f"Nothing came of it within {seconds:.0f} seconds.", us=us))
        _log.exception("step failed", step=step.name)
        return failed(fail("internal", f"The doctor itself stumbled here ({type(error).__name__}).", us="Report this as a bug."))


def failed(finding: Finding) -> Seen:
    """What a step saw that found nothing but this."""
    return Seen(finding.sentence, findings=(finding,))
