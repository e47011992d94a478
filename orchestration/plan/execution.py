"""The values of `exec`: what to do on which guests, and under which conditions.

A page, a client or a saved command makes one from text; the plan holds it, so that a
run's record says exactly what ran. Nothing here touches a machine.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import PurePosixPath

from pydantic import TypeAdapter, ValidationError

from orchestration.amounts import size
from orchestration.errors import ExecutionRefused
from orchestration.plan.captures import Capture, check_capture

# Linux passes 128 KiB in one argument, and 2 MiB in all of them and the environment.
MOST_ARGUMENT_BYTES = 128 * 1024 - 1
MOST_BYTES = 1024 * 1024
MOST_SECONDS = 24 * 3600
# A place is a lock file, and a task that waits for one tries them all.
MOST_PARALLEL = 1000
DEFAULT_SECONDS = 3600
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Neither is passed to a program, and no database stores them.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\$?")


class Form(StrEnum):
    """The kinds of execution."""

    COMMAND = "command"
    SHELL = "shell"
    SCRIPT = "script"
    PUSH = "push"
    FETCH = "fetch"
    CAPTURE = "capture"
    SERIAL_LOG = "serial-log"


class Targets(StrEnum):
    """The things that a selection names."""

    GUESTS = "guests"
    HOSTS = "hosts"

    @property
    def noun(self) -> str:
        """The word for one of them."""
        return self.value.removesuffix("s")


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a program runs: `user` is an account there, empty for the login's own.

    `sudo` is root. `timeout_s` bounds each guest; 0, of a tool alone, does not. `parallel` guests run at once, 0 as
    many as possible; `in_order` keeps the selection's order in groups of `parallel`.
    After `stop_after` failures no further guest begins; 0 is never.
    """

    user: str = ""
    sudo: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    stdin: str = ""
    timeout_s: int = DEFAULT_SECONDS
    parallel: int = 0
    in_order: bool = False
    stop_after: int = 0


@dataclass(frozen=True, slots=True)
class Execution:
    """One command, script or copy for the `targets` that `selection` matches.

    `words` are a COMMAND's program and arguments, a SHELL's one line, or a SCRIPT's
    arguments. A SCRIPT is the testbed's file `path`, or the pasted `text`. PUSH copies
    the testbed's `path` to `target` in the guest; FETCH copies the guest's `path`.
    CAPTURE keeps the packets of one interface or bridge, SERIAL_LOG fetches the log of
    the guest's serial console from its host. A `tool` goes on while others run.
    """

    form: Form
    selection: str = ""
    words: tuple[str, ...] = ()
    path: str = ""
    text: str = ""
    target: str = ""
    targets: Targets = Targets.GUESTS
    tool: bool = False
    capture: Capture | None = None
    conditions: Conditions = field(default_factory=Conditions)

    @property
    def title(self) -> str:
        """The command on one line: for lists, titles and records."""
        match self.form:
            case Form.COMMAND:
                words = shlex.join(self.words)
            case Form.SHELL:
                words = self.words[0]
            case Form.SCRIPT:
                words = shlex.join((self.path or "pasted script", *self.words))
            case Form.PUSH:
                words = f"push {self.path} to {self.target}"
            case Form.FETCH:
                words = f"fetch {self.path}"
            case Form.SERIAL_LOG:
                words = "serial log"
            case Form.CAPTURE:
                words = f"capture {self.capture.filter if self.capture else ''}".strip()
        return words if len(words) <= 120 else f"{words[:119]}…"

    @property
    def is_program(self) -> bool:
        """Return whether it runs something, with an exit code and an output."""
        return self.form in (Form.COMMAND, Form.SHELL, Form.SCRIPT)

    @property
    def is_on_hosts(self) -> bool:
        """Return whether it acts on testbed hosts themselves, not in guests."""
        return self.targets is Targets.HOSTS


_ADAPTER = TypeAdapter(Execution)
_KEYS = {
    place: [one.name for one in fields(kind)]
    for place, kind in (
        ("", Execution),
        ("conditions", Conditions),
        ("capture", Capture),
    )
}


def parse_execution(data: object) -> Execution:
    """Read an execution from JSON's values and check it. Raises: ExecutionRefused."""
    _check_keys(data)
    try:
        found = _ADAPTER.validate_python(data)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise ExecutionRefused(
            f"The command cannot be read: {where}: {first['msg'].lower()}.",
            detail=str(exc)[:2000],
        ) from exc
    return checked(found)


def _check_keys(data: object) -> None:
    for place, keys in _KEYS.items():
        found = data.get(place) if place and isinstance(data, dict) else data
        for key in found if isinstance(found, dict) else ():
            if key not in keys:
                where = f"`{place}` of a command" if place else "A command"
                raise ExecutionRefused(
                    f"{where} has no key `{str(key)[:60]}`.",
                    hint=f"It has {', '.join(keys)}.",
                )


def checked(wanted: Execution) -> Execution:
    """Return an execution that can be run as it is. Raises: ExecutionRefused.

    A capture is a tool, and its place stands in for the selection.
    """
    if (wanted.capture is not None) is not (wanted.form is Form.CAPTURE):
        raise ExecutionRefused("`capture` belongs to a capture of packets, and to it.")
    if wanted.form in _CHECKS:
        _CHECKS[wanted.form](wanted)
    if wanted.is_on_hosts and not wanted.is_program:
        raise ExecutionRefused(
            "Files and packets are those of guests only.", hint="Select guests."
        )
    _check_texts(wanted)
    _check_conditions(wanted.conditions)
    _check_time(wanted)
    if wanted.capture is None:
        return wanted
    return replace(wanted, tool=True, selection=wanted.capture.place)


