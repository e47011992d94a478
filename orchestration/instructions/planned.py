"""A plan as a value: stored on the run's row, sent to clients, printed for people.

Made by `orchestration.plan`, which alone knows the order of things, from entries
that have no number yet.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from orchestration.errors import StateError
from orchestration.instructions.base import Command, Instruction, Options, Stage
from orchestration.instructions.kinds import Kind
from orchestration.instructions.resources import Resources


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in order; `instructions[i].index == i`."""

    command: Command
    options: Options
    instructions: tuple[Instruction, ...]

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
        """Return the plan for reading: instructions, and below each its resources."""
        switches = (
            " --provision" if self.options.provision else "",
            " --rerun-scripts" if self.options.rerun_scripts else "",
        )
        lines = [f"{self.command}{''.join(switches)}"]
        stage = None
        for instruction in self.instructions:
            if instruction.stage is not stage:
                stage = instruction.stage
                lines += ["", stage]
            lines += _instruction_lines(instruction)
        return "\n".join(lines) + "\n"


_ADAPTER = TypeAdapter(Plan)


def count(resources: Resources, thing: str) -> str:
    """Say how many; a stretched bridge and both ends of a tunnel count once."""
    number = len({resource.key for resource in resources})
    return f"{number} {thing}{'' if number == 1 else 's'}"


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
    command: Command, options: Options, entries: Iterable[Instruction]
) -> Plan:
    """Leave out what has nothing to do, and number the rest."""
    kept = (found for found in entries if found.resources or found.kind == Kind.END)
    return Plan(
        command,
        options,
        tuple(replace(found, index=index) for index, found in enumerate(kept)),
    )


def _instruction_lines(instruction: Instruction) -> Iterator[str]:
    flag = " (keeps going)" if instruction.keep_going else ""
    yield f"{instruction.index:3}  {instruction.kind:<20}{instruction.title}{flag}"
    for resource in instruction.resources:
        line = f"{'':7}{resource.host:<18}{resource.name}"
        key = "" if resource.key == resource.name else f"  [{resource.key}]"
        yield line + key
