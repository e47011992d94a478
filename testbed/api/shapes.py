"""The JSON shapes that views answer with: a run's instructions, an error."""

from dataclasses import asdict
from json import dumps

from orchestration.errors import SpecError, TestbedError
from orchestration.plan.lifecycle import Plan
from testbed.models import Run


def instructions_of(run: Run) -> list[dict[str, object]]:
    """Return the stored plan's instructions as the protocol shows them."""
    plan = Plan.from_json(run.plan if isinstance(run.plan, str) else dumps(run.plan))
    return [
        {
            "index": instruction.index,
            "kind": instruction.kind,
            "title": instruction.title,
            "resources": [resource.name for resource in instruction.resources],
        }
        for instruction in plan.instructions
    ]


def problem_json(problem: TestbedError) -> dict[str, object]:
    """Return an error; a SpecError with its findings."""
    shape: dict[str, object] = {"error": problem.message, "hint": problem.hint}
    if isinstance(problem, SpecError):
        shape["findings"] = [asdict(finding) for finding in problem.findings]
    return shape
