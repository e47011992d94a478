"""Changes of a guest's interfaces, and whether they are possible while it runs.

Interfaces are identified by name, so the second of two becomes the first when the first
is removed. Pure, in a user's words; used by `changes.py`. `instructions.interfaces`
makes the live changes.
"""

from collections.abc import Iterator
from itertools import zip_longest

from orchestration.state.guests import spec_hash
from orchestration.state.model import GuestState, HostState, InterfaceState

# Replaces a spec hash when only the set of interfaces is unknown.
UNFINISHED_LIVE = "interfaces"
UNFINISHED_REASON = "a change of its interfaces was not finished"
# Each costs 50 ms of an emulated boot (measured), whether it is used or not.
HOTPLUG_ROOM = 4


def interface_reasons(old: GuestState, new: GuestState) -> tuple[str, ...]:
    """Return the change of each interface that differs."""
    found = []
    for before, after in zip_longest(old.interfaces, new.interfaces):
        if before is None:
            found.append(f"{after.name} on {after.bridge} is new")
        elif after is None:
            found.append(f"{before.name} on {before.bridge} goes")
        elif before != after:
            found.append(f"{after.name}: {', '.join(_pairs(before, after))}")
    return tuple(found)


def obstacles(old: GuestState, new: GuestState) -> tuple[str, ...]:
    """Return why its interfaces cannot change while it runs; empty when they can."""
    return tuple(_obstacles(old, new))


def differ_in_interfaces_only(
    old: GuestState, new: GuestState, old_host: HostState, new_host: HostState
) -> bool:
    """Return whether all other settings that need a restart are the same."""
    if not old.spec_hash:
        return False
    if old.interfaces == new.interfaces and old.spec_hash != UNFINISHED_LIVE:
        return False
    return _bare_hash(old, old_host) == _bare_hash(new, new_host)


def _bare_hash(guest: GuestState, host: HostState) -> str:
    return spec_hash(guest.model_copy(update={"interfaces": ()}), host)


def _pairs(old: InterfaceState, new: InterfaceState) -> Iterator[str]:
    pairs = (
        ("bridge", old.bridge, new.bridge),
        ("MAC", old.mac, new.mac),
        ("address", _address(old), _address(new)),
        ("gateway", old.gateway or "none", new.gateway or "none"),
        ("name server", old.name_server or "none", new.name_server or "none"),
        ("MTU", str(old.mtu), str(new.mtu)),
        ("model", old.model, new.model),
    )
    changed = [f"{what} {was} → {now}" for what, was, now in pairs if was != now]
    yield from changed or ["its device changes"]


def _address(interface: InterfaceState) -> str:
    if not interface.address:
        return "none"
    return f"{interface.address}{' by DHCP' if interface.dhcp else ''}"


def _obstacles(old: GuestState, new: GuestState) -> Iterator[str]:
    pairs = tuple(zip(old.interfaces, new.interfaces, strict=False))
    is_same_number = len(old.interfaces) == len(new.interfaces)
    if new.seed and new.management is None:
        yield "without a management network no login is possible while it changes"
    elif not new.seed and not is_same_number:
        yield "a guest without cloud-init gets or loses interfaces when it starts"
    if any(a.mac != b.mac for a, b in pairs):
        yield "another MAC needs a restart"
    elif any(a.model != b.model for a, b in pairs):
        yield "another model needs a restart"
    elif any((a.tap, a.mtu) != (b.tap, b.mtu) for a, b in pairs):
        yield "another MTU or tap needs a restart"
    if len(new.interfaces) - len(old.interfaces) > HOTPLUG_ROOM:
        yield f"more than {HOTPLUG_ROOM} interfaces at once need a restart"
