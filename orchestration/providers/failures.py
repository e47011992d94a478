"""Turns a failed command into the provider's own error, in one place.

Providers (ovs, ip_link, qemu_img, images) state in a sentence what they were doing;
this module adds the command's output. It also recognises a full file system, because
every tool reports that with the same words. Parsing output belongs to the providers.
"""

from dataclasses import dataclass

from orchestration.errors import (
    CommandFailed,
    CommandTimedOut,
    NotEnoughSpace,
    TestbedError,
)
from orchestration.transport.base import Command, Completed, OnLine, Scope, Transport

NO_SPACE = "No space left on device"
DETAIL_LINES = 10


@dataclass(frozen=True, slots=True)
class Failure:
    """The error to raise when a command fails: its class, sentence and hint."""

    error: type[TestbedError]
    message: str
    hint: str = ""

    def build(self, detail: str, *, hint: str = "") -> TestbedError:
        """Build the error; `hint` replaces the usual one."""
        return self.error(self.message, hint=hint or self.hint, detail=detail)


def run_or_fail(
    transport: Transport,
    cmd: Command,
    failure: Failure,
    *,
    scope: Scope,
    timeout_s: float = 60.0,
    on_line: OnLine | None = None,
) -> Completed:
    """Run a command; a non-zero exit raises `failure`, or NotEnoughSpace."""
    try:
        completed = transport.run(
            cmd, scope=scope, timeout_s=timeout_s, on_line=on_line, check=False
        )
    except CommandTimedOut as exc:
        evidence = f"{cmd}: no end within {timeout_s:g} s\n{exc.detail}".strip()
        raise failure.build(evidence) from exc
    except CommandFailed as exc:
        raise failure.build(f"{exc.message}\n{exc.detail}".strip()) from exc
    if completed.exit_code != 0:
        raise failure_of(completed, failure, machine=transport.machine)
    return completed


def failure_of(completed: Completed, failure: Failure, *, machine: str) -> TestbedError:
    """Build the error of a command that ended with a non-zero exit code."""
    if NO_SPACE in completed.stderr:
        return NotEnoughSpace(
            f"A file system on {machine} is full. {failure.message}",
            hint="Make room there, then start again.",
            detail=evidence_of(completed),
        )
    return failure.build(evidence_of(completed))


def evidence_of(completed: Completed) -> str:
    """Return the command and the last lines of its output."""
    said = (completed.stderr.strip() or completed.stdout.strip()).splitlines()
    first = f"{completed.command} ended with exit code {completed.exit_code}"
    return "\n".join([first, *said[-DETAIL_LINES:]])
