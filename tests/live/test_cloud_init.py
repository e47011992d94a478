"""The real cloud-init of Debian 12 reads our seed: plain QEMU, a full image, no lab.

The image is script/lab/cloud-image's, its interfaces come in another order than the
seed's, and every network behind them that has DHCP offers a default route.
"""

import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.providers import cloud_init
from orchestration.providers.guest_network import network_command
from orchestration.providers.keys import generate_key_pair
from orchestration.state.images import ImageState
from orchestration.state.model import (
    GuestState,
    InterfaceState,
    ManagementInterface,
)

CHECKOUT = Path(__file__).parents[2]
TOOLS = ("qemu-system-x86_64", "qemu-img", "ssh", "apt-get")
needs = [tool for tool in TOOLS if not shutil.which(tool)]
pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to build the image"),
    pytest.mark.skipif(bool(needs), reason=f"not installed: {', '.join(needs)}"),
    pytest.mark.skipif(
        "VERSION_CODENAME=bookworm" not in Path("/etc/os-release").read_text(),
        reason="the image is made from the packages of Debian 12",
    ),
]
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


def write_seed(folder: Path) -> str:
    """Write the seed as `prepare` does, and return the host's public key."""
    login, host = generate_key_pair("testbed"), generate_key_pair("demo-web")
    (folder / "id").touch(mode=0o600)
    (folder / "id").write_bytes(login.private_openssh)
    context = folder / "context"
    (context / "deep").mkdir(parents=True)
    (context / "deep" / "letter").write_text("hello\n")
    guest = sample()
    files = {
        "meta-data": cloud_init.build_meta_data(guest),
        "user-data": cloud_init.build_user_data(
            guest,
            public_key=login.public_line,
            host_key_private=host.private_openssh,
            host_key_public=host.public_line,
        ),
        "network-config": cloud_init.build_network_config(guest),
        "context.tar": cloud_init.context_archive(context, folder),
    }
    cloud_init.write_seed(folder / "seed.iso", files)
    return " ".join(host.public_line.split()[:2])


