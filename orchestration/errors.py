"""Every error that the engine raises, as one tree.

    TestbedError
    ├── SpecError            the YAML is wrong; carries all findings with their lines
    ├── StateError           state.json or the artefacts are missing, old or broken
    ├── SelectionFailed      a pattern of guests is malformed or matches none
    ├── ExecutionRefused     a command for guests is incomplete or contradictory
    ├── PathOutside          a path leaves the folders that it may use
    ├── HostUnreachable      a testbed host does not answer
    │   ├── AuthenticationRefused   it answers and rejects our key
    │   ├── HostKeyMismatch         it answers with a key that is not the pinned one
    │   ├── TemporarilyRefused      its SSH server accepts no connection for now
    │   ├── ForwardingForbidden     it opens no connection to its guests
    │   └── ShellUnusable           its login shell does not run our commands
    ├── GuestUnreachable     a guest did not come up; names the first layer that failed
    ├── PowerFailed          a guest cannot be started or stopped as asked, or is not
    ├── SnapshotFailed       a snapshot cannot be taken, restored or deleted
    ├── ConsoleUnavailable   a guest's console or shell cannot be opened now
    ├── CommandFailed        a command ended with a non-zero exit code
    │   └── CommandTimedOut  it did not end in time and was ended
    ├── LibvirtFailed        libvirt refused or failed
    ├── NetworkFailed        a bridge, port, link or network could not be made
    ├── ArchiveRefused       a guest's archive breaks a rule, or is too large
    ├── ForeignThing         a thing has a name of ours and does not carry our mark
    ├── ImageFailed          an image is missing, broken or could not be fetched
    ├── NotEnoughSpace       a file system is full
    ├── TestbedBusy          another run is active
    ├── NotBuiltYet          the language allows it, this version does not do it
    └── Cancelled            the user cancelled the run

Foreign exceptions are translated where their library is imported, never later.
"""

from dataclasses import dataclass
from enum import StrEnum


class TestbedError(Exception):
    """Describes a failure: what happened, to what, where, and what to do next.

    `message` is one sentence without jargon, `hint` the next step, `detail` the last
    lines of evidence (shown folded). The raiser decides `retryable`.
    """

    __test__ = False  # pytest: the name starts with Test

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        detail: str = "",
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail
        self.retryable = retryable

    @property
    def sentence(self) -> str:
        """The message and the hint, for places with a single line."""
        return f"{self.message} {self.hint}".strip()


class StateError(TestbedError):
    """state.json or the artefacts cannot be used."""


class SelectionFailed(TestbedError):
    """A pattern of guests is malformed, names unknown guests or matches none."""


class ExecutionRefused(TestbedError):
    """A command for guests is incomplete or contradictory."""


class PathOutside(TestbedError):
    """A path leaves the testbed's folder and the allowed folders."""


class HostUnreachable(TestbedError):
    """A testbed host does not answer (SSH, libvirt or Open vSwitch)."""


class AuthenticationRefused(HostUnreachable):
    """A machine answered and rejected our key."""


class HostKeyMismatch(HostUnreachable):
    """A machine answered with another key than the pinned one."""


class TemporarilyRefused(HostUnreachable):
    """An SSH server reports that it accepts no connection for now."""


class ForwardingForbidden(HostUnreachable):
    """A host's SSH server forbids the connections to its guests."""


class ShellUnusable(HostUnreachable):
    """The login shell of a machine did not run our command."""


class GuestUnreachable(TestbedError):
    """A guest did not come up; names the first layer that failed."""


class PowerFailed(TestbedError):
    """A guest is not in a state for the power verb, or did not obey it in time."""


class SnapshotFailed(TestbedError):
    """A guest's snapshot cannot be taken, restored, deleted or renamed as asked."""


class ConsoleUnavailable(TestbedError):
    """A guest is off, has no console, or another program has it."""


class CommandFailed(TestbedError):
    """A command failed; carries its exit code and last lines."""

    def __init__(
        self, message: str, *, exit_code: int, hint: str = "", detail: str = ""
    ) -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.exit_code = exit_code


class CommandTimedOut(CommandFailed):
    """A command did not end in time and was ended by us."""


class LibvirtFailed(TestbedError):
    """A translated libvirtError; `detail` is libvirt's own text."""


class NetworkFailed(TestbedError):
    """A bridge, port, link or network could not be made or removed."""


class ArchiveRefused(TestbedError):
    """A guest sends no archive, leads out of its folder, or sends too much."""


class ForeignThing(TestbedError):
    """A thing on a host has a name of ours and not our mark; it is never touched.

    `what` is its kind and name, `owner` completes "belongs to" where its mark names one.
    """

    def __init__(self, what: str, machine: str, *, owner: str = "") -> None:
        whose = f"belongs to {owner}" if owner else "was not made by a testbed"
        super().__init__(
            f"The {what} on {machine} {whose}; it is left alone.",
            hint="Ask a lab admin to remove it, or use another name.",
        )


class ImageFailed(TestbedError):
    """An image is missing, broken or could not be fetched."""


class NotEnoughSpace(TestbedError):
    """A file system on a host is full."""


class TestbedBusy(TestbedError):
    """Another run is active on this testbed; names its user and start."""


class NotBuiltYet(TestbedError):
    """The language allows something that this version does not do."""


class Cancelled(TestbedError):
    """Ends a task because its run was cancelled."""

    def __init__(self, message: str = "Cancelled.") -> None:
        super().__init__(message)


class Severity(StrEnum):
    """An error forbids `up`; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One remark about a YAML: position (1-based line and column), message and hint.

    `path` is the path in the document: `machines[2].interfaces[0].bridge`.
    """

    line: int
    column: int
    severity: Severity
    path: str
    message: str
    hint: str = ""


class SpecError(TestbedError):
    """Carries every finding of an invalid YAML, sorted by line."""

    def __init__(self, message: str, *, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message, hint="Fix the lines below and try again.")
        self.findings = findings
