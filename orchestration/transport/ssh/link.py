"""Sockets and the SSH connection on them, with fixes for paramiko.

NODELAY and QUICKACK were chosen by measurement: without them each command waits 40 ms
for a delayed ACK. `Link` corrects three faults of paramiko that tunnels meet; limits.py
bounds what a peer sends. login.py logs in over it.
"""

import contextlib
import errno
import os
import re
import socket
import threading
import time
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import ClassVar, NamedTuple, cast

import paramiko

from orchestration.errors import Cancelled
from orchestration.transport.ssh.limits import (
    BoundedPacketizer,
    LinkLost,
    ProtocolBroken,
    take_data,
    take_extended_data,
)
from orchestration.transport.ssh.waiting import POLL_S, pause

# Unacknowledged data for this long means a dead link; with the keepalive there is
# always some. paramiko does not check for answers to its keepalive.
USER_TIMEOUT_MS = 12_000
# RFC 4254: window adjust, data, extended data, EOF, request.
_CHANNEL_MESSAGES = (93, 94, 95, 96, 98)
_CHANNEL_OPEN = 90
_CHANNEL_DATA = 94
_CHANNEL_EXTENDED_DATA = 95
_CHANNEL_CLOSE = 97
_CHANNEL_REQUEST = 98
_GLOBAL_REQUEST = 80
_CHANNEL_FAILURE = 100
_PROHIBITED = 1
_NO_STATUS = -1
# What the kernel has is read in such pieces: two packets of OpenSSH's usual size.
_READ_BYTES = 64 * 1024
# The interval at which a wait for an answer checks the connection.
_LOOK_S = 0.1
_DROPBEAR = re.compile(r"SSH-2\.0-dropbear_(\d{4})\.")
_REFUSED_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_TUNNEL_ERRNOS = (
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ETIMEDOUT,
)


class QuickSocket(socket.socket):
    """A TCP socket that never waits for the other side's delayed ACK."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(fileno=connected.detach())
        for option, value in (
            (socket.TCP_NODELAY, 1),
            (socket.TCP_QUICKACK, 1),
            (socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS),
        ):
            self.setsockopt(socket.IPPROTO_TCP, option, value)

    _unread = b""

    def give_back(self, data: bytes) -> None:
        """Give this data to the next readers once more."""
        self._unread = data + self._unread

    def close(self) -> None:
        """Close, and wake the thread that reads: it would wait out its time limit."""
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)
        super().close()

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive; set QUICKACK again each time, because the kernel clears it.

        paramiko asks twice for each packet: what has come is read at once and kept.
        """
        if not self._unread:
            self._unread = super().recv(max(size, _READ_BYTES), flags)
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        data, self._unread = self._unread[:size], self._unread[size:]
        return data


