"""What the language allows and this version does not do: one sentence for `up`.

`check` accepts all of the language; `not_built` names the guests and things that
cannot be brought up yet, and `require_built` refuses them. Whoever builds one of them
takes it out of the tables here. Pure.
"""

from collections.abc import Iterator

from orchestration.errors import NotBuiltYet
from orchestration.spec.schema import (
    Android,
    Docker,
    Libvirt,
    Machine,
    Spec,
)

NAMES_SHOWN = 10
NOT_BUILT_KINDS = {Docker: "docker", Android: "android"}


def not_built(spec: Spec) -> str:
    """Say in one sentence what of a spec cannot be brought up yet, or ''."""
    parts = [*_guests(spec), *_things(spec)]
    return f"This version cannot bring up {'; '.join(parts)}." if parts else ""


def require_built(spec: Spec) -> None:
    """Raise NotBuiltYet when something of a spec is not built yet."""
    sentence = not_built(spec)
    if sentence:
        raise NotBuiltYet(
            sentence, hint="Remove it for now; checking the YAML works all the same."
        )


def built_guest(machine: Machine) -> Libvirt:
    """Return what the state is built from. Raises: NotBuiltYet."""
    if isinstance(machine.kind, Libvirt):
        return machine.kind
    require_built(Spec(machines=(machine,)))
    raise NotBuiltYet(f"This version cannot bring up guest {machine.name}.")


def _guests(spec: Spec) -> Iterator[str]:
    names: dict[str, list[str]] = {}
    for machine in spec.machines:
        for reason in _reasons(machine):
            names.setdefault(reason, []).append(machine.name)
    for reason, guests in names.items():
        shown = ", ".join(guests[:NAMES_SHOWN])
        rest = len(guests) - NAMES_SHOWN
        more = f" and {rest} more" if rest > 0 else ""
        yield f"`{reason}` ({shown}{more})"


def _reasons(machine: Machine) -> Iterator[str]:
    """Return the keys of a machine that are not built."""
    kind = machine.kind
    if type(kind) in NOT_BUILT_KINDS:
        yield NOT_BUILT_KINDS[type(kind)]
    if machine.scaling is not None:
        yield "scaling"


def _things(spec: Spec) -> Iterator[str]:
    network = spec.network
    if network.ovn is not None:
        names = [*network.ovn.switches, *network.ovn.routers]
        shown = f" ({', '.join(names[:NAMES_SHOWN])})" if names else ""
        yield f"the logical network `ovn`{shown}"
    if network.network_interfaces:
        cards = ", ".join(card.nic_name for card in network.network_interfaces)
        yield f"`network_interfaces` ({cards})"
