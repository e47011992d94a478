"""The test guest image, booted by plain QEMU from its own disk with a NoCloud seed."""

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pycdlib
import pytest

CHECKOUT = Path(__file__).parents[2]
TOOLS = ("qemu-system-x86_64", "qemu-img", "mcopy", "syslinux", "ssh", "jq")
needs = [tool for tool in TOOLS if not shutil.which(tool)]
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to build the image"),
    pytest.mark.skipif(bool(needs), reason=f"not installed: {', '.join(needs)}"),
]
DEADLINE_S = 240
FIRST_MAC, SECOND_MAC = "52:54:00:00:aa:01", "52:54:00:00:aa:02"


def run(*command, **options):
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=600, **options
    ).stdout


def wait_until(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return answer


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def write_seed(path, documents):
    iso = pycdlib.PyCdlib()
    iso.new(joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for number, (name, text) in enumerate(documents.items()):
        data = text.encode()
        iso.add_fp(
            io.BytesIO(data),
            len(data),
            f"/F{number}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    iso.write(str(path))
    iso.close()


def seed_documents(key, host_private, instance="i-1"):
    users = [
        {
            "name": "researcher",
            "ssh_authorized_keys": [key],
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "shell": "/bin/sh",
        }
    ]
    greeting = base64.b64encode(b'it\'s "here"\n').decode()
    user_data = {
        "users": users,
        "ssh_keys": {"ed25519_private": host_private},
        "write_files": [
            {
                "path": "/etc/lab/greeting",
                "permissions": "0640",
                "encoding": "b64",
                "content": greeting,
            }
        ],
        "runcmd": ["echo once >> /root/runs", ["touch", "/root/two words"]],
    }
    # The names are against the order in which the kernel finds the interfaces.
    ethernets = {
        "lan": {
            "match": {"macaddress": SECOND_MAC},
            "set-name": "eth0",
            "dhcp4": True,
        },
        "management": {
            "match": {"macaddress": FIRST_MAC},
            "set-name": "eth1",
            "dhcp4": False,
            "addresses": ["10.9.0.5/24"],
            "mtu": 1400,
            "nameservers": {"search": ["lab.example"], "addresses": ["10.9.0.1"]},
        },
    }
    return {
        "meta-data": json.dumps(
            {"instance-id": instance, "local-hostname": "demo-web"}
        ),
        "user-data": "#cloud-config\n" + json.dumps(user_data),
        "network-config": json.dumps({"version": 2, "ethernets": ethernets}),
    }


class Guest:
    """One QEMU process and how to talk to what runs in it."""

    def __init__(self, folder, disk):
        self.folder, self.disk = folder, disk
        self.process = None
        self.port = free_port()
        self.console = folder / "console.log"
        public = (folder / "host.pub").read_text().split()
        (folder / "known_hosts").write_text(
            f"[127.0.0.1]:{self.port} {public[0]} {public[1]}\n"
        )

    def start(self):
        self.console.unlink(missing_ok=True)
        monitor = self.folder / "monitor"
        arguments = ["-accel", "tcg", "-m", "128", "-display", "none"]
        arguments += ["-serial", f"file:{self.console}"]
        arguments += ["-monitor", f"unix:{monitor},server,nowait"]
        arguments += ["-drive", f"file={self.disk},if=virtio"]
        seed = self.folder / "seed.iso"
        arguments += ["-drive", f"file={seed},format=raw,if=virtio,readonly=on"]
        forward = f"user,id=lan,hostfwd=tcp:127.0.0.1:{self.port}-:22"
        for mac, network in (
            (FIRST_MAC, "user,id=m,restrict=on"),
            (SECOND_MAC, forward),
        ):
            name = network.split("=")[1].split(",")[0]
            arguments += ["-netdev", network]
            arguments += ["-device", f"virtio-net-pci,netdev={name},mac={mac}"]
        self.process = subprocess.Popen(["qemu-system-x86_64", *arguments])
        wait_until(self.is_ready, "the guest never became ready")

    def is_ready(self):
        assert self.process.poll() is None, "QEMU ended"
        return (
            self.console.exists()
            and "testbed guest ready" in self.console.read_text(errors="replace")
        )

    def ssh(self, command, **options):
        return run(
            "ssh", "-F", "none", "-i", str(self.folder / "id"), "-p", str(self.port),
            "-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
            "researcher@127.0.0.1", command, **options,
        )  # fmt: skip

    def press_power_button(self):
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.folder / "monitor"))
            monitor.sendall(b"system_powerdown\n")
            self.process.wait(DEADLINE_S)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def image():
    cache = os.environ.get("TESTBED_IMAGE_CACHE", CHECKOUT / "var/cache/images")
    described = Path(run(str(CHECKOUT / "script/lab/guest-image"), str(cache)).strip())
    return {**json.loads(described.read_text()), "folder": described.parent}


def make_guest(image, folder, documents=None):
    for name in ("id", "host"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    key = (folder / "id.pub").read_text().strip()
    documents = documents or seed_documents(key, (folder / "host").read_text())
    write_seed(folder / "seed.iso", documents)
    base, disk = image["folder"] / image["path"], folder / "disk.qcow2"
    run(
        "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, disk, "3G"
    )
    return Guest(folder, disk)


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
