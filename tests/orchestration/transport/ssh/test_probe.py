"""The probe of a machine: it reads an SSH banner, and tells refused from silent.

Against a real sshd, directly and behind another machine.
"""

import socket

import pytest

from orchestration.transport.ssh import ProbeFailed, ProbeStep, probe_banner
from tests.orchestration.transport.conftest import free_port


@pytest.mark.parametrize("hops", [1, 2])
def test_probe_reads_the_banner(server, hops):
    via = server.transport() if hops == 2 else None

    assert probe_banner("127.0.0.1", server.port, 60, via=via).startswith("SSH-2.0-")


@pytest.mark.parametrize("hops", [1, 2])
def test_probe_tells_refused_from_silent(server, hops):
    via = server.transport() if hops == 2 else None

    with pytest.raises(ProbeFailed) as refused:
        probe_banner("127.0.0.1", free_port(), 60, via=via)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ProbeFailed) as mute:
            probe_banner("127.0.0.1", port, 0.3, via=via, connect_timeout_s=60)

    assert refused.value.step is ProbeStep.REFUSED
    assert mute.value.step is ProbeStep.NO_BANNER


@pytest.fixture
def deaf_port():
    """A port whose queue of connections is full: the kernel drops new ones."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.create_connection(full.getsockname()),
        socket.socket() as waiting,
    ):
        waiting.setblocking(False)
        waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@pytest.mark.parametrize("hops", [1, 2])
def test_probe_of_an_address_without_an_answer(server, deaf_port, hops):
    via = server.transport() if hops == 2 else None

    with pytest.raises(ProbeFailed) as failed:
        probe_banner("127.0.0.1", deaf_port, 0.5, via=via)

    assert failed.value.step is ProbeStep.NO_ANSWER
