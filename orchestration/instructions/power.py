"""The instructions that start, stop, pause and reboot guests that exist.

Each looks at the guest's domain first: where the wanted state is there already, nothing
is done; where the verb cannot act, the error names the one that can. A guest that boots
again has to run its `run_script` again, which the next `up` does.
"""

import time
from collections.abc import Callable

from orchestration.errors import PowerFailed
from orchestration.events import Status
from orchestration.instructions.boot import admission
from orchestration.instructions.task import Outcome, Task, done, unchanged
from orchestration.providers.libvirt import domains, power
from orchestration.providers.libvirt.facts.domains import DomainFacts, DomainStatus
from orchestration.providers.libvirt.power import Rebooted
from orchestration.state.model import GuestState

# systemd gives a service 90 s to stop before it kills it.
SHUT_DOWN_S = 120.0
REBOOT_S = 120.0


def power_on(task: Task) -> Outcome:
    """Start one guest as it is defined, when its host admits it."""
    guest, found = _find(task)
    if found.status is DomainStatus.PAUSED:
        raise _failed(guest, "is paused", "Use Resume.")
    if found.is_active:
        return unchanged("was on already")
    admission.start_in_turn(task, guest)
    message = _booting(task, guest)
    if found.spec_hash == guest.spec_hash:
        return done(message)
    return Outcome(
        Status.WARNING,
        "was started with older settings",
        "Use Down, then Up, to apply the changes.",
    )


def shut_down(task: Task) -> Outcome:
    """Press one guest's power button and wait until it is off."""
    guest, found = _find(task)
    if not found.is_active:
        return unchanged("was off already")
    _require_awake(guest, found)
    is_off = domains.shut_down(
        task.host.libvirt,
        task.domain(guest),
        sleep=_counting(task, SHUT_DOWN_S, "waits until the guest is off"),
        timeout_s=SHUT_DOWN_S,
    )
    if not is_off:
        problem = f"still runs {SHUT_DOWN_S:.0f} s after its power button was pressed"
        raise _failed(guest, problem, "Force off ends it at once.")
    return _off(task, guest)


def power_off(task: Task) -> Outcome:
    """Pull one guest's plug."""
    guest, _ = _find(task)
    if not domains.destroy(task.host.libvirt, task.domain(guest)):
        return unchanged("was off already")
    return _off(task, guest)


def reboot(task: Task) -> Outcome:
    """Ask one guest's system to restart, and wait for the event of it."""
    guest, found = _find(task)
    _require_awake(guest, found)
    end = power.reboot(
        task.host.libvirt,
        task.domain(guest),
        sleep=_counting(task, REBOOT_S, "waits for the guest's reboot"),
        timeout_s=REBOOT_S,
    )
    if end is Rebooted.WENT_OFF:
        raise _failed(guest, "went off instead of rebooting", "Use Start.")
    if end is Rebooted.IGNORED:
        problem = f"did not reboot within {REBOOT_S:.0f} s"
        raise _failed(guest, problem, "Reset restarts it at once.")
    message = _booting(task, guest)
    if end is Rebooted.SEEN:
        return done(message)
    seen = "was asked to reboot; this host reports no events, so it was not observed"
    return done("; ".join(filter(None, (seen, message))))


def reset(task: Task) -> Outcome:
    """Press one guest's reset button."""
    guest, found = _find(task)
    _require_awake(guest, found)
    power.reset(task.host.libvirt, task.domain(guest))
    return done(_booting(task, guest))


def pause(task: Task) -> Outcome:
    """Stop one guest's processors."""
    guest, found = _find(task)
    if found.status is DomainStatus.PAUSED:
        return unchanged("was paused already")
    _require_awake(guest, found)
    power.pause(task.host.libvirt, task.domain(guest))
    return done()


def resume(task: Task) -> Outcome:
    """Let one paused guest's processors run."""
    guest, found = _find(task)
    _require_on(guest, found)
    if found.status is not DomainStatus.PAUSED:
        return unchanged("was running already")
    power.resume(task.host.libvirt, task.domain(guest))
    return done(f"was paused: {found.reason}" if found.reason else "")


def _find(task: Task) -> tuple[GuestState, DomainFacts]:
    """Return the guest and its domain. Raises: PowerFailed, ForeignThing."""
    guest = task.state.guest(task.resource.key)
    found = domains.find(task.host.libvirt, task.domain(guest))
    if found is None:
        raise PowerFailed(
            f"Guest {guest.name} does not exist on {guest.host}.", hint="Use Up."
        )
    return guest, found


def _require_on(guest: GuestState, found: DomainFacts) -> None:
    if not found.is_active:
        raise _failed(guest, "is off", "Use Start.")


def _require_awake(guest: GuestState, found: DomainFacts) -> None:
    _require_on(guest, found)
    if found.status is DomainStatus.PAUSED:
        raise _failed(guest, "is paused", "Use Resume first, or Force off.")


def _failed(guest: GuestState, problem: str, hint: str) -> PowerFailed:
    return PowerFailed(f"Guest {guest.name} on {guest.host} {problem}.", hint=hint)


def _off(task: Task, guest: GuestState) -> Outcome:
    admission.boot_ended(task, guest)
    task.hosts.forget_guest(task.state, guest)
    return done()


def _booting(task: Task, guest: GuestState) -> str:
    """Record that a guest boots; return the sentence on its `run_script`."""
    task.hosts.forget_guest(task.state, guest)
    if guest.run_script is None:
        return ""
    task.project.mark(guest.name, run_script="", run_script_exit_code=None)
    return f"{guest.run_script.path} runs at the next Up"


def _counting(task: Task, limit_s: float, note: str) -> Callable[[float], None]:
    """Return a sleep that shows the time waited, and that cancel ends."""
    began = time.monotonic()

    def sleep(seconds: float) -> None:
        waited_s = int(time.monotonic() - began)
        task.progress(waited_s, int(limit_s), unit="s", note=note)
        task.scope.sleep(seconds)

    return sleep
