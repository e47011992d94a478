"""The fake machine itself: it answers, repeats, records, and fails the unexpected."""

import re

import pytest

from orchestration.errors import CommandFailed, HostUnreachable
from orchestration.transport.base import Scope, Transport, command
from tests.fakes import FakeTransport, Reply


def test_answers_in_order_and_repeats_the_last():
    fake = FakeTransport("host-a", [("cat f", "one"), ("cat f", "two")])

    answers = [fake.run(command("cat", "f"), scope=Scope()).stdout for _ in range(3)]

    assert answers == ["one", "two", "two"]
    assert fake.lines == ["cat f"] * 3


def test_unknown_command_names_the_nearest_expected_one():
    fake = FakeTransport(
        "host-a", [("ip link show br0", ""), (re.compile("ovs-vsctl .*"), "")]
    )

    with pytest.raises(pytest.fail.Exception, match=r"nearest.*ip link show br0"):
        fake.run(command("ip", "link", "show", "br1"), scope=Scope())


def test_exit_codes_and_errors_are_raised():
    fake: Transport = FakeTransport(
        "host-a",
        [
            ("false", Reply(exit_code=3, stderr="no")),
            ("true", HostUnreachable("gone")),
        ],
    )

    with pytest.raises(CommandFailed) as failed:
        fake.run(command("false"), scope=Scope())
    assert failed.value.exit_code == 3
    assert failed.value.detail == "no"
    assert fake.run(command("false"), scope=Scope(), check=False).exit_code == 3
    with pytest.raises(HostUnreachable, match="gone"):
        fake.run(command("true"), scope=Scope())


def test_files_live_in_memory_and_unused_commands_are_listed(tmp_path):
    fake = FakeTransport("host-a", [("never", "")])

    fake.put(b"data", "/etc/x", scope=Scope(), mode=0o600)
    fake.get("/etc/x", tmp_path / "a" / "x", scope=Scope())

    assert (tmp_path / "a" / "x").read_bytes() == b"data"
    assert fake.modes["/etc/x"] == 0o600
    assert fake.unused == ["never"]