def _check_command(wanted: Execution) -> None:
    if not wanted.words or not wanted.words[0].strip():
        raise ExecutionRefused("There is no command.", hint="Write what is to be run.")
    if "=" in wanted.words[0] and wanted.form is Form.COMMAND:
        raise ExecutionRefused(
            f"`{wanted.words[0]}` is no program.",
            hint="Give variables as environment, or run the line in a shell.",
        )


def _check_script(wanted: Execution) -> None:
    if bool(wanted.path) is bool(wanted.text.strip()):
        raise ExecutionRefused(
            "A script is either a file of the testbed or a pasted text.",
            hint="Choose a file, or paste the script.",
        )


def _check_push(wanted: Execution) -> None:
    if not wanted.path:
        raise ExecutionRefused("No file is chosen to be pushed.")
    _require_absolute(wanted.target, "The target in the guest")


def _check_fetch(wanted: Execution) -> None:
    _require_absolute(wanted.path, "The file or folder in the guest")


def _check_capture(wanted: Execution) -> None:
    if wanted.capture is None:
        raise ExecutionRefused("No place is chosen where packets are captured.")
    check_capture(wanted.capture)


_CHECKS = {
    Form.COMMAND: _check_command,
    Form.SHELL: _check_command,
    Form.SCRIPT: _check_script,
    Form.PUSH: _check_push,
    Form.FETCH: _check_fetch,
    Form.CAPTURE: _check_capture,
}


def _require_absolute(path: str, thing: str) -> None:
    if not PurePosixPath(path).is_absolute():
        raise ExecutionRefused(
            f"{thing} has no full path: `{path}`.", hint="Begin it with a slash."
        )


def _check_texts(wanted: Execution) -> None:
    conditions, capture = wanted.conditions, wanted.capture
    texts = (
        *wanted.words,
        wanted.selection,
        *((capture.place,) if capture else ()),
        wanted.path,
        wanted.text,
        wanted.target,
        conditions.stdin,
        conditions.folder,
        *conditions.env.values(),
    )
    if any(map(_NO_TEXT.search, texts)):
        raise ExecutionRefused("A NUL character or a lone surrogate cannot be passed.")
    sizes = [len(text.encode(errors="replace")) for text in texts]
    if sum(sizes) > MOST_BYTES:
        raise ExecutionRefused(
            f"The command, its script and its input have {size(sum(sizes))}; "
            f"{size(MOST_BYTES)} are taken.",
            hint="Push a file first, and name it in the command.",
        )
    if max(sizes[: len(wanted.words)], default=0) > MOST_ARGUMENT_BYTES:
        raise ExecutionRefused(
            f"An argument has more than {size(MOST_ARGUMENT_BYTES)}, which Linux "
            "does not pass on.",
            hint="Give it as standard input, or push it as a file.",
        )


def _check_time(wanted: Execution) -> None:
    if wanted.tool and not (wanted.is_program or wanted.form is Form.CAPTURE):
        raise ExecutionRefused("A copy of files ends by itself: it is no tool.")
    timeout_s = wanted.conditions.timeout_s
    least = 0 if wanted.tool else 1
    if not least <= timeout_s <= MOST_SECONDS:
        raise ExecutionRefused(
            f"A time limit of {timeout_s} s cannot be set.",
            hint=f"Use {least} to {MOST_SECONDS} seconds.",
        )


def _check_conditions(conditions: Conditions) -> None:
    for name, value in conditions.env.items():
        if not _VARIABLE.fullmatch(name) or name.startswith("TESTBED_"):
            raise ExecutionRefused(
                f"`{name}` cannot be set as an environment variable.",
                hint="Use letters, digits and _; names with TESTBED_ are the testbed's.",
            )
        if len(f"{name}={value}".encode(errors="replace")) > MOST_ARGUMENT_BYTES:
            raise ExecutionRefused(
                f"The variable {name} has more than {size(MOST_ARGUMENT_BYTES)}, which "
                "Linux does not pass on.",
                hint="Give it as standard input, or push it as a file.",
            )
    if conditions.user and not _ACCOUNT.fullmatch(conditions.user):
        raise ExecutionRefused(f"`{conditions.user}` is no name of an account.")
    if conditions.user and conditions.sudo:
        raise ExecutionRefused("Choose root or another user, not both.")
    if conditions.folder and not PurePosixPath(conditions.folder).is_absolute():
        raise ExecutionRefused(
            f"The working folder has no full path: `{conditions.folder}`.",
            hint="Begin it with a slash.",
        )
    if conditions.parallel < 0 or conditions.stop_after < 0:
        raise ExecutionRefused("The numbers of guests and failures are 0 or more.")
    if conditions.parallel > MOST_PARALLEL:
        raise ExecutionRefused(
            f"{conditions.parallel:,} guests cannot be at work at once.",
            hint=f"Use at most {MOST_PARALLEL:,}, or 0: as many as possible.",
        )
