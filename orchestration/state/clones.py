"""Machines with `scaling` → the guests that they stand for.

A golden image is no guest of the experiment; its clones are. They are named
`<parent>-<n>` from 0 and follow all machines of the YAML in the order of their parents.
`state.build` calls this first; no later step sees `scaling`. The golden image itself is
only started where a shared script has to run in it, plugged into the bridge that leads
outside. Pure.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from orchestration.compose.language.schema import (
    Clone,
    CloudImage,
    Interface,
    Kind,
    Libvirt,
    Machine,
    Spec,
)
from orchestration.state.model import GuestState
from orchestration.state.model.images import DiskOrigin


@dataclass(frozen=True, slots=True)
class Expanded:
    """A spec whose machines are exactly the guests; `parents` are the clones'.

    `goldens` are the machines that the clones start from, with the scripts and
    interfaces that their preparation needs.
    """

    spec: Spec
    goldens: tuple[Machine, ...] = ()
    parents: Mapping[str, str] | None = None

    @property
    def started(self) -> tuple[Machine, ...]:
        """The golden images that have to run once."""
        return tuple(golden for golden in self.goldens if shared_setup(golden))

    @property
    def all_started(self) -> Spec:
        """The spec with every machine that is ever started, guests first."""
        machines = (*self.spec.machines, *self.started)
        return self.spec.model_copy(update={"machines": machines})

    def parent(self, guest: str) -> str:
        """Return the golden image of a clone, '' for other guests."""
        return (self.parents or {}).get(guest, "")


def expand(spec: Spec) -> Expanded:
    """Replace the machines that have clones by their clones."""
    plain = tuple(machine for machine in spec.machines if machine.scaling is None)
    scaled = tuple(machine for machine in spec.machines if machine.scaling is not None)
    clones = [(clone, parent.name) for parent in scaled for clone in _clones(parent)]
    machines = (*plain, *(clone for clone, _ in clones))
    external = spec.network.external_bridge
    return Expanded(
        spec=spec.model_copy(update={"machines": machines}),
        goldens=tuple(
            _golden(machine, external)
            for machine in scaled
            if isinstance(machine.kind, Libvirt) and _has_clones(machine)
        ),
        parents={clone.name: parent for clone, parent in clones},
    )


def clone_name(parent: str, number: int) -> str:
    """Return the name of a clone; numbers start at 0."""
    return f"{parent}-{number}"


def shared_setup(golden: Machine) -> str | None:
    """Return the script that runs once in a golden image."""
    disk = golden.kind.libvirt_type if isinstance(golden.kind, Libvirt) else None
    return disk.setup_script if isinstance(disk, CloudImage) else None


def golden_digest(
    guest: GuestState, *, script_sha256: str, context_sha256: str, owner: str
) -> str:
    """Digest all inputs of a golden image; the testbed is not among them.

    Testbeds with the same `owner` share images; an empty one shares them with all that
    have none.
    """
    content = {
        "base": guest.image.identity,
        "format": guest.image.format,
        "origin": guest.disk_origin,
        "expand_gib": guest.expand_gib,
        "user": guest.user,
        "environment": guest.environment,
        "context": context_sha256,
        "script": script_sha256,
    }
    if owner:
        content["owner"] = owner
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def context_key(path: str) -> str:
    """Return the key of a context's digest among the scripts' digests."""
    return f"context {path}"


def is_prepared(guest: GuestState) -> bool:
    """Return whether a golden image must be prepared before its clones.

    Without a shared script the clones are layers over its own base, unless the YAML
    asks for a copy of that.
    """
    return guest.setup_script is not None or guest.disk_origin is DiskOrigin.COPIED


def _has_clones(machine: Machine) -> bool:
    return bool(machine.scaling and machine.scaling.clones)


def _clones(parent: Machine) -> Iterator[Machine]:
    for number, clone in enumerate(parent.scaling.clones if parent.scaling else ()):
        yield Machine(
            name=clone_name(parent.name, number),
            kind=_kind_of_clone(parent.kind, clone),
            interfaces=clone.interfaces,
        )


def _kind_of_clone(kind: Kind, clone: Clone) -> Kind:
    """Return the parent's settings with the clone's own scripts."""
    scripts = {"setup_script": clone.setup_script, "run_script": clone.run_script}
    return _with_scripts(kind, scripts)


def _golden(machine: Machine, external: str | None) -> Machine:
    script = machine.scaling.shared_setup if machine.scaling else None
    cards = (Interface(attached_to=external),) if external and script else ()
    return Machine(
        name=machine.name,
        kind=_with_scripts(machine.kind, {"setup_script": script, "run_script": None}),
        interfaces=cards,
    )


def _with_scripts(kind: Kind, scripts: Mapping[str, str | None]) -> Kind:
    if isinstance(kind, Libvirt) and isinstance(kind.libvirt_type, CloudImage):
        disk = kind.libvirt_type.model_copy(update=scripts)
        return kind.model_copy(update={"libvirt_type": disk})
    return kind
