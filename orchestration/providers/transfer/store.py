"""The image store of a testbed host: each content once, under any number of names.

A name is a hard link to a content; a content with one link is unused. A file that an
earlier version left there under a name only is adopted. Only verified contents get
names. Used by `push.py` and, for received files, `sender.py`.
"""

import contextlib
from dataclasses import dataclass
from enum import StrEnum

from orchestration.errors import CommandFailed, HostUnreachable
from orchestration.providers.images import protection
from orchestration.providers.transfer import receiver
from orchestration.providers.transfer.receiver import Observation, Place
from orchestration.transport.base import Log, Scope, Transport
from orchestration.transport.files.copying import COPY_TIMEOUT_S
from orchestration.transport.processes.leftovers import ask_again, is_unknown

CLEAN_UP_S = 6.0


class Pushed(StrEnum):
    """The actions that gave a host a content under a name."""

    NOTHING = "nothing"
    LINKED = "linked"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class HostStore:
    """One host's image store, as far as one content goes."""

    transport: Transport
    place: Place
    scope: Scope
    log: Log

    def observe(self) -> Observation:
        """Read the host's state of the content."""
        completed = self.transport.run(receiver.observe(self.place), scope=self.scope)
        return receiver.parse_observation(completed.stdout)

    def has_content(self, seen: Observation, size: int) -> bool:
        """Return whether the content is there, as it was when it was verified."""
        found, place = seen.content, self.place
        if found is None:
            return False
        if found.access != protection.GUARDED:
            # Earlier versions let libvirt give it to QEMU's user.
            self.transport.run(protection.guard(place.content), scope=self.scope)
        if seen.holds(place, size):
            return True
        self.log(f"{place.content} on {self.transport.machine} was written to")
        if found.size == size and self._is_right(place.content):
            self.transport.run(receiver.mark_again(place), scope=self.scope)
            return True
        self.log("it is damaged: copying it again")
        self.transport.run(receiver.remove_content(place), scope=self.scope)
        return False

    def observe_again(self) -> Observation:
        """Read the host's state after the link broke. Raises: HostUnreachable."""
        ask_again(self.scope, self.transport)
        return self.observe()

    def linked(self, seen: Observation) -> Pushed:
        """Give the content its name, unless it has it."""
        if seen.name is not None and seen.name == seen.content:
            return Pushed.NOTHING
        self.link()
        return Pushed.LINKED

    def link(self) -> None:
        """Give the content its name, also when another file has it."""
        self.transport.run(receiver.link(self.place), scope=self.scope)

    def adopts(self, seen: Observation, size: int) -> bool:
        """Adopt a file that an earlier version left under the name."""
        name, place = seen.name, self.place
        if name is None or name.size != size or name == seen.content:
            return False
        if not self._is_right(place.name):
            return False
        self.transport.run(receiver.adopt(place), scope=self.scope)
        return True

    def discard(self) -> None:
        """Remove the received file, unless the host cannot be asked."""
        machine = self.transport.machine
        if any(p.machine == machine and is_unknown(p) for p in self.scope.ended):
            return
        with contextlib.suppress(CommandFailed, HostUnreachable):
            self.transport.run(
                receiver.discard(self.place), scope=Scope(), timeout_s=CLEAN_UP_S
            )

    def _is_right(self, path: str) -> bool:
        """Return whether a whole file of the host has the digest."""
        self.log(f"{path} on {self.transport.machine} is read and verified")
        completed = self.transport.run(
            receiver.checksum(path, self.place.digest),
            scope=self.scope,
            timeout_s=COPY_TIMEOUT_S,
            check=False,
        )
        found = completed.stdout.removeprefix("\\").split()[:1]
        return found == [self.place.digest.value]
