"""Writes other images into a YAML, and leaves all else of its text as it is.

Comments, order and quotes stay. The result is read again: it has to mean the same as
before but for the images, or it is refused. Used for the copy of a testbed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.compose.draft import Drafted
from orchestration.compose.language.schema import CloudImage, Libvirt, Spec
from orchestration.compose.loader import load_spec
from orchestration.compose.reading.positions import Path, Positions
from orchestration.errors import StateError

_SCALAR = re.compile(r"""'[^']*'|"[^"]*"|[^\s,}\]#]+""")


@dataclass(frozen=True, slots=True)
class _Change:
    """A text in place of the scalar at a path."""

    path: Path
    text: str


def with_images(text: str, images: Mapping[str, str]) -> str:
    """Let machines start from other images, which have their disks' sizes already.

    Raises: SpecError, StateError (a machine is cloned, has another kind of disk, or is
    written in a way that cannot be changed alone).
    """
    loaded = load_spec(text)
    spec = loaded.require()
    changes: list[_Change] = []
    for drafted in loaded.draft.machines:
        if drafted.machine.name in images:
            changes += _changes(drafted, images[drafted.machine.name])
    found = _changed(text, changes, loaded.positions)
    if load_spec(found).spec != _expected(spec, images):
        raise StateError(
            "The YAML cannot be changed to name other images.",
            hint="Write each machine's image out, without an alias, and try again.",
        )
    return found


def _changes(drafted: Drafted, image: str) -> list[_Change]:
    """Return the changes for one machine. Raises: StateError."""
    machine = drafted.machine
    disk = machine.kind.libvirt_type if isinstance(machine.kind, Libvirt) else None
    if drafted.scaling is not None:
        raise _kept(machine.name, "is cloned, and each clone has a disk of its own")
    if not isinstance(disk, CloudImage):
        raise _kept(machine.name, "has no disk of a cloud image")
    found = [_Change((*drafted.disk_path, "name"), image)]
    if disk.expand_gigabytes:
        found.append(_Change((*drafted.disk_path, "expand_gigabytes"), "0"))
    return found


def _kept(name: str, problem: str) -> StateError:
    return StateError(
        f"The disk of {name} cannot be copied: it {problem}.",
        hint="Copy the testbed without the disks.",
    )


def _changed(text: str, changes: list[_Change], positions: Positions) -> str:
    lines = text.splitlines(keepends=True)
    places = [(positions.values[change.path], change.text) for change in changes]
    # From the end, so that earlier columns stay.
    for place, new in sorted(places, key=lambda one: (one[0].line, one[0].column))[
        ::-1
    ]:
        line, column = lines[place.line - 1], place.column - 1
        if scalar := _SCALAR.match(line, column):
            lines[place.line - 1] = f"{line[:column]}{new}{line[scalar.end() :]}"
    return "".join(lines)


def _expected(spec: Spec, images: Mapping[str, str]) -> Spec:
    """Return the spec with the images, made of the models alone."""
    machines = []
    for machine in spec.machines:
        kind = machine.kind
        if machine.name in images and isinstance(kind, Libvirt):
            update = {"name": images[machine.name], "expand_gigabytes": 0}
            disk = kind.libvirt_type.model_copy(update=update)
            kind = kind.model_copy(update={"libvirt_type": disk})
            machine = machine.model_copy(update={"kind": kind})
        machines.append(machine)
    return spec.model_copy(update={"machines": tuple(machines)})
