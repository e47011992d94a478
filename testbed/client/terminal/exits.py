"""Exit codes, and how a failure is printed: a sentence, a hint, or JSON of both."""

import json
import sys
from collections.abc import Sequence
from typing import TextIO

from orchestration.errors import Finding, SpecError, TestbedError
from orchestration.terminal import plain, plain_lines
from testbed.client.rest.problems import ServerProblem

DONE, FAILED, WRONG_USE, REFUSED, CANCELLED = 0, 1, 2, 3, 130
# A shell reports this code for a program that SIGPIPE ended.
READER_LEFT = 141
# Of a finding, as the API tells it.
_KEYS = {"severity", "line", "column", "message", "hint"}
_OF_STATUS = {"succeeded": DONE, "cancelled": CANCELLED}


class WrongUse(TestbedError):
    """The words of the command line do not go together, or a folder is missing."""


class Refusal(TestbedError):
    """The client itself refuses, so that nothing is lost."""


def code_of_run(status: str) -> int:
    """Return the exit code of a run that ended with a status."""
    return _OF_STATUS.get(status, FAILED)


def code_of(problem: TestbedError) -> int:
    """Return the exit code of a failure."""
    if isinstance(problem, WrongUse):
        return WRONG_USE
    is_refusal = isinstance(problem, ServerProblem) and problem.is_refusal
    return REFUSED if is_refusal or isinstance(problem, Refusal) else FAILED


def show_problem(problem: TestbedError, *, is_json: bool) -> None:
    """Print a failure to standard error."""
    findings = findings_of(problem)
    if is_json:
        shape: dict[str, object] = {"error": problem.message, "hint": problem.hint}
        if problem.detail:
            shape["detail"] = problem.detail
        if findings:
            shape["findings"] = findings
        sys.stderr.write(f"{json.dumps(shape)}\n")
        return
    _write(sys.stderr, f"Error: {problem.message}")
    if problem.hint:
        _write(sys.stderr, f"  {problem.hint}")
    for finding in findings:
        where = f"line {finding['line']}:{finding['column']} {finding['severity']}"
        hint = f" ({finding['hint']})" if finding["hint"] else ""
        _write(sys.stderr, f"  {where}: {finding['message']}{hint}")
    if problem.detail:
        _write(sys.stderr, problem.detail)


def finding_json(finding: Finding) -> dict[str, str | int]:
    """Return a finding as a JSON object."""
    return {
        "severity": finding.severity.value,
        "line": finding.line,
        "column": finding.column,
        "path": finding.path,
        "message": finding.message,
        "hint": finding.hint,
    }


def findings_of(problem: TestbedError) -> Sequence[dict[str, str | int]]:
    """Return the findings of a problem with a YAML, of here or the server, as JSON."""
    if isinstance(problem, SpecError):
        return [finding_json(finding) for finding in problem.findings]
    if isinstance(problem, ServerProblem):
        found = problem.body.get("findings")
        items = found if isinstance(found, list) else []
        return [one for one in items if isinstance(one, dict) and one.keys() >= _KEYS]
    return ()


def _write(to: TextIO, text: str) -> None:
    to.write(f"{plain_lines(text) if chr(10) in text else plain(text)}\n")
