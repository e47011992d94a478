"""A machine's basics, from what it printed; also from what it should not print."""

import pytest

from orchestration.providers.linux.basics import parse, read_basics
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport

SAID = """\
system Debian GNU/Linux 13 (trixie)
kernel 6.12.0
machine x86_64
clock 1005
boot 0b2d
network 4026531840
free 1048576
qemu QEMU emulator version 10.0.2
missing zstd
"""


def test_facts_are_read_from_the_lines() -> None:
    found = parse(SAID, asked_at=999.0, answered_at=1001.0)

    assert (found.system, found.kernel) == ("Debian GNU/Linux 13 (trixie)", "6.12.0")
    assert (found.identity, found.free_bytes) == ("0b2d 4026531840", 1 << 30)
    assert (found.ahead_s, found.within_s) == (5.0, 2.0)
    assert (found.qemu, found.missing) == ("QEMU emulator version 10.0.2", ("zstd",))


def test_machine_without_qemu_lacks_that_of_its_processor() -> None:
    said = SAID.replace("qemu QEMU emulator version 10.0.2", "qemu ")

    assert "qemu-system-x86" in parse(said, asked_at=0, answered_at=0).missing


@pytest.mark.parametrize(
    "said",
    [
        "",
        "\0\0",
        "clock 1e9\nfree -1\nboot \nnetwork",
        f"clock {'9' * 4000}\nfree {'9' * 4000}\nsystem {'x' * 100_000}",
        "missing ;reboot\nmissing $(id)\nmachine ;reboot",
    ],
)
def test_odd_output_is_no_fact_and_no_command(said: str) -> None:
    found = parse(said, asked_at=0.0, answered_at=0.0)

    assert (found.free_bytes, found.ahead_s) == (None, None)
    assert len(found.system) <= 200
    assert not any(";" in name or "$" in name for name in found.missing)


def test_this_machine_has_an_identity_and_room_below_a_folder_that_is_missing() -> None:
    here = LocalTransport("main")

    first = read_basics(here, "/var/lib/no/such/folder", scope=Scope())
    second = read_basics(here, "/", scope=Scope())

    assert first.identity == second.identity != ""
    assert first.free_bytes
    assert first.ahead_s is not None
    assert abs(first.ahead_s) < first.within_s
