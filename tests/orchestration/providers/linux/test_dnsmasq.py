"""The networks whose dnsmasq runs, by pid files and real processes."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestration.providers.linux import dnsmasq
from orchestration.transport.base import Command, Completed, Scope
from orchestration.transport.local import LocalTransport
from tests.waiting import wait_until

Server = subprocess.Popen[bytes]


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Server]:
    """A process with the arguments of the dnsmasq of `lab-nat`, and its pid file."""
    argument = "--conf-file=/var/lib/libvirt/dnsmasq/lab-nat.conf"
    words = [sys.executable, "-c", "input()", argument, "--leasefile-ro"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        (tmp_path / "lab-nat.pid").write_text(f"{process.pid}\n")
        wait_until(lambda: "lab-nat" in running(tmp_path), "its arguments are not read")
        yield process
        process.kill()


class Plain(LocalTransport):
    """This machine, without becoming root."""

    def run(self, cmd: Command, **options: Any) -> Completed:
        return super().run(replace(cmd, as_root=False), **options)


def running(folder: Path) -> frozenset[str]:
    return dnsmasq.running(Plain("host-a"), scope=Scope(), folder=str(folder))


def test_networks_are_served_while_their_processes_run(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "gone.pid").write_text("999999999\n")

    assert running(tmp_path) == {"lab-nat"}


def test_process_that_nobody_waited_for_serves_nothing(
    server: Server, tmp_path: Path
) -> None:
    server.kill()

    wait_until(lambda: running(tmp_path) == frozenset(), "it still counts as running")
    assert Path(f"/proc/{server.pid}").exists()


def test_another_process_with_the_same_number_serves_nothing(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "lab-nat.pid").rename(tmp_path / "at.pid")

    assert running(tmp_path) == frozenset()


def test_host_without_networks_serves_nothing(tmp_path: Path) -> None:
    assert running(tmp_path) == frozenset()
    assert running(tmp_path / "none") == frozenset()
