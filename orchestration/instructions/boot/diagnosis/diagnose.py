"""Finds the first layer that kept a guest from coming up, with its evidence.

`reaching` asks once, when it gives up. The probes run from the bottom up, each bounded;
the first that finds a fault is the answer, and faults above it are consequences.
A probe that cannot ask leaves a remark and is passed over. Simulated hosts have no
layers: there the last attempt is the answer.
"""

from collections.abc import Callable

from orchestration.errors import Cancelled, HostUnreachable, TestbedError
from orchestration.instructions.boot.diagnosis import login, machine, network
from orchestration.instructions.boot.diagnosis.evidence import (
    NETWORK,
    Diagnosis,
    Evidence,
    Layer,
    Symptom,
)
from orchestration.instructions.task import Task
from orchestration.state.model import GuestState
from orchestration.transport.base import Transport

SHOWN_CONSOLE_LINES = 20
Probe = Callable[[Evidence], Diagnosis | None]
# From the bottom up.
PROBES: tuple[tuple[Layer, Probe], ...] = (
    (Layer.DOMAIN, machine.domain),
    (Layer.DISK, machine.disk),
    (Layer.PORT, network.port),
    (Layer.LINK, network.link),
    (Layer.BOOT, machine.boot),
    (Layer.LEASE, network.lease),
    (Layer.ADDRESS, network.address),
)


def diagnose(
    task: Task, guest: GuestState, symptom: Symptom, transport: Transport | None = None
) -> Diagnosis:
    """Return the first layer that failed; its evidence ends with the console.

    `transport` leads into the guest, for the probes that run inside it.
    Raises: Cancelled.
    """
    evidence = Evidence(task, guest, symptom, transport)
    if not task.host.state.boots_guests:
        hint = login.HINTS.get(symptom.layer, machine.RESTART)
        found = Diagnosis(symptom.layer, symptom.words, hint, symptom.detail)
    else:
        found = _first(evidence) or login.login(evidence) or login.first_boot(evidence)
    texts = [found.evidence, *evidence.remarks, _console(evidence)]
    return Diagnosis(
        found.layer, found.words, found.hint, "\n".join(filter(None, texts))
    )


def _first(evidence: Evidence) -> Diagnosis | None:
    """Probe layer after layer; a guest that answered SSH needs no probe of the way."""
    is_on_the_way = evidence.symptom.layer is Layer.SSH
    for layer, probe in PROBES:
        if layer in NETWORK and not is_on_the_way:
            continue
        try:
            if found := probe(evidence):
                return found
        except Cancelled:
            raise
        except HostUnreachable as exc:
            evidence.remarks.append(exc.message)
            return None
        except TestbedError as exc:
            evidence.remarks.append(
                f"The {layer} could not be asked about: {exc.message}"
            )
    return None


def _console(evidence: Evidence) -> str:
    try:
        tail = "\n".join(evidence.read_console().splitlines()[-SHOWN_CONSOLE_LINES:])
    except Cancelled:
        raise
    except TestbedError as exc:
        return f"The console cannot be read: {exc.message}"
    return tail or "The console is empty: the guest never printed anything."
