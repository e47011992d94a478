"""A full Debian 12 in plain QEMU that reads our seed: no libvirt, no lab.

Its interfaces come in another order than the seed's, and every network behind them
that has DHCP offers a default route. One more can be plugged in as it runs.
"""

import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.project.contexts import context_archive
from orchestration.project.keys import KeyPair, generate_key_pair
from orchestration.providers.guest import cloud_init
from orchestration.providers.guest.host_key import read_report
from orchestration.state.model import (
    GuestState,
    InterfaceState,
    ManagementInterface,
)
from orchestration.state.model.guests import HOST_KEY_PORT
from orchestration.state.model.images import ImageState
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport

BOOT_DEADLINE_S = 420
STATIC_MAC, DHCP_MAC, MANAGEMENT_MAC, PLUGGED_MAC = (
    f"52:54:00:00:bb:0{n}" for n in (1, 2, 3, 4)
)
GREETING = 'it\'s "here" $(id) é'


PLACE = {"bridge": "br0", "device": "d1br0", "tap": "t"}
STATIC = InterfaceState(
    **PLACE,
    name="eth0",
    mac=STATIC_MAC.upper(),
    mtu=1442,
    dhcp=False,
    address="10.9.1.5",
    prefix=20,
    gateway="10.9.0.1",
)
DYNAMIC = InterfaceState(
    **PLACE,
    name="eth1",
    mac=DHCP_MAC,
    mtu=1400,
    dhcp=True,
    address="10.9.16.77",
    prefix=24,
)
MANAGEMENT = ManagementInterface(
    name="mgmt0",
    network="m",
    tap="m",
    mac=MANAGEMENT_MAC,
    address="10.0.2.15",
    prefix=24,
)


def sample() -> GuestState:
    """Return a guest with a fixed address, a DHCP address and a management one."""
    return GuestState(
        name="web",
        index=0,
        host="host-a",
        domain="demo-web",
        uuid="9b5a0e0a-6d0c-5a63-8f3c-111111111111",
        user="researcher",
        cpus=1,
        memory_mib=512,
        expand_gib=0,
        image=ImageState(
            name="i", sha256="", format="qcow2", path="/i", main_path="/i"
        ),
        artefacts_dir="/a",
        disk="/a/d",
        seed="/a/s",
        xml="/a/x",
        console="/a/c",
        interfaces=(STATIC, DYNAMIC),
        management=MANAGEMENT,
        environment={"GREETING": GREETING, "not-a-name": "x"},
        context="context",
        spec_hash="h",
    )


def run(*command: str | Path, timeout: float = 60, stdin: bytes = b"") -> str:
    return subprocess.run(
        [str(part) for part in command],
        check=True,
        capture_output=True,
        text=True,
        timeout=timeout,
        input=stdin.decode(),
    ).stdout


@dataclass(frozen=True)
class Keys:
    """The account and key for the guest."""

    login: KeyPair = field(default_factory=lambda: generate_key_pair("testbed"))


def write_files(folder: Path, keys: Keys) -> None:
    """Write the private key, and the context that goes into the seed."""
    (folder / "id").touch(mode=0o600)
    (folder / "id").write_bytes(keys.login.private_openssh)
    context = folder / "context"
    (context / "deep").mkdir(parents=True)
    (context / "deep" / "letter").write_text("hello\n")


def write_seed(seed: Path, guest: GuestState, keys: Keys) -> None:
    """Write the seed as `prepare` does."""
    files = {
        "meta-data": cloud_init.build_meta_data(guest),
        "user-data": cloud_init.build_user_data(
            guest, public_key=keys.login.public_line
        ),
        "network-config": cloud_init.build_network_config(guest),
        "context.tar": context_archive(seed.parent / "context", seed.parent),
    }
    cloud_init.write_seed(seed, files)


class Machine:
    """One QEMU process, and SSH to what runs in it with the host key it reported."""

    def __init__(self, folder: Path, disk: Path, keys: Keys) -> None:
        self.folder = folder
        self.keys = keys
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        self.report = folder / "host-key.report"
        self.console = folder / "console.log"
        self.console.touch()
        self.process = subprocess.Popen(self._command(disk))

    def _command(self, disk: Path) -> list[str]:
        command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "512"]
        command += ["-display", "none"]
        command += ["-monitor", f"unix:{self.folder}/monitor,server=on,wait=off"]
        command += ["-serial", f"file:{self.console}"]
        command += ["-device", "virtio-serial-pci"]
        command += ["-chardev", f"file,id=key,path={self.report}"]
        command += ["-device", f"virtserialport,chardev=key,name={HOST_KEY_PORT}"]
        command += ["-drive", f"file={disk},if=virtio"]
        seed = self.folder / "seed.iso"
        command += ["-drive", f"file={seed},format=raw,if=virtio,readonly=on"]
        forward = f"hostfwd=tcp:127.0.0.1:{self.port}-10.0.2.15:22"
        for number, (mac, options) in enumerate(
            (
                (MANAGEMENT_MAC, f"restrict=on,{forward}"),
                # Only an unrestricted network offers a default route.
                (DHCP_MAC, "net=10.9.16.0/24,dhcpstart=10.9.16.77"),
                (STATIC_MAC, "restrict=on,net=10.9.0.0/20"),
            )
        ):
            command += ["-netdev", f"user,id=n{number},{options}"]
            command += ["-device", f"virtio-net-pci,netdev=n{number},mac={mac}"]
        # Nothing is plugged into this one yet.
        command += ["-netdev", "user,id=n3,net=10.9.32.0/24,dhcpstart=10.9.32.77"]
        return command

    def plug(self, device: str) -> None:
        """Plug a device in as it runs."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.folder / "monitor"))
            monitor.sendall(f"device_add {device}\n".encode())
            monitor.shutdown(socket.SHUT_WR)
            while monitor.recv(4096):
                pass

    def host_key(self) -> str:
        """The key that it reported last."""
        return read_report(LocalTransport("main"), str(self.report), scope=Scope())

    def ssh(self, command: str, timeout: float = 60, stdin: bytes = b"") -> str:
        known = f"[127.0.0.1]:{self.port} {self.host_key()}\n"
        (self.folder / "known_hosts").write_text(known)
        return run(
            "ssh", "-F", "none", "-i", self.folder / "id", "-p", str(self.port),
            "-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
            "-o", "ConnectTimeout=20", "researcher@127.0.0.1", command,
            timeout=timeout, stdin=stdin,
        )  # fmt: skip

    def wait_until_login_works(self, boot: str = "") -> None:
        """Wait for a boot that is not the one given."""
        end = time.monotonic() + BOOT_DEADLINE_S
        while (error := self._login_error(boot)) is not None:
            console = self.console.read_text(errors="replace")
            assert self.process.poll() is None, f"QEMU ended\n{console[-3000:]}"
            assert time.monotonic() < end, f"{error}\n{console[-3000:]}"
            time.sleep(1)

    def _login_error(self, boot: str) -> str | None:
        try:
            if self.ssh("cat /proc/sys/kernel/random/boot_id") == boot:
                return "it has not gone down yet"
        except subprocess.CalledProcessError as exc:
            return str(exc.stderr)
        except subprocess.TimeoutExpired:
            return "no answer"
        return None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