class TunnelSocket:
    """A direct-tcpip channel through another machine, in place of a socket."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._given_back = b""

    def give_back(self, data: bytes) -> None:
        """Give this data to the next readers once more."""
        self._given_back = data

    def recv(self, size: int) -> bytes:
        """Receive from the channel."""
        if self._given_back:
            data, self._given_back = self._given_back[:size], self._given_back[size:]
            return data
        return self._channel.recv(size)

    def send(self, data: bytes) -> int:
        """Send as much as fits into the window."""
        return self._channel.send(data)

    def settimeout(self, seconds: float | None) -> None:
        """Bound each send and receive."""
        self._channel.settimeout(seconds)

    @property
    def _closed(self) -> bool:
        """Read by paramiko while it waits for its thread to end."""
        return self._channel.closed

    def close(self) -> None:
        """Close the channel, also when the machine in between is gone."""
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self._channel.close()


def _note_close(channel: paramiko.Channel, m: paramiko.Message) -> None:
    cast("Link", channel.get_transport()).note_closed(channel)
    if isinstance(channel, _Channel):
        # From now on no request is sent, which paramiko would wait for without end.
        channel.transport.is_over = True
    channel._handle_close(m)  # type: ignore[attr-defined]


def _note_failure(channel: paramiko.Channel, m: paramiko.Message) -> None:
    cast("Link", channel.get_transport()).note_closed(channel)
    channel._request_failed(m)  # type: ignore[attr-defined]


class _Sender:
    """The link as one channel uses it: each message says whose it is.

    A message holds the server's number of its channel only, and the server gives that
    to another channel as soon as both sides have closed.
    """

    def __init__(self, link: "Link") -> None:
        self.link = link
        # Nothing more is sent for the channel: data is dropped, a request is refused.
        self.is_over = False

    def _send_user_message(self, message: paramiko.Message) -> None:
        message.sender = self  # type: ignore[attr-defined]
        self.link._send_user_message(message)

    def __getattr__(self, name: str) -> object:
        return getattr(self.link, name)


class _Channel(paramiko.Channel):
    """A channel with a sender, whose end by the garbage collector sends nothing.

    paramiko's sends a CLOSE. The collector runs in the middle of any other thread's
    work, also while that one sends a message and holds the lock for it: it then waited
    for itself, and every command over that host with it.
    """

    transport: _Sender  # type: ignore[assignment]

    def get_transport(self) -> "Link":
        """Return the link."""
        return self.transport.link

    def __del__(self) -> None:
        if self.active and not self.closed:
            self.get_transport().close_later(self.remote_chanid)


class Refusal(NamedTuple):
    """Reason for a refused channel: a number of RFC 4254, section 5.1, and a text."""

    code: int
    words: str


class NotSent(paramiko.SSHException):
    """A request was not sent: its channel is closed."""


class ForwardingRefused(ConnectionAbortedError):
    """The server opens no connection for us: its administrator forbids it."""


class Link(paramiko.Transport):
    """paramiko's connection without three of its faults, which tunnels meet.

    `Channel._send` releases its lock before it writes. When the channel is closed in
    that moment, by us or because the guest behind it died, data follows the CLOSE, and
    sshd ends the connection with every other channel on it: 10 of 25 dying guests took
    their host's connection along. Messages are sent one at a time, so late data for a
    closed channel is dropped here.

    paramiko keeps no reason for a refused channel and mixes up the errors of those that
    fail at the same time. Probes, many at once over one host, need both. Nor does it
    distinguish a channel that the server closed from one lost with the link.
    """

    # Two hundred silent connections that look for their end ten times a second take a
    # tenth of a processor. Closing the socket wakes its reader anyway.
    _active_check_timeout = 0.5

    def __init__(self, sock: QuickSocket | TunnelSocket) -> None:
        # paramiko uses no more of a socket than TunnelSocket has.
        super().__init__(
            cast("socket.socket", sock), packetizer_class=BoundedPacketizer
        )
        # The server's answer to each channel that is being opened; None so far.
        self._refusals: dict[int, Refusal | None] = {}
        self._opening = threading.local()
        self.is_spare = False
        self._turn = threading.Lock()
        self._holder: paramiko.Channel | None = None
        self._closed_there: weakref.WeakSet[paramiko.Channel] = weakref.WeakSet()
        self._answered = threading.Condition()
        self._answers = 0
        self._broken: ProtocolBroken | None = None
        # Remote ids. A SimpleQueue may be filled by the garbage collector.
        self._left: SimpleQueue[int] = SimpleQueue()

    @property
    def is_fragile(self) -> bool:
        """Return whether commands side by side may cost the connection.

        When any command ends, dropbear 2022.83 (Debian 12, Ubuntu 24.04) closes each
        channel without a command. It still starts a command that is requested on such a
        channel, and dies of that command's first output: `!channel->sent_close`.
        """
        found = _DROPBEAR.match(self.remote_version)
        return found is not None and found[1] < "2024"

    def loss(self, reason: str) -> LinkLost:
        """Return the error of a command on a lost link; `reason` is the usual one."""
        self.get_exception()
        return ProtocolBroken(*self._broken.args) if self._broken else LinkLost(reason)

    def require_unbroken(self) -> None:
        """Raise ProtocolBroken when the server broke the protocol on this link."""
        error = self.loss("")
        if isinstance(error, ProtocolBroken):
            raise error

    def get_exception(self) -> Exception | None:
        """Return why the link ended, once: paramiko asks, too, and forgets it then."""
        error = super().get_exception()
        if isinstance(error, ProtocolBroken):
            self._broken = error
        return error

    def answers(self, timeout_s: float) -> bool:
        """Ask the server for an answer on this connection; False: none came in time.

        paramiko's own wait for the answer to a global request has no deadline.
        """
        deadline = time.monotonic() + timeout_s
        with self._answered:
            before = self._answers
            # Sending waits for a key exchange, and for space on a dead connection.
            threading.Thread(target=self._ask, name="ssh-ask", daemon=True).start()
            while self._answers == before:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not self.is_active():
                    return False
                self._answered.wait(min(left_s, _LOOK_S))
        return True

    def _ask(self) -> None:
        request = paramiko.Message()
        request.add_byte(bytes([_GLOBAL_REQUEST]))
        request.add_string("keepalive@openssh.com")
        request.add_boolean(True)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self._send_user_message(request)

    def _parse_request_success(self, m: paramiko.Message) -> None:
        self._note_answer()
        super()._parse_request_success(m)  # type: ignore[misc]

    def _parse_request_failure(self, m: paramiko.Message) -> None:
        self._note_answer()
        super()._parse_request_failure(m)  # type: ignore[misc]

    def _note_answer(self) -> None:
        with self._answered:
            self._answers += 1
            self._answered.notify_all()

    def take(self) -> bool:
        """Reserve the link for one command; False: another command has it."""
        return self._turn.acquire(blocking=False)

    def hold_for(self, channel: paramiko.Channel | None) -> None:
        """Set the channel that the link is reserved for; None: none could be opened."""
        self._holder = channel
        if channel is None:
            self._leave(is_over=True)

    def give_back(self, channel: paramiko.Channel) -> None:
        """Release the link; close it if its command may still run."""
        if channel is self._holder:
            ended = channel.exit_status != _NO_STATUS
            self._leave(is_over=ended or self.was_closed_there(channel))

    def _leave(self, *, is_over: bool) -> None:
        self._holder = None
        if self.is_spare or not is_over:
            self.close()
        self._turn.release()

    def note_closed(self, channel: paramiko.Channel) -> None:
        """Record that the server closed the channel or refused a request on it."""
        self._closed_there.add(channel)
        if channel.get_id() in self._refusals:
            self._refusals[channel.get_id()] = Refusal(0, "closed at once")

    def was_closed_there(self, channel: paramiko.Channel) -> bool:
        """Return whether `note_closed` recorded this channel."""
        return channel in self._closed_there

    def open_tunnel(self, address: str, port: int, timeout_s: float) -> TunnelSocket:
        """Connect from there to an address. Raises: OSError, as a socket would."""
        try:
            channel = self.open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout_s
            )
        except (paramiko.SSHException, EOFError) as exc:
            raise self._socket_error(exc) from exc
        self._refusal()
        channel.settimeout(timeout_s)
        return TunnelSocket(channel)

    def open_socket(self, path: str, timeout_s: float) -> paramiko.Channel:
        """Connect to a unix socket there. Raises: OSError, as a socket would.

        paramiko does not know the kind (PROTOCOL of OpenSSH, 2.4): its request is made
        whole when it is sent.
        """
        rest = paramiko.Message()
        rest.add_string(path)
        rest.add_string("")
        rest.add_int(0)
        self._opening.rest = rest.asbytes()
        try:
            channel = self.open_channel(
                "direct-streamlocal@openssh.com", timeout=timeout_s
            )
        except (paramiko.SSHException, EOFError) as exc:
            raise self._socket_error(exc) from exc
        finally:
            self._opening.rest = b""
        self._refusal()
        return channel

    def open_command_channel(
        self, timeout_s: float, is_stopped: Callable[[], bool]
    ) -> paramiko.Channel:
        """Open a channel for a command.

        Tries again for a while when refused: sshd counts a session until it has cleaned
        up after it, later than it answers; and when closed at once, as dropbear does
        (see `Session.start`). Raises: Cancelled, paramiko.ChannelException (refused,
        the link lives), paramiko.SSHException, EOFError, OSError.
        """
        for pause_s in _REFUSED_PAUSES_S:
            try:
                channel = self._open_session(timeout_s, is_stopped)
            except paramiko.SSHException:
                if self._refusal() is None:
                    raise
            else:
                self._refusal()
                return channel
            pause(pause_s, is_stopped)
        raise paramiko.ChannelException(1, "refused")

    def _open_session(
        self, timeout_s: float, is_stopped: Callable[[], bool]
    ) -> paramiko.Channel:
        """Open a channel as paramiko's `open_session` does, or leave it when stopped.

        On the caller's thread: with another one for each, fifty commands that
        begin at once took a tenth longer. A channel that nobody waits for any more is
        closed by `_parse_channel_open_success`.
        """
        answered = threading.Event()
        window, packet = self.default_window_size, self.default_max_packet_size
        with self.lock:
            number = self._next_channel()
            channel = paramiko.Channel(number)
            self._channels.put(number, channel)  # type: ignore[attr-defined]
            self.channel_events[number] = answered
            self.channels_seen[number] = True
            channel._set_transport(self)  # type: ignore[attr-defined]
            channel._set_window(window, packet)  # type: ignore[attr-defined]
        request = paramiko.Message()
        request.add_byte(bytes([_CHANNEL_OPEN]))
        request.add_string("session")
        for value in (number, window, packet):
            request.add_int(value)
        self._send_user_message(request)
        deadline = time.monotonic() + timeout_s
        while not answered.wait(POLL_S):
            if is_stopped():
                self._refusal()
                raise Cancelled
            if time.monotonic() > deadline:
                raise paramiko.SSHException("Timeout opening channel.")
            if not self.is_active():
                break
        known = self._channels.get(number)  # type: ignore[attr-defined]
        # The link's end, too, wakes all that wait.
        if self.is_active() and known is not None:
            return channel
        raise self.get_exception() or paramiko.SSHException("the channel was refused")

    def request_command(
        self, channel: paramiko.Channel, line: str, *, has_input: bool = True
    ) -> None:
        """Request a command without a wait for the server's answer.

        Without input, the end of input goes out in the same piece. A refusal closes the
        channel. Raises: NotSent (the channel is closed), paramiko.SSHException,
        EOFError, OSError.
        """
        request = paramiko.Message()
        request.add_byte(bytes([_CHANNEL_REQUEST]))
        request.add_int(channel.remote_chanid)
        request.add_string("exec")
        request.add_boolean(True)
        request.add_string(line)
        if not has_input:
            with channel.lock:
                # None: the server closes the channel just now, and the request is refused.
                request.rest = channel._send_eof()  # type: ignore[attr-defined]
        cast("_Channel", channel).transport._send_user_message(request)

    def start_command(self, channel: paramiko.Channel, line: str) -> None:
        """Request a command and wait for the server's answer or the channel's end.

        paramiko's own wait has no end when the channel was closed before it began.
        Raises: as `request_command`; paramiko.SSHException: it was refused.
        """
        channel._event_pending()  # type: ignore[attr-defined]
        self.request_command(channel, line)
        while not channel.event.wait(_LOOK_S) and not channel.closed:
            pass
        if not channel.event_ready:
            raise paramiko.SSHException("the channel was closed")

    def _refusal(self) -> Refusal | None:
        """Take the server's reason for the last channel that this thread asked for."""
        return self._refusals.pop(getattr(self._opening, "channel_id", -1), None)

    def _socket_error(self, error: Exception) -> OSError:
        refusal = self._refusal()
        text = refusal.words if refusal else ""
        if refusal and refusal.code == _PROHIBITED:
            return ForwardingRefused(f"administratively prohibited: {text}")
        for code in _TUNNEL_ERRNOS:
            if os.strerror(code) == text:
                return OSError(code, text)
        if "Timeout" in str(error):
            return TimeoutError(str(error))
        return ConnectionAbortedError(text or str(error))

    def _next_channel(self) -> int:
        """Record which channel this thread is opening."""
        channel_id: int = super()._next_channel()  # type: ignore[misc]
        self._opening.channel_id = channel_id
        self._refusals[channel_id] = None
        return channel_id

    def _parse_channel_open_failure(self, m: paramiko.Message) -> None:
        channel_id, code = m.get_int(), m.get_int()
        self._refusals[channel_id] = Refusal(code, m.get_text())
        m.rewind()
        super()._parse_channel_open_failure(m)  # type: ignore[misc]

    def _parse_channel_open_success(self, m: paramiko.Message) -> None:
        own_id, remote_id = m.get_int(), m.get_int()
        channel = self._channels.get(own_id)  # type: ignore[attr-defined]
        if channel is None:
            # A guest that boots opens tunnels after their time limit, and a server lets
            # in a few only that have not logged in: five of a machine for dropbear, ten
            # for OpenSSH.
            self._send_message(_close_of(remote_id))
            return
        channel.__class__ = _Channel
        channel.transport = _Sender(self)
        m.rewind()
        super()._parse_channel_open_success(m)  # type: ignore[misc]

    def close_later(self, remote_id: int) -> None:
        """Close a channel that nobody has any more, after the next message."""
        self._left.put(remote_id)

    def _send_user_message(self, data: paramiko.Message) -> None:
        if rest := getattr(self._opening, "rest", b""):
            self._opening.rest = b""
            data.add_bytes(rest)
        super()._send_user_message(data)  # type: ignore[misc]
        with contextlib.suppress(Empty):
            while True:
                close = _close_of(self._left.get_nowait())
                super()._send_user_message(close)  # type: ignore[misc]

    def _send_message(self, data: paramiko.Message) -> None:
        sender: _Sender | None = getattr(data, "sender", None)
        if sender is not None:
            with data.packet.getbuffer() as content:
                kind = content[0]
            if kind == _CHANNEL_CLOSE:
                sender.is_over = True
            elif sender.is_over and kind in _CHANNEL_MESSAGES:
                if kind == _CHANNEL_REQUEST:
                    raise NotSent("the channel is closed")
                return
        rest: paramiko.Message | None = getattr(data, "rest", None)
        if rest is None:
            super()._send_message(data)  # type: ignore[misc]
            return
        with cast("BoundedPacketizer", self.packetizer).together():
            super()._send_message(data)  # type: ignore[misc]
            super()._send_message(rest)  # type: ignore[misc]

    _channel_handler_table: ClassVar = {
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        _CHANNEL_DATA: take_data,
        _CHANNEL_EXTENDED_DATA: take_extended_data,
        _CHANNEL_CLOSE: _note_close,
        _CHANNEL_FAILURE: _note_failure,
    }


def _close_of(remote_id: int) -> paramiko.Message:
    message = paramiko.Message()
    message.add_byte(bytes([_CHANNEL_CLOSE]))
    message.add_int(remote_id)
    return message


def was_closed_there(channel: paramiko.Channel) -> bool:
    """Return whether the server closed a channel or refused a request on it.

    False when the link was lost: the request may have been carried out then.
    """
    link = channel.get_transport()
    return isinstance(link, Link) and link.was_closed_there(channel)


def connect_tcp(address: str, port: int, timeout_s: float) -> QuickSocket:
    """Open a TCP connection. Raises: OSError."""
    return QuickSocket(socket.create_connection((address, port), timeout_s))
