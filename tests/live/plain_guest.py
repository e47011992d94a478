"""The test guest in plain QEMU, without libvirt: its seed, its console, SSH to it.

Used by test_guest_image.py. The image comes from `script/lab/guest-image`.
"""

import base64
import io
import json
import socket
import subprocess
from functools import partial

import pycdlib

from tests import waiting

DEADLINE_S = 240
wait_until = partial(waiting.wait_until, timeout_s=DEADLINE_S, pause_s=0.1)
FIRST_MAC, SECOND_MAC = "52:54:00:00:aa:01", "52:54:00:00:aa:02"


def run(*command, **options):
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=600, **options
    ).stdout


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
    return {
        "meta-data": json.dumps(
            {"instance-id": instance, "local-hostname": "demo-web"}
        ),
        "user-data": "#cloud-config\n" + json.dumps(user_data),
        "network-config": json.dumps(network_config()),
    }


def network_config():
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
    return {"version": 2, "ethernets": ethernets}


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
