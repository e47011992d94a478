"""The instructions that start and stop guests.

`boot` decides when a guest may start and how long it may take; `scripts.py` sets it up.
Each asks libvirt first, so that a half-done start or stop is continued.
"""

from orchestration.events import Status
from orchestration.instructions.boot import admission
from orchestration.instructions.storage.disks import define
from orchestration.instructions.storage.snapshots import keep_records
from orchestration.instructions.task import (
    Outcome,
    Task,
    done,
    guest_here,
    leaving_foreign,
    unchanged,
)
from orchestration.providers.libvirt import domains
from orchestration.state.model import GuestState

# Our test guest answers ACPI in 2 s, Debian 12 under plain QEMU in 12 s (measured).
SHUT_DOWN_TIMEOUT_S = 20.0


def start_guests(task: Task) -> Outcome:
    """Define and start one guest; a running one is left alone, a paused one resumed."""
    guest, conn = task.state.guest(task.resource.key), task.host.libvirt
    found = domains.find(conn, task.domain(guest))
    if found is not None and found.is_active:
        is_resumed = domains.start(conn, task.domain(guest))
        if found.spec_hash == guest.spec_hash:
            return done("was paused") if is_resumed else unchanged("already runs")
        return Outcome(
            Status.WARNING,
            "runs with older settings",
            "Use Down, then Up, to apply the changes.",
        )
    define(task, guest)
    task.project.mark(guest.name, run_script="", run_script_exit_code=None)
    admission.start_in_turn(task, guest)
    return done()


@leaving_foreign
def stop_guests(task: Task) -> Outcome:
    """Shut one guest down, by force after a while, and undefine it."""
    return stop(task, guest_here(task))


def stop(task: Task, guest: GuestState) -> Outcome:
    """Stop and undefine a guest's domain, if there is one. Raises: ForeignThing."""
    conn, domain = task.host.libvirt, task.domain(guest)
    found = domains.find(conn, domain)
    admission.boot_ended(task, guest)
    task.hosts.forget_guest(task.state, guest)
    if found is None:
        return unchanged("did not exist")
    message = ""
    if found.is_active and not domains.shut_down(
        conn, domain, sleep=task.scope.sleep, timeout_s=SHUT_DOWN_TIMEOUT_S
    ):
        domains.destroy(conn, domain)
        message = f"did not answer within {SHUT_DOWN_TIMEOUT_S:.0f} s, powered off"
    warning = keep_records(task, guest)
    domains.undefine(conn, domain)
    if warning:
        return Outcome(Status.WARNING, "; ".join(filter(None, (message, warning))))
    return done(message)


def stop_changed_guests(task: Task) -> Outcome:
    """Stop one guest that runs with other settings than its state has."""
    guest = task.state.guest(task.resource.key)
    found = domains.find(task.host.libvirt, task.domain(guest))
    if found is None:
        return unchanged("did not exist")
    if found.spec_hash == guest.spec_hash:
        return unchanged("has the wanted settings already")
    return stop(task, guest)
