"""A guest's own host key: made once for a disk, and reported through the port.

The script runs in a folder in place of the guest's root.
"""

import subprocess
from pathlib import Path

import pytest

from orchestration.project.keys import generate_key_pair
from orchestration.providers.guest.host_key import read_report, report_script
from orchestration.state.model.guests import HOST_KEY_PORT
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport
from tests.fakes import FakeTransport, Reply

KEY = " ".join(generate_key_pair("").public_line.split()[:2])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc/ssh", "dev", "sys/class/virtio-ports/vport0p2", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "sys/class/virtio-ports/vport0p2/name").write_text(f"{HOST_KEY_PORT}\n")
    modprobe = tmp_path / "bin/modprobe"
    modprobe.write_text("#!/bin/sh\n")
    modprobe.chmod(0o755)
    (tmp_path / "etc/ssh/ssh_host_rsa_key").write_text("of the image")
    (tmp_path / "etc/ssh/ssh_host_ed25519_key").write_text("of the image")
    return tmp_path


def boot(root: Path) -> str:
    """Run the script of a boot; return what it reported."""
    script = report_script("/etc/nocloud/ready")
    for folder in ("/etc/", "/dev/v", "/sys/"):
        script = script.replace(folder, f"{root}{folder}")
    script = script.replace("/dev/${", f"{root}/dev/${{")
    path = f"{root}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    subprocess.run(["/bin/sh", "-c", script], check=True, env={"PATH": path})
    return read_report(
        LocalTransport("main"), str(root / "dev/vport0p2"), scope=Scope()
    )


def test_key_of_the_image_is_replaced_and_the_new_one_reported(root: Path) -> None:
    reported = boot(root)

    assert {path.name for path in (root / "etc/ssh").iterdir()} == {
        "ssh_host_ed25519_key",
        "ssh_host_ed25519_key.pub",
    }
    public = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
    assert reported == " ".join(public.split()[:2])


def test_key_stays_when_the_first_boot_is_over(root: Path) -> None:
    first = boot(root)
    (root / "etc/nocloud").mkdir()
    (root / "etc/nocloud/ready").write_text("demo-a-1\n")

    assert boot(root) == first


def test_key_of_a_first_boot_that_was_broken_off_is_replaced(root: Path) -> None:
    assert boot(root) != boot(root)


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ("", ""),
        (f"{KEY}\n", KEY),
        (f"{KEY[20:]}\n{KEY}\n", KEY),
        (KEY[:50], ""),
        (f"{KEY} comment\n", ""),
        (f"ssh-rsa {KEY.split()[1]}\n", ""),
        (f"ssh-ed25519 {'A' * 68}\n", ""),
        ("\x1b[2J\0\xff", ""),
    ],
)
def test_only_a_whole_key_is_taken_from_a_report(said: str, key: str) -> None:
    host = FakeTransport("main", [("tail -c 4096 /report", said)])

    assert read_report(host, "/report", scope=Scope()) == key


def test_guest_that_never_started_has_reported_nothing() -> None:
    host = FakeTransport("main", [("tail -c 4096 /report", Reply(exit_code=1))])

    assert not read_report(host, "/report", scope=Scope())
