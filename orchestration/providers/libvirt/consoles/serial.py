"""The open serial console of a guest: bytes both ways over a stream of libvirt.

`Hosts.open_serial` opens it for the console gateway, on a connection of its own: while a
guest reads nothing, libvirtd stops reading the connection that typed too much. Events
of the stream come on libvirt's own thread (`events.py`). What the guest prints has to be
taken at once: libvirt keeps the rest in memory, without any limit.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

import libvirt

from orchestration.errors import ConsoleUnavailable
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.consoles.running import require_running
from orchestration.providers.libvirt.ownership import GuestDomain

logger = logging.getLogger(__name__)
MOST_UNSENT_BYTES = 1024 * 1024
_READ_BYTES = 64 * 1024
_READS_AT_ONCE = 16
_SEND_BYTES = 4096
_WOULD_BLOCK = -2
_LISTENING = (
    libvirt.VIR_STREAM_EVENT_READABLE
    | libvirt.VIR_STREAM_EVENT_ERROR
    | libvirt.VIR_STREAM_EVENT_HANGUP
)
_TYPING = _LISTENING | libvirt.VIR_STREAM_EVENT_WRITABLE


class SerialConsole:
    """One stream; thread-safe.

    `on_output` and `on_end` are called on libvirt's thread, the second one once.
    """

    def __init__(
        self,
        conn: Connection,
        *,
        on_output: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._conn = conn
        self._on_output = on_output
        self._on_end = on_end
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self._stream: libvirt.virStream | None = None

    def open(self, guest: GuestDomain) -> None:
        """Open the console. Blocks.

        Raises: ConsoleUnavailable (the guest is off, or another program has its
        console), ForeignThing, LibvirtFailed, HostUnreachable.
        """
        what = f"open the serial console of domain {guest.name}"
        self._conn.call(what, lambda handle: self._open(handle, guest), changes=True)

    def send(self, data: bytes) -> bool:
        """Type into the console; False when the guest has not read far too much."""
        with self._lock:
            if self._stream is None:
                return True
            if len(self._unsent) + len(data) > MOST_UNSENT_BYTES:
                return False
            self._unsent += data
            with suppress(libvirt.libvirtError):
                self._stream.eventUpdateCallback(_TYPING)
        return True

    def is_alive(self) -> bool:
        """Return whether the stream is open on a connection that lives.

        A stream does not report the end of its connection by itself.
        """
        with self._lock:
            return self._stream is not None and self._conn.is_alive()

    def close(self) -> None:
        """Close stream and connection. Blocks; a second call does nothing."""
        stream = self._take()
        if stream is not None:
            with suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
            with suppress(libvirt.libvirtError):
                stream.abort()
        self._conn.close()

    def _open(self, handle: libvirt.virConnect, guest: GuestDomain) -> None:
        machine = self._conn.machine
        domain = require_running(handle, guest, machine)
        stream = handle.newStream(libvirt.VIR_STREAM_NONBLOCK)
        try:
            domain.openConsole(None, stream)
        except libvirt.libvirtError as error:
            if "console session exists" not in str(error):
                raise
            raise ConsoleUnavailable(
                f"Another program on {machine} has the serial console of guest "
                f"{guest.guest}, for example `virsh console`."
            ) from error
        self._stream = stream
        stream.eventAddCallback(_LISTENING, self._on_event, None)

    def _on_event(self, stream: libvirt.virStream, events: int, _: object) -> None:
        try:
            is_over = self._read(stream)
            if events & libvirt.VIR_STREAM_EVENT_WRITABLE and not is_over:
                self._write(stream)
        except libvirt.libvirtError as error:
            logger.info("a serial console on %s ended: %s", self._conn.machine, error)
            is_over = True
        if is_over and self._take() is not None:
            with suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
            self._on_end()

    def _read(self, stream: libvirt.virStream) -> bool:
        """Take what the guest printed; return whether the stream has ended."""
        for _ in range(_READS_AT_ONCE):
            data = stream.recv(_READ_BYTES)
            if data == _WOULD_BLOCK:
                return False
            if not data:
                return True
            self._on_output(data)
        return False

    def _write(self, stream: libvirt.virStream) -> None:
        with self._lock:
            if self._unsent:
                sent = stream.send(bytes(self._unsent[:_SEND_BYTES]))
                if sent > 0:
                    del self._unsent[:sent]
            if not self._unsent:
                stream.eventUpdateCallback(_LISTENING)

    def _take(self) -> libvirt.virStream | None:
        """Return the stream to the one caller that ends it."""
        with self._lock:
            stream, self._stream = self._stream, None
        return stream
