"""The values of a plan: stored on the run's row, sent to clients, printed for users.

`lifecycle.py` makes them; the engine looks up the action of an `Instruction` by its
`Kind` and calls it once per resource. Stored runs and clients contain the kinds: one is
never renamed, only added. Nothing here touches a machine.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import not_
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from orchestration.amounts import count_of
from orchestration.errors import StateError
from orchestration.plan.execution import Execution
from orchestration.plan.images import ImageWish
from orchestration.plan.snapshots import SnapshotWish


class Stage(StrEnum):
    """The groups of the run page, in the order of `up`; then those of `down`."""

    PREPARE = "Prepare"
    CHECK_ARTEFACTS = "Check artefacts"
    CHECK_HOSTS = "Check hosts"
    PREPARE_HOSTS = "Prepare hosts"
    APPLY_CHANGES = "Apply changes"
    NETWORK = "Network"
    GOLDEN_IMAGES = "Golden images"
    LINKED_CLONES = "Linked clones"
    DISTRIBUTE = "Distribute"
    CHANGE_GUESTS = "Change guests"
    START_GUESTS = "Start guests"
    SET_UP_GUESTS = "Set up guests"
    RUN_SCRIPTS = "Run scripts"
    STOP_GUESTS = "Stop guests"
    REMOVE_NETWORK = "Remove network"
    CLEAN_UP = "Clean up"
    EXECUTE = "Execute"
    POWER = "Power"
    SNAPSHOTS = "Snapshots"
    SAVE_IMAGES = "Save images"
    CHECK = "Check"
    FINISH = "Finish"


class Command(StrEnum):
    """A user's command."""

    GENERATE_ARTEFACTS = "generate-artefacts"
    CLEAR_ARTEFACTS = "clear-artefacts"
    UP = "up"
    DOWN = "down"
    EXEC = "exec"
    POWER = "power"
    CHECK = "check"
    UP_GUESTS = "up-guests"
    SNAPSHOT = "snapshot"
    SAVE_IMAGE = "save-image"


class Kind(StrEnum):
    """The effect of an instruction on each of its resources."""

    INIT = "init"
    CHECK_ARTEFACTS = "check-artefacts"
    GENERATE_ARTEFACTS = "generate-artefacts"
    CHECK_HOSTS = "check-hosts"
    PREPARE_HOSTS = "prepare-hosts"
    ENSURE_FIREWALL = "ensure-firewall"
    ENSURE_NETWORKS = "ensure-networks"
    ENSURE_BRIDGES = "ensure-bridges"
    ENSURE_LINKS = "ensure-links"
    FETCH_IMAGES = "fetch-images"
    PREPARE_GOLDENS = "prepare-goldens"
    PUSH_GOLDENS = "push-goldens"
    CREATE_CLONE_DISKS = "create-clone-disks"
    CREATE_CLONES = "create-clones"
    PUSH_IMAGES = "push-images"
    PUSH_ARTEFACTS = "push-artefacts"
    CREATE_DISKS = "create-disks"
    START_GUESTS = "start-guests"
    SET_UP_GUESTS = "set-up-guests"
    RUN_SCRIPTS = "run-scripts"
    STOP_CHANGED_GUESTS = "stop-changed-guests"
    DELETE_DISKS = "delete-disks"
    CHANGE_INTERFACES = "change-interfaces"
    FORGET_REMOVED = "forget-removed"
    STOP_GUESTS = "stop-guests"
    DELETE_LINKS = "delete-links"
    DELETE_BRIDGES = "delete-bridges"
    DELETE_NETWORKS = "delete-networks"
    CLEAN_HOSTS = "clean-hosts"
    CLEAR_HOSTS = "clear-hosts"
    CLEAR_ARTEFACTS = "clear-artefacts"
    RUN_PROGRAM = "run-program"
    PUSH_FILES = "push-files"
    FETCH_FILES = "fetch-files"
    POWER_ON = "power-on"
    SHUT_DOWN = "shut-down"
    POWER_OFF = "power-off"
    REBOOT = "reboot"
    RESET = "reset"
    PAUSE = "pause"
    RESUME = "resume"
    RUN_ON_HOST = "run-on-host"
    CHECK_GUESTS = "check-guests"
    CAPTURE_PACKETS = "capture-packets"
    FETCH_SERIAL_LOGS = "fetch-serial-logs"
    CREATE_SNAPSHOTS = "create-snapshots"
    RESTORE_SNAPSHOTS = "restore-snapshots"
    DELETE_SNAPSHOTS = "delete-snapshots"
    RENAME_SNAPSHOTS = "rename-snapshots"
    CREATE_GROUP_SNAPSHOT = "create-group-snapshot"
    RESTORE_GROUP_SNAPSHOT = "restore-group-snapshot"
    FORGET_GROUP_SNAPSHOT = "forget-group-snapshot"
    SAVE_IMAGES = "save-images"
    END = "end"


# They change nothing on the hosts, so several run beside each other.
BESIDE_OTHERS = (Command.EXEC, Command.CHECK)
# The kinds whose tasks run commands inside the guest that the resource is named after.
ENTERS_GUESTS = frozenset(
    {
        Kind.PREPARE_GOLDENS,
        Kind.SET_UP_GUESTS,
        Kind.RUN_SCRIPTS,
        Kind.RUN_PROGRAM,
        Kind.PUSH_FILES,
        Kind.FETCH_FILES,
        Kind.CHECK_GUESTS,
    }
)

