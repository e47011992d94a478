"""The instruction that tells whether a guest can be reached, and why not.

It looks once, waits for no boot and changes nothing. A guest that cannot be reached
fails with the first layer that failed. The outcome keeps the facts that the guest's page
shows; the guest itself tells most of them, so each is bounded.
"""

from ipaddress import ip_address
from itertools import islice

from orchestration.errors import GuestUnreachable, HostUnreachable, TestbedError
from orchestration.events import Check, Status
from orchestration.instructions.boot.addresses import address_problems
from orchestration.instructions.boot.diagnosis.evidence import Diagnosis
from orchestration.instructions.boot.reaching import try_to_reach
from orchestration.instructions.task import Outcome, Task
from orchestration.providers.guest.addresses import Addresses, read_addresses
from orchestration.providers.guest.console import console_tail
from orchestration.state.model import GuestState
from orchestration.transport.base import Transport

CONSOLE_LINES = 60
CONSOLE_CHARACTERS = 8000
# An interface of a guest that is looked at for long has a few addresses.
MOST_INTERFACES, MOST_ADDRESSES, NAME_CHARACTERS = 32, 8, 32
ADDRESS_HINT = "See in its console whether its system asks for the address."


def check_guests(task: Task) -> Outcome:
    """Look whether one guest can be reached. Raises: GuestUnreachable, Cancelled."""
    guest = task.state.guest(task.resource.key)
    name = f"Guest {guest.name} on {guest.host}"
    way = try_to_reach(task, guest)
    console = _console(task, guest)
    if isinstance(way, Diagnosis):
        return Outcome(
            Status.FAILED,
            f"{name} cannot be reached: {way.words}.",
            way.hint,
            way.evidence,
            found=Check(way.layer, console=console),
        )
    if way is None:
        message = f"{name} runs. Without an account in it, nothing more is known."
        return Outcome(Status.DONE, message, found=Check(console=console))
    try:
        problems = address_problems(task, guest, way)
        addresses = _addresses(task, way)
    except HostUnreachable as exc:
        raise GuestUnreachable(
            f"{name} was lost while it was checked.",
            hint="Check it again.",
            detail=exc.message,
        ) from exc
    check = Check(addresses=addresses, console=console)
    if not problems:
        return Outcome(Status.DONE, f"{name} can be reached.", found=check)
    words = f"{name} can be reached, but {'; '.join(problems)}."
    return Outcome(Status.WARNING, words, ADDRESS_HINT, found=check)


def _addresses(task: Task, transport: Transport) -> Addresses:
    """Read the guest's addresses; of what a hostile guest prints, a bounded part."""
    if not task.host.state.boots_guests:
        return {}
    found = read_addresses(transport, scope=task.scope)
    return {
        name[:NAME_CHARACTERS]: tuple(islice(filter(_is_address, some), MOST_ADDRESSES))
        for name, some in islice(found.items(), MOST_INTERFACES)
    }


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # the name of a zone may be anything


def _console(task: Task, guest: GuestState) -> str:
    """Return the end of the serial console; empty where it cannot be read."""
    if not task.host.state.boots_guests:
        return ""
    try:
        text = console_tail(
            task.host.transport, guest.console, lines=CONSOLE_LINES, scope=task.scope
        )
    except TestbedError:
        task.scope.check_cancelled()
        return ""
    return text[-CONSOLE_CHARACTERS:]