class Machine:
    """One QEMU process, and SSH to what runs in it with the pinned host key."""

    def __init__(self, folder: Path, disk: Path, host_key: str) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}\n")
        self.console = folder / "console.log"
        self.console.touch()
        self.process = subprocess.Popen(self._command(disk))

    def _command(self, disk: Path) -> list[str]:
        command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "512"]
        command += ["-display", "none"]
        command += ["-monitor", f"unix:{self.folder}/monitor,server=on,wait=off"]
        command += ["-serial", f"file:{self.console}"]
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

    def ssh(self, command: str, timeout: float = 60, stdin: bytes = b"") -> str:
        return run(
            "ssh", "-F", "none", "-i", self.folder / "id", "-p", str(self.port),
            "-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
            "-o", "ConnectTimeout=20", "researcher@127.0.0.1", command,
            timeout=timeout, stdin=stdin,
        )  # fmt: skip

    def wait_until_login_works(self) -> None:
        end = time.monotonic() + BOOT_DEADLINE_S
        while (error := self._login_error()) is not None:
            console = self.console.read_text(errors="replace")
            assert self.process.poll() is None, f"QEMU ended\n{console[-3000:]}"
            assert time.monotonic() < end, f"{error}\n{console[-3000:]}"
            time.sleep(1)

    def _login_error(self) -> str | None:
        try:
            self.ssh("true")
        except subprocess.CalledProcessError as exc:
            return str(exc.stderr)
        except subprocess.TimeoutExpired:
            return "no answer"
        return None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A guest that has booted for the first time and finished cloud-init."""
    cache = os.environ.get("TESTBED_IMAGE_CACHE", CHECKOUT / "var/cache/images")
    image = run(CHECKOUT / "script/lab/cloud-image", cache, timeout=400).strip()
    folder = tmp_path_factory.mktemp("cloud")
    host_key = write_seed(folder)
    disk = folder / "disk.qcow2"
    run(
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "qcow2",
        "-b",
        image,
        disk,
        "4G",
    )
    machine = Machine(folder, disk, host_key)
    try:
        machine.wait_until_login_works()
        machine.ssh("cloud-init status --wait || true", timeout=300)
        yield machine
    finally:
        machine.stop()


def test_cloud_init_ends_without_errors(machine):
    status = machine.ssh("cloud-init status --long || true")
    log = machine.ssh("sudo cat /var/log/cloud-init.log")
    bad = [ln for ln in log.splitlines() if "[WARNING]" in ln or "[ERROR]" in ln]

    assert "status: done" in status, status
    assert "DataSourceNoCloud [seed=/dev/vdb]" in status
    assert bad == []
    assert machine.ssh("sudo ls /etc/nocloud/ready").strip() == "/etc/nocloud/ready"


def test_user_has_sudo_and_the_guest_its_name(machine):
    assert machine.ssh("id -un; hostname").split() == ["researcher", "demo-web"]
    assert machine.ssh("sudo -n id -u").strip() == "0"
    assert "demo-web" in machine.ssh("getent hosts demo-web")


def test_only_the_seeded_host_key_is_there(machine):
    assert machine.ssh("ls /etc/ssh/*_key").split() == ["/etc/ssh/ssh_host_ed25519_key"]


def test_interfaces_are_named_by_address_and_configured(machine):
    shown = {
        name: machine.ssh(
            f"cat /sys/class/net/{name}/address /sys/class/net/{name}/mtu;"
            f" ip -4 -o address show {name} | awk '{{print $4}}'"
        ).split()
        for name in ("eth0", "eth1", "mgmt0")
    }

    assert shown == {
        "eth0": [STATIC_MAC, "1442", "10.9.1.5/20"],
        "eth1": [DHCP_MAC, "1400", "10.9.16.77/24"],
        "mgmt0": [MANAGEMENT_MAC, "1500", "10.0.2.15/24"],
    }


def test_one_interface_has_the_default_route(machine):
    routes = machine.ssh("ip -4 route show default").splitlines()

    assert [route.split()[:5] for route in routes] == [
        ["default", "via", "10.9.0.1", "dev", "eth0"]
    ]


def test_environment_and_context_are_there(machine):
    assert machine.ssh("/etc/nocloud/env.sh GREETING") == f"{GREETING}\n"
    assert machine.ssh("/etc/nocloud/env.sh not-a-name") == "x\n"
    assert machine.ssh("cat /etc/nocloud/context/deep/letter") == "hello\n"
    assert machine.ssh("ls /etc/nocloud").split() == [
        "context", "env.sh", "environment", "ready", "unpack-context.sh",
    ]  # fmt: skip


def test_root_file_system_grows_with_the_disk(machine):
    kib = int(machine.ssh("df -k / | tail -n 1").split()[1])

    assert kib > 3 * 1024 * 1024


def test_network_changes_as_it_runs(machine):
    moved = STATIC.model_copy(update={"address": "10.9.1.6", "gateway": "10.9.0.2"})
    fixed = DYNAMIC.model_copy(update={"dhcp": False, "address": "10.9.16.90"})
    added = DYNAMIC.model_copy(
        update={"name": "eth2", "mac": PLUGGED_MAC, "address": "10.9.32.77"}
    )
    guest = sample().model_copy(update={"interfaces": (moved, fixed, added)})
    boot = machine.ssh("cat /proc/sys/kernel/random/boot_id")
    machine.plug(f"virtio-net-pci,netdev=n3,mac={PLUGGED_MAC}")

    change = network_command(guest, sample().interfaces)
    machine.ssh(f"sudo {shlex.join(change.argv)}", timeout=240, stdin=change.stdin)

    shown = machine.ssh("ip -4 -o address show scope global").splitlines()
    assert {line.split()[1]: line.split()[3] for line in shown} == {
        "eth0": "10.9.1.6/20",
        "eth1": "10.9.16.90/24",
        "eth2": "10.9.32.77/24",
        "mgmt0": "10.0.2.15/24",
    }
    routes = machine.ssh("ip -4 route show default").splitlines()
    assert [r.split()[:5] for r in routes] == [
        ["default", "via", "10.9.0.2", "dev", "eth0"]
    ]
    assert machine.ssh("cat /proc/sys/kernel/random/boot_id") == boot