# The kinds whose resources are guests of the testbed. Golden images are none of them.
ON_GUESTS = frozenset(
    {
        Kind.GENERATE_ARTEFACTS,
        Kind.CREATE_CLONES,
        Kind.PUSH_ARTEFACTS,
        Kind.CREATE_DISKS,
        Kind.START_GUESTS,
        Kind.SET_UP_GUESTS,
        Kind.RUN_SCRIPTS,
        Kind.STOP_CHANGED_GUESTS,
        Kind.DELETE_DISKS,
        Kind.CHANGE_INTERFACES,
        Kind.STOP_GUESTS,
        Kind.RUN_PROGRAM,
        Kind.PUSH_FILES,
        Kind.FETCH_FILES,
        Kind.POWER_ON,
        Kind.SHUT_DOWN,
        Kind.POWER_OFF,
        Kind.REBOOT,
        Kind.RESET,
        Kind.PAUSE,
        Kind.RESUME,
        Kind.CHECK_GUESTS,
        Kind.CAPTURE_PACKETS,
        Kind.FETCH_SERIAL_LOGS,
        Kind.CREATE_SNAPSHOTS,
        Kind.RESTORE_SNAPSHOTS,
        Kind.DELETE_SNAPSHOTS,
        Kind.RENAME_SNAPSHOTS,
        Kind.SAVE_IMAGES,
    }
)


@dataclass(frozen=True, slots=True)
class Resource:
    """One object that an instruction works on, and its host.

    `name` is the user's name for it and unique within the instruction; the action finds
    it in the state by `key` (a guest, a bridge device, …).
    """

    name: str
    host: str
    key: str


Resources = tuple[Resource, ...]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One numbered entry of a plan; all its resources are processed at once.

    `keep_going`: when some resources fail, the plan goes on (teardown) and the run
    still ends as failed. `of_deployed`: its resources are looked up in everything that
    may exist (`Project.read_known`), not in the wanted state alone.
    """

    index: int
    kind: str
    stage: Stage
    title: str
    resources: tuple[Resource, ...] = ()
    keep_going: bool = False
    of_deployed: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """The switches of a command; with `guests`, it is for these alone."""

    provision: bool = False
    rerun_scripts: bool = False
    guests: Annotated[tuple[str, ...], Field(exclude_if=not_)] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The instructions in order; `instructions[i].index == i`.

    `execution` says what the plan of an `exec` does on its guests or hosts, `snapshot`
    what that of a `snapshot` does with its guests' snapshots, `image` which images a
    `save-image` makes.
    """

    command: Command
    options: Options
    instructions: tuple[Instruction, ...]
    execution: Annotated[Execution | None, Field(exclude_if=not_)] = None
    snapshot: Annotated[SnapshotWish | None, Field(exclude_if=not_)] = None
    image: Annotated[ImageWish | None, Field(exclude_if=not_)] = None

    def to_json(self) -> str:
        """Return the plan as one line of JSON."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "Plan":
        """Read what `to_json` wrote. Raises: StateError."""
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as exc:
            raise StateError(
                "A stored plan cannot be read.",
                hint="Start the command again.",
                detail=str(exc)[:2000],
            ) from exc

    def to_text(self) -> str:
        """Return the plan as text: instructions, and below each its resources."""
        switches = (
            " --provision" if self.options.provision else "",
            " --rerun-scripts" if self.options.rerun_scripts else "",
            f" --guests {','.join(chosen)}" if (chosen := self.options.guests) else "",
        )
        done = f" {self.execution.title}" if self.execution else ""
        if self.snapshot:
            done = f": {self.snapshot.sentence}"
        lines = [f"{self.command}{''.join(switches)}{done}"]
        stage = None
        for instruction in self.instructions:
            if instruction.stage is not stage:
                stage = instruction.stage
                lines += ["", stage]
            lines += _instruction_lines(instruction)
        return "\n".join(lines) + "\n"


_ADAPTER = TypeAdapter(Plan)


def guest_of(kind: str, name: str) -> str:
    """Return the guest that an instruction's resource is; empty for another thing.

    One that is on two hosts for a while has its host behind its name.
    """
    return name.partition(" ")[0] if kind in ON_GUESTS else ""


def count(resources: Resources, thing: str) -> str:
    """Return a number with its noun; both ends of a tunnel count once."""
    return count_of(len({resource.key for resource in resources}), thing)


def entry(
    kind: Kind,
    stage: Stage,
    title: str,
    resources: Resources,
    *,
    keep_going: bool = False,
    of_deployed: bool = False,
) -> Instruction:
    """Return an instruction that has no number yet."""
    return Instruction(0, kind, stage, title, resources, keep_going, of_deployed)


def numbered(
    command: Command,
    options: Options,
    entries: Iterable[Instruction],
    *,
    execution: Execution | None = None,
    snapshot: SnapshotWish | None = None,
    image: ImageWish | None = None,
) -> Plan:
    """Drop instructions without resources, and number the rest."""
    kept = (found for found in entries if found.resources or found.kind == Kind.END)
    return Plan(
        command,
        options,
        tuple(replace(found, index=index) for index, found in enumerate(kept)),
        execution,
        snapshot,
        image,
    )


def _instruction_lines(instruction: Instruction) -> Iterator[str]:
    flag = " (keeps going)" if instruction.keep_going else ""
    yield f"{instruction.index:3}  {instruction.kind:<19} {instruction.title}{flag}"
    for resource in instruction.resources:
        line = f"{'':7}{resource.host:<18}{resource.name}"
        key = "" if resource.key == resource.name else f"  [{resource.key}]"
        yield line + key
