"""An SSH server that accepts any key and answers any command with a flood.

Run as a program with a host key's path, a port, the kind of the flood and a file that
holds it back. It sends what `Session` takes for the start of the command, and then more
than the client granted.
"""

import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import paramiko

from orchestration.transport.processes.login_shell import MARK
from tests.waiting import wait_until

CHUNK = b"x" * 30_000 + b"\n"
_DATA, _EXTENDED_DATA = 94, 95


class _Open(paramiko.ServerInterface):
    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(
        self, channel: paramiko.Channel, command: bytes
    ) -> bool:
        return True


def send_data(server: paramiko.Transport, channel: paramiko.Channel) -> None:
    message = paramiko.Message()
    message.add_byte(bytes([_DATA]))
    message.add_int(channel.remote_chanid)
    message.add_string(CHUNK)
    server._send_user_message(message)


def send_extended_data(server: paramiko.Transport, channel: paramiko.Channel) -> None:
    message = paramiko.Message()
    message.add_byte(bytes([_EXTENDED_DATA]))
    message.add_int(channel.remote_chanid)
    message.add_int(1)
    message.add_string(CHUNK)
    server._send_user_message(message)


def send_packet_without_end(
    server: paramiko.Transport, channel: paramiko.Channel
) -> None:
    server.packetizer.write_all(struct.pack(">I", 2**31) + CHUNK * 5_000)


FLOODS: dict[str, Callable[[paramiko.Transport, paramiko.Channel], None]] = {
    "data": send_data,
    "extended data": send_extended_data,
    "packet": send_packet_without_end,
}


def serve(sock: socket.socket, key: paramiko.PKey, flood: str, held: Path) -> None:
    """Flood one connection, as soon as there is no file `held`."""
    server = paramiko.Transport(sock)
    server.add_server_key(key)
    server.start_server(server=_Open())
    channel = server.accept()
    channel.sendall(MARK + b"begins\n")
    wait_until(lambda: not held.exists())
    while server.is_active():
        FLOODS[flood](server, channel)


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
    host_key = paramiko.PKey.from_path(Path(sys.argv[1]))
    sys.stdout.write("listens\n")
    sys.stdout.flush()
    while True:
        serve(listener.accept()[0], host_key, sys.argv[3], Path(sys.argv[4]))
