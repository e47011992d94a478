"""A tunnel that opens after its time limit is closed, so that it holds no guest's place.

A guest answers connections of its boot later than they were waited for.
"""

import gc
import socket
import threading

import paramiko
import pytest

from orchestration.transport.ssh.link import Link, QuickSocket
from tests.waiting import wait_until


class LateServer(paramiko.ServerInterface):
    """Opens tunnels when it may."""

    def __init__(self) -> None:
        self.may_open = threading.Event()

    def check_auth_none(self, username: str) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        self.may_open.wait(30)
        return paramiko.OPEN_SUCCEEDED


def test_tunnel_that_opens_too_late_is_closed_and_the_link_stays() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
    late = LateServer()
    with paramiko.Transport(there) as server, Link(QuickSocket(here)) as link:
        server.add_server_key(paramiko.ECDSAKey.generate())
        server.start_server(event=threading.Event(), server=late)
        link.start_client(timeout=30)
        link.auth_none("user")

        with pytest.raises(OSError, match=r".+"):
            link.open_tunnel("127.0.0.1", 22, timeout_s=0.1)
        gc.collect()  # the error held the channel
        late.may_open.set()

        tunnel = server.accept(30)
        assert tunnel is not None
        wait_until(lambda: tunnel.closed)
        assert link.open_tunnel("127.0.0.1", 22, timeout_s=30)
