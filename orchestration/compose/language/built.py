"""The parts of the language that this version does not build.

`check` accepts the whole language; `not_built` names the guests and entries that `up`
cannot create yet, and `require_built` refuses them. A change that builds one of them
removes it from the tables here. Pure.
"""

from collections.abc import Iterator

from orchestration.compose.language.schema import (
    Android,
    Docker,
    Libvirt,
    Machine,
    Spec,
)
from orchestration.errors import NotBuiltYet

NAMES_SHOWN = 10
NOT_BUILT_KINDS = {Docker: "docker", Android: "android"}


def not_built(spec: Spec) -> str:
    """Return a sentence about the parts that `up` cannot create yet, or ''."""
    parts = list(_guests(spec))
    if spec.network.ovn is not None and not spec.machines:
        parts.append("the logical network (`ovn`)")
    return f"This version cannot bring up {'; '.join(parts)}." if parts else ""


def missing_for(machine: Machine, spec: Spec) -> tuple[str, ...]:
    """Return the keys that one machine of a spec uses and that are not built."""
    kind = NOT_BUILT_KINDS.get(type(machine.kind))
    found = (kind or "", "ovn" if spec.network.ovn is not None else "")
    return tuple(filter(None, found))


def require_built(spec: Spec) -> None:
    """Raise NotBuiltYet when part of a spec is not built yet."""
    sentence = not_built(spec)
    if sentence:
        raise NotBuiltYet(
            sentence, hint="Remove it for now; checking the YAML works all the same."
        )


def built_guest(machine: Machine) -> Libvirt:
    """Return the model that the state is built from. Raises: NotBuiltYet."""
    if isinstance(machine.kind, Libvirt):
        return machine.kind
    require_built(Spec(machines=(machine,)))
    raise NotBuiltYet(f"This version cannot bring up guest {machine.name}.")


def _guests(spec: Spec) -> Iterator[str]:
    """Name the guests that use unbuilt keys, grouped by the same reasons."""
    names: dict[str, list[str]] = {}
    for machine in spec.machines:
        reasons = missing_for(machine, spec)
        if reasons:
            quoted = ", ".join(f"`{reason}`" for reason in reasons)
            names.setdefault(quoted, []).append(machine.name)
    for reason, guests in names.items():
        word = "guest" if len(guests) == 1 else "guests"
        yield f"{word} {_shown(guests)} ({reason})"


def _shown(names: list[str]) -> str:
    rest = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
