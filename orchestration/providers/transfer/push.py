"""The image store of a testbed host: each content once, under as many names as wanted.

`push` is what the instructions call, with a file of `source.py`. It sends a content
only when the host has it under no name at all; else a name costs a hard link. A
content with one link is nobody's. What earlier versions left there under a name only
is taken in. No name is ever given to anything that was not verified.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestration.errors import ImageFailed
from orchestration.providers.images import protection
from orchestration.providers.images.locks import Log, locked
from orchestration.providers.transfer import receiver
from orchestration.providers.transfer.receiver import Place, Seen
from orchestration.providers.transfer.sender import Sending, Sent
from orchestration.providers.transfer.source import Content
from orchestration.transport.base import OnProgress, Scope, Transport
from orchestration.transport.files.copying import COPY_TIMEOUT_S, open_source


class Pushed(StrEnum):
    """What had to be done for a host to have a content under a name."""

    NOTHING = "nothing"
    LINKED = "linked"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class Result:
    """How a push ended; `sent` only when something went over the wire."""

    pushed: Pushed
    sent: Sent | None = None


def push(
    content: Content,
    transport: Transport,
    name: str,
    *,
    locks: Path,
    scope: Scope,
    on_progress: OnProgress,
    log: Log,
) -> Result:
    """Let a host have a content under a name, which is a path in its images folder.

    `locks` is main's images folder. Two pushes of one content to one host are done
    one after the other, whatever the names. Raises: ImageFailed, NotEnoughSpace,
    CommandFailed, Cancelled (nothing stays), HostUnreachable (what arrived stays).
    """
    place = receiver.place_of(name, content.digest)
    blob = locks / Path(place.content).name
    with locked(blob, scope, log, purpose=f"push-{transport.machine}"):
        host = _Host(transport, place, scope, log)
        seen = host.look()
        if host.has_content(seen, content.size):
            return Result(host.linked(seen))
        if host.adopts(seen, content.size):
            return Result(Pushed.LINKED)
        with open_source(content.path) as file:
            sending = Sending(
                file,
                place,
                transport,
                scope=scope,
                on_progress=on_progress,
                prove=lambda: host.prove(content),
                log=log,
            )
            sending.require_unchanged(content.size, content.changed_ns)
            sent = sending.run(seen)
        host.link()
        return Result(Pushed.SENT, sent)


@dataclass(frozen=True, slots=True)
class _Host:
    """One host's store, as far as one content goes."""

    transport: Transport
    place: Place
    scope: Scope
    log: Log

    def look(self) -> Seen:
        """See what is there."""
        looked = self.transport.run(receiver.look(self.place), scope=self.scope)
        return receiver.parse_look(looked.stdout)

    def has_content(self, seen: Seen, size: int) -> bool:
        """Say whether the content is there and as it was when it was verified."""
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
        self.log("it is damaged and copied anew")
        self.transport.run(receiver.remove_content(place), scope=self.scope)
        return False

    def linked(self, seen: Seen) -> Pushed:
        """Give the content its name, unless it has it."""
        if seen.name is not None and seen.name == seen.content:
            return Pushed.NOTHING
        self.link()
        return Pushed.LINKED

    def link(self) -> None:
        """Give the content its name, whatever had it before."""
        self.transport.run(receiver.link(self.place), scope=self.scope)

    def adopts(self, seen: Seen, size: int) -> bool:
        """Take in a file that an earlier version left under the name."""
        name, place = seen.name, self.place
        if name is None or name.size != size or name == seen.content:
            return False
        if not self._is_right(place.name):
            return False
        self.transport.run(receiver.adopt(place), scope=self.scope)
        return True

    def prove(self, content: Content) -> None:
        """Hash what arrived when its digest is only remembered. Raises: ImageFailed.

        That what arrived is what main has does not say that it has that digest.
        """
        if content.note is None or self._is_right(f"{self.place.content}.part"):
            return
        content.note.unlink(missing_ok=True)
        raise ImageFailed(
            f"The disk {content.path} is another one than when it was read, though its "
            f"size and time are the same; nothing is kept on {self.transport.machine}.",
            hint="Start again: it is read anew.",
        )

    def _is_right(self, path: str) -> bool:
        """Hash a whole file of the host."""
        self.log(f"{path} on {self.transport.machine} is read and verified")
        completed = self.transport.run(
            receiver.checksum(path, self.place.digest),
            scope=self.scope,
            timeout_s=COPY_TIMEOUT_S,
            check=False,
        )
        found = completed.stdout.removeprefix("\\").split()[:1]
        return found == [self.place.digest.value]
