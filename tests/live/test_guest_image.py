"""The test guest image, booted by plain QEMU from its own disk with a NoCloud seed.

The image is what every other live test boots: that it obeys its seed, takes files and
keeps them is shown here, without libvirt. The guest is started in plain_guest.py.
"""

import base64
import contextlib
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestration.providers.guest.user_script import (
    parse_record,
    record_command,
    script_command,
)
from tests.live.plain_guest import FIRST_MAC, SECOND_MAC, make_guest, run, wait_until

CHECKOUT = Path(__file__).parents[2]
TOOLS = ("qemu-system-x86_64", "qemu-img", "mcopy", "syslinux", "ssh", "jq")
needs = [tool for tool in TOOLS if not shutil.which(tool)]
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to build the image"),
    pytest.mark.skipif(bool(needs), reason=f"not installed: {', '.join(needs)}"),
]


@pytest.fixture(scope="module")
def image():
    cache = os.environ.get("TESTBED_IMAGE_CACHE", CHECKOUT / "var/cache/images")
    described = Path(run(str(CHECKOUT / "script/lab/guest-image"), str(cache)).strip())
    return {**json.loads(described.read_text()), "folder": described.parent}


@pytest.fixture(scope="module")
def guest(image, tmp_path_factory):
    guest = make_guest(image, tmp_path_factory.mktemp("guest"))
    try:
        guest.start()
        yield guest
    finally:
        guest.stop()


def test_description_matches_the_file(image):
    path = image["folder"] / image["path"]

    assert run("sha256sum", str(path)).split()[0] == image["sha256"]
    assert path.stat().st_size == image["size_bytes"] < 64 * 1024 * 1024
    assert image["name"] == "test_guest"
    assert image["sha256"][:12] in image["path"]


def test_building_again_changes_nothing(image):
    before = (image["folder"] / image["path"]).stat().st_mtime_ns

    run(str(CHECKOUT / "script/lab/guest-image"), str(image["folder"]))

    assert (image["folder"] / image["path"]).stat().st_mtime_ns == before


def test_guest_obeys_its_seed(guest):
    assert guest.ssh("hostname").strip() == "demo-web"
    assert guest.ssh("id -un").strip() == "researcher"
    assert guest.ssh("sudo -n id -u").strip() == "0"
    assert guest.ssh("sudo -n env 'A=b c' sh -c 'echo \"$A\"'").strip() == "b c"
    assert guest.ssh("sudo cat /etc/lab/greeting") == 'it\'s "here"\n'
    assert guest.ssh("stat -c %a /etc/lab/greeting").strip() == "640"
    assert guest.ssh("nohup echo still; pgrep -x dropbear").startswith("still")
    assert guest.ssh("sudo ls /root").split("\n")[:2] == ["runs", "two words"]


def test_interfaces_are_found_by_address(guest):
    addresses = {
        name: guest.ssh(f"cat /sys/class/net/{name}/address").strip()
        for name in ("eth0", "eth1")
    }

    assert addresses == {"eth0": SECOND_MAC, "eth1": FIRST_MAC}
    assert "inet 10.9.0.5/24" in guest.ssh("ip address show eth1")
    assert guest.ssh("cat /sys/class/net/eth1/mtu").strip() == "1400"
    assert "inet 10.0.2.15/24" in guest.ssh("ip address show eth0")
    resolv = guest.ssh("cat /etc/resolv.conf")
    assert "search lab.example" in resolv
    assert "nameserver 10.0.2.3" in resolv


def test_files_arrive_by_sftp_and_by_tar(guest, tmp_path):
    (tmp_path / "letter").write_text("hello\n")
    archive = tmp_path / "letters.tar.gz"
    run("tar", "-czf", str(archive), "-C", str(tmp_path), "letter")

    run(
        "scp", "-F", "none", "-i", str(guest.folder / "id"), "-P", str(guest.port),
        "-o", f"UserKnownHostsFile={guest.folder / 'known_hosts'}",
        str(tmp_path / "letter"), "researcher@127.0.0.1:by-sftp",
    )  # fmt: skip
    encoded = base64.b64encode(archive.read_bytes()).decode()
    guest.ssh("base64 -d | tar -xz", input=encoded)

    assert guest.ssh("cat by-sftp letter") == "hello\nhello\n"


def test_power_button_leaves_a_clean_disk_that_keeps_files(guest):
    guest.ssh(
        "echo kept > kept; (trap '' TERM; sleep 600) > /dev/null 2>&1 < /dev/null &"
    )

    guest.press_power_button()
    assert guest.process.returncode == 0
    guest.start()

    assert guest.ssh("cat kept").strip() == "kept"
    assert guest.ssh("sudo cat /root/runs").split() == ["once"]
    assert "recovery" not in guest.ssh("sudo dmesg")


def test_reboot_keeps_name_and_keys(guest):
    boot = guest.ssh("cat /proc/sys/kernel/random/boot_id")
    guest.console.write_text("")

    with pytest.raises(subprocess.CalledProcessError):
        guest.ssh("sudo reboot; sleep 60")
    wait_until(guest.is_ready, "the guest did not come back")

    assert guest.ssh("cat /proc/sys/kernel/random/boot_id") != boot
    assert guest.ssh("hostname").strip() == "demo-web"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("#!/bin/sh\nreboot\n", 0, id="its last command"),
        pytest.param("#!/bin/sh\nreboot\nsleep 600\n", None, id="cuts it off"),
    ],
)
def test_script_that_restarts_the_guest_leaves_its_record(guest, text, code):
    path = "/tmp/restart.sh"
    start = script_command(text.encode(), path)
    guest.ssh(f"cat > {path}", input=text)
    guest.console.write_text("")

    with contextlib.suppress(subprocess.CalledProcessError):  # the connection goes
        guest.ssh(f"sudo {shlex.join(start.argv)}", input=start.stdin.decode())
    wait_until(guest.is_ready, "the guest did not come back")

    look = record_command(path).argv
    record = parse_record(guest.ssh(f"sudo {shlex.join(look)}"))
    assert record.has_restarted
    assert record.ended_with == code


def test_root_file_system_grows_with_the_disk(guest):
    kib = int(guest.ssh("df -k /").splitlines()[1].split()[1])

    assert kib > 2 * 1024 * 1024


def test_smallest_seed_is_read_and_what_is_not_json_is_named(image, tmp_path):
    documents = {
        "meta-data": "instance-id: y-1\nlocal-hostname: plain\n",
        "user-data": "#cloud-config\nusers: []\n",
    }
    guest = make_guest(image, tmp_path, documents)

    try:
        guest.start()
        console = guest.console.read_text(errors="replace")
    finally:
        guest.stop()

    assert "no seed" not in console
    assert "user-data is not JSON" in console
