"""Hosts whose SSH server forbids forwarding, by which guests are reached.

Against a real sshd with each way to forbid it.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.errors import ForwardingForbidden
from orchestration.transport.base import Scope, command
from orchestration.transport.local import LocalTransport
from orchestration.transport.reachable import forwarding_problem
from tests.orchestration.transport.conftest import Server

MakeServer = Callable[..., Server]
FORBIDDEN = ("AllowTcpForwarding no", "DisableForwarding yes", "PermitOpen none")


@pytest.mark.parametrize("option", FORBIDDEN)
def test_forbidden_forwarding_is_found_and_its_reason_shown(
    make_server: MakeServer, option: str
) -> None:
    host = make_server("a", option).transport("host-b")

    found = forwarding_problem(host)

    assert found is not None
    assert "server of host-b forbids forwarding" in found.message
    assert "administratively prohibited: open failed" in found.message
    assert "AllowTcpForwarding local" in found.hint


def test_key_that_may_not_forward_is_found(server: Server, tmp_path: Path) -> None:
    keys = tmp_path / "sshd-a" / "authorized"
    keys.write_text(f"restrict {keys.read_text()}")

    assert forwarding_problem(server.transport("host-b")) is not None


@pytest.mark.parametrize("allowed", ["yes", "local"])
def test_host_that_forwards_has_no_problem(
    make_server: MakeServer, allowed: str
) -> None:
    host = make_server("a", f"AllowTcpForwarding {allowed}").transport()

    assert forwarding_problem(host) is None


def test_main_is_not_asked() -> None:
    assert forwarding_problem(LocalTransport()) is None


def test_guest_behind_it_fails_for_this_reason(
    make_server: MakeServer, scope: Scope
) -> None:
    host = make_server("a", "AllowTcpForwarding no").transport("host-b")
    guest = make_server("b").transport("web", via=host)

    with pytest.raises(ForwardingForbidden, match="host-b forbids forwarding") as told:
        guest.run(command("true"), scope=scope)

    assert "AllowTcpForwarding" in told.value.hint
