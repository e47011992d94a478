"""Facts of a host's kernel: its load, and whether KVM works."""

import re
import shutil
import time

import pytest

from orchestration.errors import HostUnreachable
from orchestration.providers.linux.machine import Machine, observe
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport
from tests.fakes import Answer, FakeTransport, Reply

LOOK = re.compile(r"sh -c .*/proc/loadavg.*", re.DOTALL)


def seen(answer: Answer) -> Machine:
    return observe(FakeTransport("host-b", [(LOOK, answer)]), "/var", scope=Scope())


@pytest.mark.parametrize(
    "text",
    [
        "0.52\n8\nx86_64\nkvm 660\n",
        "0.52\n8\nx86_64\nkvm 670\n",
        "0.52\n8\nx86_64\nroot 666\n",
        "0.52\n8\nx86_64\nroot 777\n",
        "0.52\n0\naarch64\nkvm 660\n",
    ],
)
def test_kvm_is_believed_where_the_processor_and_the_device_agree(text: str) -> None:
    assert seen(text) == Machine(0.52, kvm=True)


@pytest.mark.parametrize(
    "text",
    ["0.52\n8\nx86_64\nnone\n", "0.52\n0\nx86_64\nkvm 660\n", "0.52\n0\nx86_64\n"],
)
def test_kvm_is_not_believed_without_extension_or_device(text: str) -> None:
    assert seen(text) == Machine(0.52, kvm=False)


@pytest.mark.parametrize("device", ["root 600", "root 660", "kvm 600", "root 0"])
def test_device_that_libvirt_may_not_open_is_remarked_with_the_remedy(
    device: str,
) -> None:
    found = seen(f"1.00\n8\nx86_64\n{device}\n")

    assert (found.load, found.kvm) == (1.0, False)
    assert "On host-b libvirt's user may not open /dev/kvm" in found.remark
    assert "chgrp kvm /dev/kvm" in found.hint


@pytest.mark.parametrize("answer", ["", "nonsense\n", Reply(exit_code=127)])
def test_machine_that_says_nothing_useful_has_no_load_and_no_kvm(
    answer: Answer,
) -> None:
    assert seen(answer) == Machine(0.0, kvm=False)


def test_processors_and_disk_are_counted() -> None:
    stat = "cpu  1000 50 250 6000 700 0 100 100 900 40"
    df = "/dev/sda1 1000 400 550 43% /var/lib/my disks"

    found = seen(f"0.52\n8\nx86_64\nkvm 660\n{stat}\n{df}\n")

    assert (found.cpu_busy_s, found.cpu_total_s) == (15.0, 82.0)
    assert (found.disk_bytes, found.disk_free_bytes) == (1000 << 10, 550 << 10)


def test_this_machine_counts_as_its_kernel_does() -> None:
    before = observe(LocalTransport(), "/", scope=Scope())
    busy_until = time.process_time() + 0.05
    while time.process_time() < busy_until:
        pass
    after = observe(LocalTransport(), "/", scope=Scope())

    assert after.cpu_busy_s > before.cpu_busy_s > 0
    busy_s = after.cpu_busy_s - before.cpu_busy_s
    # Equal where all processors were busy, but for the rounding of the differences.
    assert after.cpu_total_s - before.cpu_total_s >= busy_s - 0.001
    disk = shutil.disk_usage("/")
    assert after.disk_bytes == pytest.approx(disk.total, rel=0.01)
    assert 0 < after.disk_free_bytes <= disk.free * 1.1


def test_dead_machine_is_an_error_and_not_an_answer() -> None:
    with pytest.raises(HostUnreachable, match="power"):
        seen(HostUnreachable("host-b has no power."))


def test_question_is_understood_by_a_real_shell() -> None:
    fake, real = FakeTransport("x", [(LOOK, "")]), LocalTransport("here")
    observe(fake, "/var", scope=Scope())

    said = real.run(fake.calls[0], scope=Scope(), check=False)

    real.close()
    pattern = r"\d+\.\d+\n\d+\n\S+\n(none|\S+ \d+)\ncpu [ \d]+\n\S+( +\d+){3} .*\n"
    assert re.fullmatch(pattern, said.stdout)
