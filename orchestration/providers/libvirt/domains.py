"""Verbs of libvirt domains: define, start, shut down, destroy, undefine, observe.

The instructions call them with domains and XML from the state. Each looks up the
guest's own domain (`ownership.py`) before it acts, so that repeating one is harmless
and returns that nothing changed, and no foreign domain is touched. `xml` decides a
domain's text, the plan decides when to act.
"""

import logging
import re
from collections.abc import Callable

import libvirt

from orchestration.providers.libvirt.connection import Connection, is_test_driver
from orchestration.providers.libvirt.facts.domains import (
    STATS,
    DomainFacts,
    DomainFiles,
    DomainStatus,
    describe,
    files_of,
)
from orchestration.providers.libvirt.lifecycle import watch
from orchestration.providers.libvirt.ownership import GuestDomain, lookup, require

__all__ = [
    "DomainFacts",
    "DomainStatus",
    "cpu_times",
    "define",
    "destroy",
    "find",
    "observe",
    "shut_down",
    "start",
    "undefine",
]

logger = logging.getLogger(__name__)

PRESS_AGAIN_S = 10.0
"""A guest that is still booting ignores the power button: press it again."""

_NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
# Without a flag libvirt asks a guest's agent first, and waits 60 s for a deaf one.
_POWER_BUTTON = libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
_WORK = libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_VCPU
_VCPU_DELAY = re.compile(r"vcpu\.[0-9]+\.delay")
_RUNNING = _NOWAIT | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
_FORGET = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
)
_FORGET_REAL = (
    libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


def define(conn: Connection, guest: GuestDomain, xml: str) -> None:
    """Define a domain, or replace its definition (which a running one gets later).

    A definition under a former name goes first: libvirt renames none that it replaces.
    Raises: ForeignThing (another domain has its name or uuid), LibvirtFailed,
    HostUnreachable.
    """

    def work(handle: libvirt.virConnect) -> None:
        old = lookup(handle, guest, conn.machine)
        if old is not None and old.name() != guest.name and not old.isActive():
            _forget(handle, old)
        handle.defineXML(xml)

    conn.call(f"define domain {guest.name}", work, changes=True)


def start(conn: Connection, guest: GuestDomain) -> bool:
    """Start a domain, or resume a paused one; False when it already ran."""

    def work(handle: libvirt.virConnect) -> bool:
        domain = require(handle, guest, conn.machine)
        if domain.isActive():
            if domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
                return False
            domain.resume()
            return True
        try:
            domain.create()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise
            if not domain.isActive():
                raise
            return False
        return True

    return conn.call(f"start domain {guest.name}", work, changes=True)


def destroy(conn: Connection, guest: GuestDomain) -> bool:
    """Stop a domain at once, like pulling its plug; False when it did not run."""

    def work(handle: libvirt.virConnect) -> bool:
        domain = lookup(handle, guest, conn.machine)
        if domain is None or not domain.isActive():
            return False
        try:
            domain.destroy()
        except libvirt.libvirtError:
            if _is_active(domain):
                raise
            return False
        return True

    return conn.call(f"stop domain {guest.name}", work, changes=True)


def shut_down(
    conn: Connection,
    guest: GuestDomain,
    *,
    sleep: Callable[[float], None],
    timeout_s: float,
) -> bool:
    """Press the power button and wait; True when the domain is off at the end.

    Also True when it was off, or absent, before. False means that it still runs after
    `timeout_s`. Every wait goes through `sleep`, which may raise Cancelled, and ends
    when libvirt reports an event of the domain.
    """
    waited_s, next_press_s = 0.0, 0.0
    with watch(conn, guest) as news:
        while True:
            press = waited_s >= next_press_s
            if press:
                next_press_s += PRESS_AGAIN_S
            if not _press_or_look(conn, guest, press=press):
                return True
            if waited_s >= timeout_s:
                return False
            waited_s += news.wait(sleep)


def undefine(conn: Connection, guest: GuestDomain) -> bool:
    """Remove a domain's definition and all that libvirt keeps beside it.

    That is: firmware variables, a saved memory image, the records of snapshots and
    checkpoints. Disks stay. False when it was not defined.
    """

    def work(handle: libvirt.virConnect) -> bool:
        domain = lookup(handle, guest, conn.machine)
        if domain is None:
            return False
        _forget(handle, domain)
        return True

    return conn.call(f"undefine domain {guest.name}", work, changes=True)


def _forget(handle: libvirt.virConnect, domain: libvirt.virDomain) -> None:
    domain.undefineFlags(_FORGET | (0 if is_test_driver(handle) else _FORGET_REAL))


def observe(conn: Connection) -> tuple[DomainFacts, ...]:
    """Describe all domains of a host, sorted by name.

    One bulk call for the figures (it waits for no busy domain) and one short call
    per domain for our mark. Raises: HostUnreachable, LibvirtFailed.
    """

    def work(handle: libvirt.virConnect) -> tuple[DomainFacts, ...]:
        records = handle.getAllDomainStats(STATS, _NOWAIT)
        found = (describe(domain, stats) for domain, stats in records)
        return tuple(sorted(filter(None, found), key=lambda facts: facts.name))

    return conn.call("list its domains", work)


def disk_files(conn: Connection) -> tuple[DomainFiles, ...]:
    """List the disk files of all domains. Raises: HostUnreachable, LibvirtFailed."""

    def work(handle: libvirt.virConnect) -> tuple[DomainFiles, ...]:
        return tuple(filter(None, map(files_of, handle.listAllDomains())))

    return conn.call("list the disks of its domains", work)


def cpu_times(conn: Connection) -> dict[str, int]:
    """Return each running domain's time (ns) of work, or of waiting for a processor.

    The waiting counts because on a crowded host a busy guest that gets few processors
    would look idle.
    """

    def work(handle: libvirt.virConnect) -> dict[str, int]:
        records = handle.getAllDomainStats(_WORK, _RUNNING)
        return {domain.name(): _wanted_ns(stats) for domain, stats in records}

    return conn.call("ask what its guests use", work)


def _wanted_ns(stats: dict[str, int]) -> int:
    waits = (n for key, n in stats.items() if _VCPU_DELAY.fullmatch(key))
    return stats.get("cpu.time", 0) + sum(waits)


def find(conn: Connection, guest: GuestDomain) -> DomainFacts | None:
    """Describe a guest's domain; None when there is none. Raises: ForeignThing."""

    def work(handle: libvirt.virConnect) -> DomainFacts | None:
        domain = lookup(handle, guest, conn.machine)
        if domain is None:
            return None
        records = handle.domainListGetStats([domain], STATS, _NOWAIT)
        return next((describe(*record) for record in records), None)

    return conn.call(f"look up domain {guest.name}", work)


def _press_or_look(conn: Connection, guest: GuestDomain, *, press: bool) -> bool:
    """Return whether the domain still runs; press its power button first if `press`."""

    def work(handle: libvirt.virConnect) -> bool:
        domain = lookup(handle, guest, conn.machine)
        if domain is None or not domain.isActive():
            return False
        if press:
            try:
                domain.shutdownFlags(0 if is_test_driver(handle) else _POWER_BUTTON)
            except libvirt.libvirtError as error:
                # A busy host still calls a domain active seconds after its QEMU ended,
                # and then cannot press: only whether it goes off counts.
                logger.info("the power button of %s: %s", guest.name, error)
        return _is_active(domain)

    return conn.call(f"shut down domain {guest.name}", work, changes=press)


def _is_active(domain: libvirt.virDomain) -> bool:
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise
