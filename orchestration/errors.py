"""Every error that the engine raises, as one tree.

    TestbedError
    ├── SpecError            the YAML is wrong; carries all findings with their lines
    ├── StateError           state.json or the artefacts are missing, old or broken
    ├── PathOutside          a path leaves the folders that it may use
    ├── HostUnreachable      a testbed host does not answer
    │   ├── AuthenticationRefused   it answers and does not let us in
    │   ├── HostKeyMismatch         it answers with a key that is not the pinned one
    │   ├── TemporarilyRefused      its SSH server accepts no connection for now
    │   ├── ForwardingForbidden     it opens no connection to its guests
    │   └── ShellUnusable           its login shell does not run our commands
    ├── GuestUnreachable     a guest did not come up; names the first layer that failed
    ├── CommandFailed        a command ended with a non-zero exit code
    │   └── CommandTimedOut  it did not end in time and was ended
    ├── LibvirtFailed        libvirt refused or failed
    ├── NetworkFailed        a bridge, port, link or network could not be made
    ├── ImageFailed          an image is missing, broken or could not be fetched
    ├── NotEnoughSpace       a file system is full
    ├── TestbedBusy          another run is on
    ├── NotBuiltYet          the language allows it, this version does not do it
    └── Cancelled            the user asked to stop

Foreign exceptions are translated where their library is imported, never later.
"""

from dataclasses import dataclass
from enum import StrEnum


class TestbedError(Exception):
    """Tell a user what happened, to what, where, and what to do next.

    `message` is one sentence without jargon, `hint` the next step, `detail` the
    last lines of evidence (shown folded). `retryable` is decided by the raiser.
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
        """The message and the hint, for where there is one line to say both."""
        return f"{self.message} {self.hint}".strip()


class StateError(TestbedError):
    """Say that state.json or the artefacts cannot be used as they are."""


class PathOutside(TestbedError):
    """Refuse a path that leaves the testbed's folder and the allowed folders."""


class HostUnreachable(TestbedError):
    """Say that a testbed host does not answer (SSH, libvirt or Open vSwitch)."""


class AuthenticationRefused(HostUnreachable):
    """Say that a machine answered and refused our key."""


class HostKeyMismatch(HostUnreachable):
    """Say that a machine answered with another key than the pinned one."""


class TemporarilyRefused(HostUnreachable):
    """Say that an SSH server accepts no connection for now, and says so."""


class ForwardingForbidden(HostUnreachable):
    """Say that a host's SSH server forbids the connections to its guests."""


class ShellUnusable(HostUnreachable):
    """Say that the login shell of a machine did not run a command of ours."""


class GuestUnreachable(TestbedError):
    """Name the first layer at which a guest failed to come up."""


class CommandFailed(TestbedError):
    """Carry the exit code and the last lines of a command that failed."""

    def __init__(
        self, message: str, *, exit_code: int, hint: str = "", detail: str = ""
    ) -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.exit_code = exit_code


class CommandTimedOut(CommandFailed):
    """Say that a command did not end in time and was ended by us."""


class LibvirtFailed(TestbedError):
    """Translate a libvirtError; `detail` is libvirt's own text."""


class NetworkFailed(TestbedError):
    """Say which bridge, port, link or network could not be made or removed."""


class ImageFailed(TestbedError):
    """Say which image is missing, broken or could not be fetched."""


class NotEnoughSpace(TestbedError):
    """Say which file system on which host is full."""


class TestbedBusy(TestbedError):
    """Say who runs what on this testbed, and since when."""


class NotBuiltYet(TestbedError):
    """Refuse, in one sentence, what the language allows and we do not do yet."""


class Cancelled(TestbedError):
    """Unwind a task because its run was cancelled."""

    def __init__(self, message: str = "Cancelled.") -> None:
        super().__init__(message)


class Severity(StrEnum):
    """An error forbids `up`; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One remark about a YAML: where (1-based line and column), what, what to do.

    `path` is the place in the document: `machines[2].interfaces[0].bridge`.
    """

    line: int
    column: int
    severity: Severity
    path: str
    message: str
    hint: str = ""


class SpecError(TestbedError):
    """Carry every finding of a YAML that cannot be used, sorted by line."""

    def __init__(self, message: str, *, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message, hint="Fix the lines below and try again.")
        self.findings = findings
