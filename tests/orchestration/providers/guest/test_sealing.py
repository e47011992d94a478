"""Sealing, run for real on a folder that looks like a guest's root."""

import re
import subprocess
from pathlib import Path

import pytest

from orchestration.providers.guest.cloud_init import READY_FILE
from orchestration.providers.guest.sealing import SEAL, seal

IDENTITY = (
    READY_FILE,
    "/root/.ssh/authorized_keys",
    "/home/student/.ssh/authorized_keys",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_ed25519_key.pub",
    "/etc/dropbear/ed25519",
    "/etc/sudoers.d/90-cloud-init-users",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/random-seed",
)
KEPT = (
    "/etc/ssh/sshd_config",
    "/etc/sudoers.d/own",
    "/home/student/work",
    "/etc/nocloud/context/data",
)


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    for name in (*IDENTITY, *KEPT, "/etc/machine-id"):
        file = tmp_path / name.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("of the golden image\n")
    passwd = f"root:x:0:0::/root:/bin/sh\nstudent:x:1:1::{tmp_path}/home/student:/x\n"
    (tmp_path / "etc/passwd").write_text(passwd)
    return tmp_path


def sealed(root: Path, user: str) -> None:
    """Run the script with every path below a folder, and no cloud-init."""
    # At once: the folder itself may be below one of these.
    script = re.sub(" (/(?:etc|root|var)/)", rf" {root}\1", SEAL)
    script = script.replace("-v cloud-init", "-v no-such-program")
    elsewhere = re.sub(re.escape(str(root)), "", script)
    assert len(re.findall("/(?:etc|root|var)/", elsewhere)) == script.count(f"{root}/")
    subprocess.run(["/bin/sh", "-c", script, "seal", user], check=True)


def test_names_of_the_machine_go_and_everything_else_stays(root: Path) -> None:
    sealed(root, "student")

    assert [n for n in IDENTITY if (root / n.removeprefix("/")).exists()] == []
    assert all((root / name.removeprefix("/")).exists() for name in KEPT)
    assert (root / "etc/machine-id").read_text() == ""


def test_image_without_any_of_it_is_sealed_too(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")

    sealed(tmp_path, "nobody-here")

    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["passwd"]


def test_cloud_init_is_waited_for_and_forgets_that_it_ran(
    root: Path, tmp_path: Path
) -> None:
    program = tmp_path / "cloud-init"
    says = f'echo "$@" >> {tmp_path}/said'
    program.write_text(f'#!/bin/sh\n{says}\ntest "$1" != status\n')
    program.chmod(0o755)
    script = SEAL.split("if command", 1)[1].replace("cloud-init", str(program))

    words = ["/bin/sh", "-e", "-c", f"if command{script}", "seal", "x"]
    subprocess.run(words, check=True)

    assert (tmp_path / "said").read_text() == "status --wait\nclean --logs\n"


def test_sealing_is_roots_work_and_the_users_name_is_no_part_of_the_script() -> None:
    cmd = seal("$(reboot)")

    assert cmd.as_root
    assert cmd.argv[-1] == "$(reboot)"
    assert "reboot" not in cmd.argv[2]
