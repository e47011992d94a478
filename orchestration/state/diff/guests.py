"""The reasons to restart or recreate one guest, in a user's words.

A change of the spec hash needs a restart, except for interfaces that can change live
(`interfaces.py`); another image or size needs another disk; scripts need neither. A
guest whose hash is empty was part of an unfinished change: the settings that it runs
with are unknown. Used by `changes.py`.
"""

from collections.abc import Iterator

from orchestration.state.diff.interfaces import interface_reasons
from orchestration.state.model import (
    GoldenState,
    GuestState,
    HostState,
    ScriptState,
)

UNFINISHED = "a change of it was not finished"


def disk_reasons(before: GuestState, after: GuestState) -> tuple[str, ...]:
    """Return why its disk must be recreated, which loses its data."""
    pairs = (
        ("image", before.image.name, after.image.name),
        ("disk", before.disk_origin, after.disk_origin),
        ("disk", _size(before.expand_gib), _size(after.expand_gib)),
    )
    found = [f"{what} {old} → {new}" for what, old, new in pairs if old != new]
    if not found and before.image.golden != after.image.golden:
        found = [f"its {after.image.name} changed"]
    return (*found, "its disk will be erased") if found else ()


def golden_reasons(old: GoldenState | None, new: GoldenState | None) -> tuple[str, ...]:
    """Return the edited inputs of a golden image."""
    if old is None or new is None:
        return ()
    found = []
    before, after = old.guest.setup_script, new.guest.setup_script
    if before != after:
        found.append(_script("shared script", before, after))
    is_same_path = old.guest.context == new.guest.context
    if is_same_path and old.context_sha256 != new.context_sha256:
        found.append(f"context {new.guest.context} was edited")
    image = new.guest.image
    is_same_name = old.guest.image.name == image.name
    if is_same_name and old.guest.image.identity != image.identity:
        found.append(f"image {image.name} was renewed")
    return tuple(found)


def guest_reasons(
    old: GuestState, new: GuestState, old_host: HostState, new_host: HostState
) -> tuple[str, ...]:
    """Return the changes of its settings, except for the disk's."""
    return (
        *_plain(old, new, old_host, new_host),
        *interface_reasons(old, new),
        *_management(old, new),
    )


def script_reasons(old: GuestState, new: GuestState) -> tuple[str, ...]:
    """Return the scripts that `up` runs again, or for the first time.

    The markers record the content that ran last; those of `new` are the latest.
    """
    ran = new.markers
    found = (
        _rerun("setup script", old.setup_script, new.setup_script, ran.script),
        _rerun("run script", old.run_script, new.run_script, ran.run_script),
    )
    return tuple(filter(None, found))


def context_reasons(old: GuestState, new: GuestState) -> tuple[str, ...]:
    """Return a reason if its context was edited since it got it."""
    has, wanted = new.markers.context, new.context_sha256
    is_same = not (has and wanted) or has == wanted
    if is_same or old.context != new.context:
        return ()
    return (f"context {new.context} was edited, will be copied to it",)


def _rerun(
    what: str, before: ScriptState | None, after: ScriptState | None, ran: str
) -> str:
    """Return the reason to run one script; empty when there is none."""
    if after is None or not (ran and after.sha256):  # never ran, or no digest
        return _script(what, before, after) if before != after else ""
    if ran == after.sha256:
        return ""
    return f"{_script(what, before or after, after)}, will run again"


def _size(gib: int) -> str:
    return f"+{gib} GiB"


def _disk_and_login(old: GuestState, new: GuestState) -> Iterator[str]:
    if old.password_hash != new.password_hash:
        yield "another password"
    is_same = old.image.name == new.image.name and not new.image.golden
    if is_same and old.image.identity != new.image.identity:
        yield f"image {new.image.name} was renewed; its disk stays"
    if (old.is_cdrom, old.is_readonly) != (new.is_cdrom, new.is_readonly):
        yield f"its disk is {_device(new)}"
    if old.disk_bus != new.disk_bus:
        yield f"disk driver {old.disk_bus} → {new.disk_bus}"


def _device(guest: GuestState) -> str:
    access = "read-only" if guest.is_readonly else "writable"
    return f"a CD-ROM, {access}" if guest.is_cdrom else access


def _script(what: str, old: ScriptState | None, new: ScriptState | None) -> str:
    if old and new and old.path == new.path:
        return f"{what} {new.path} was edited"
    return f"{what} {old.path if old else 'none'} → {new.path if new else 'none'}"


def _plain(
    old: GuestState, new: GuestState, old_host: HostState, new_host: HostState
) -> Iterator[str]:
    if not old.spec_hash:
        yield UNFINISHED
    if old.cpus != new.cpus:
        yield f"vCPU {old.cpus} → {new.cpus}"
    if old.memory_mib != new.memory_mib:
        yield f"memory {old.memory_mib} → {new.memory_mib} MiB"
    if old.user != new.user:
        yield f"user {old.user} → {new.user}"
    yield from _disk_and_login(old, new)
    if old.context != new.context:
        yield f"context {old.context or 'none'} → {new.context or 'none'}"
    changed = sorted(
        key
        for key in {*old.environment, *new.environment}
        if old.environment.get(key) != new.environment.get(key)
    )
    if changed:
        yield f"environment: {', '.join(changed)}"
    if old.guest_agent != new.guest_agent:
        yield f"guest agent: {'' if new.guest_agent else 'not '}installed at its boot"
    if old_host.domain_type != new_host.domain_type:
        yield f"host type {old_host.domain_type} → {new_host.domain_type}"
    if old_host.datapath != new_host.datapath:
        yield f"datapath of its host {old_host.datapath} → {new_host.datapath}"


def _management(old: GuestState, new: GuestState) -> Iterator[str]:
    if old.management == new.management:
        return
    if old.management and new.management:
        was, now = old.management.address, new.management.address
        yield f"management address {was} → {now}" if was != now else "management"
    else:
        verb = "gets a" if new.management else "loses its"
        yield f"{verb} management interface"
