"""The gateway's way to guests: their state on main, then their host. All of it blocks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from orchestration.errors import ConsoleUnavailable
from orchestration.hosts import Hosts
from orchestration.project.folder import Project
from orchestration.project.host_keys import pinned_key
from orchestration.providers.guest.console import console_bytes
from orchestration.providers.libvirt.consoles.serial import SerialConsole
from orchestration.state.model import GuestState, State
from orchestration.transport.base import Scope
from orchestration.transport.ssh import Terminal
from orchestration.transport.streams import Stream
from testbed.consoles.tickets import Ticket


@dataclass(frozen=True, slots=True)
class Place:
    """A guest by its name in a testbed, which has a name and a number.

    The number is never given again: a deleted testbed's name may be another's now.
    """

    testbed: str
    number: int
    guest: str


class Machines:
    """Opens consoles of guests, as their testbeds' states say now."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def open_serial(
        self,
        place: Place,
        *,
        on_output: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> SerialConsole:
        """Open a serial console. Raises: TestbedError."""
        state, guest = self._find(place)
        return self._hosts.open_serial(state, guest, on_output=on_output, on_end=on_end)

    def past_of(self, place: Place, size: int) -> bytes:
        """Return the newest bytes of a serial console's log. Raises: TestbedError."""
        state, guest = self._find(place)
        transport = self._hosts.open(state.host(guest.host)).transport
        return console_bytes(transport, guest.console, size, scope=Scope())

    def open_screen(self, place: Place) -> Stream:
        """Connect to a screen. Raises: TestbedError."""
        return self._hosts.open_screen(*self._find(place))

    def open_shell(self, place: Place, columns: int, rows: int) -> Terminal:
        """Open a login shell. Raises: TestbedError."""
        state, guest = self._find(place)
        if not guest.seed:
            raise ConsoleUnavailable(
                f"Guest {guest.name} has no account for the testbed, so it has no shell.",
                hint="The serial console needs none.",
            )
        key = pinned_key(Project(Path(state.directory)), guest.name)
        size = (columns, rows)
        return self._hosts.open_shell(state, guest, host_key=key, size=size)

    def require_running(self, place: Place) -> None:
        """Raise what keeps a guest from running. Raises: TestbedError."""
        self._hosts.require_running(*self._find(place))

    @staticmethod
    def _find(place: Place) -> tuple[State, GuestState]:
        project = Project(Path(settings.TESTBEDS_DIR) / place.testbed)
        state = project.read_state()
        if state.number != place.number:
            raise ConsoleUnavailable(
                "The testbed is not the one that this page was opened for.",
                hint="Load the page again.",
            )
        try:
            return state, state.guest(place.guest)
        except KeyError:
            raise ConsoleUnavailable(
                f"The testbed has no guest {place.guest}."
            ) from None


def place_of(ticket: Ticket) -> Place:
    """Return the guest that a ticket is for."""
    return Place(ticket.testbed, ticket.testbed_number, ticket.guest)
