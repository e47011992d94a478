"""Pushes one content to one host's image store, under a name.

The instructions call `push` with a file of `source.py`. It sends a content only when
the host has it under no name at all; else a name costs a hard link.
"""

from dataclasses import dataclass
from pathlib import Path

from orchestration.providers.images.locks import locked
from orchestration.providers.transfer import receiver
from orchestration.providers.transfer.sender import Sending, Sent
from orchestration.providers.transfer.source import Content
from orchestration.providers.transfer.store import HostStore, Pushed
from orchestration.transport.base import Log, OnProgress, Scope, Transport
from orchestration.transport.files.copying import open_source


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a push; `sent` only when bytes were sent."""

    pushed: Pushed
    sent: Sent | None = None


def push(
    content: Content,
    transport: Transport,
    name: str,
    *,
    locks: Path,
    compressed: bool = False,
    scope: Scope,
    on_progress: OnProgress,
    log: Log,
) -> Result:
    """Make a content available on a host under a name, a path in its images folder.

    `locks` is main's images folder. Two pushes of one content to one host are done one
    after the other, whatever the names. Raises: ImageFailed, NotEnoughSpace,
    CommandFailed, Cancelled (nothing stays), HostUnreachable (received bytes stay).
    """
    place = receiver.place_of(name, content.digest)
    blob = locks / Path(place.content).name
    with locked(blob, scope, log, purpose=f"push-{transport.machine}"):
        store = HostStore(transport, place, scope, log)
        seen = store.observe()
        if store.has_content(seen, content.size):
            return Result(store.linked(seen))
        if store.adopts(seen, content.size):
            return Result(Pushed.LINKED)
        with open_source(content.path) as file:
            sending = Sending(
                content, file, store, on_progress=on_progress, compressed=compressed
            )
            sent = sending.run(seen)
        store.link()
        return Result(Pushed.SENT, sent)
