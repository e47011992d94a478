"""Machines with `scaling` → the guests that they stand for.

A golden image is no guest of the experiment: its clones are, `<parent>-<n>` from 0,
behind all machines of the YAML and in the order of their parents. Used by
`state.build`, first of all; nothing after it sees `scaling`. The golden image itself
is only started where a shared script has to run in it, plugged into the bridge that
leads outside. Pure.
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

    `goldens` are the machines that the clones start from, scripts and interfaces as
    they are needed for preparing them.
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
        """The spec with everything that is ever started, guests first."""
        machines = (*self.spec.machines, *self.started)
        return self.spec.model_copy(update={"machines": machines})

    def parent(self, guest: str) -> str:
        """Return the golden image of a clone, '' for other guests."""
        return (self.parents or {}).get(guest, "")


def expand(spec: Spec) -> Expanded:
    """Put the clones in place of the machines that have some."""
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
    """Name a clone; they are numbered from 0."""
    return f"{parent}-{number}"


def shared_setup(golden: Machine) -> str | None:
    """Return the script that is run in a golden image once."""
    disk = golden.kind.libvirt_type if isinstance(golden.kind, Libvirt) else None
    return disk.setup_script if isinstance(disk, CloudImage) else None


def golden_digest(guest: GuestState, *, script_sha256: str, context_sha256: str) -> str:
    """Digest everything that a golden image is made from, whoever's testbed it is."""
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
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def context_key(path: str) -> str:
    """Return what a context's digest goes by among the scripts'."""
    return f"context {path}"


def is_prepared(guest: GuestState) -> bool:
    """Say whether something has to be made of a golden image before it has clones.

    Without a shared script the clones are layers over its own base, unless a copy
    of that was asked for.
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
    """Give a clone its parent's settings, but scripts of its own."""
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
