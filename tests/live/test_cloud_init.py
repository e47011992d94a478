"""The real cloud-init of Debian 12 reads our seed: plain QEMU, a full image, no lab.

The image is script/lab/cloud-image's, its interfaces come in another order than the
seed's, and every network behind them that has DHCP offers a default route.
"""

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.providers.guest import cloud_init
from orchestration.providers.guest.network import network_command
from tests.live.cloud_machine import (
    DHCP_MAC,
    DYNAMIC,
    GREETING,
    MANAGEMENT_MAC,
    PLUGGED_MAC,
    STATIC,
    STATIC_MAC,
    Keys,
    Machine,
    run,
    sample,
    write_files,
    write_seed,
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


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A guest that has booted for the first time and finished cloud-init."""
    cache = os.environ.get("TESTBED_IMAGE_CACHE", CHECKOUT / "var/cache/images")
    image = run(CHECKOUT / "script/lab/cloud-image", cache, timeout=400).strip()
    folder = tmp_path_factory.mktemp("cloud")
    keys = Keys()
    write_files(folder, keys)
    write_seed(folder / "seed.iso", sample(), keys)
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
    machine = Machine(folder, disk, keys)
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


def test_only_the_host_key_that_it_reported_is_there(machine):
    public = machine.ssh("cat /etc/ssh/ssh_host_ed25519_key.pub")

    assert machine.ssh("ls /etc/ssh/*_key").split() == ["/etc/ssh/ssh_host_ed25519_key"]
    assert public.split()[:2] == machine.host_key().split()


def test_seed_has_no_private_key(machine):
    seed = (machine.folder / "seed.iso").read_bytes()

    assert b"PRIVATE KEY" not in seed
    assert b"ed25519_private" not in seed


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
        "context", "context.sha256", "env.sh", "environment", "ready",
        "unpack-context.sh",
    ]  # fmt: skip


def test_root_file_system_grows_with_the_disk(machine):
    kib = int(machine.ssh("df -k / | tail -n 1").split()[1])

    assert kib > 3 * 1024 * 1024


def network(machine: Machine) -> dict[str, object]:
    """Return each interface's address, and where the default routes lead."""
    shown = machine.ssh("ip -4 -o address show scope global").splitlines()
    routes = machine.ssh("ip -4 route show default").splitlines()
    addresses = {line.split()[1]: line.split()[3] for line in shown}
    return {**addresses, "default": [route.split()[2:5:2] for route in routes]}


def test_network_changes_as_it_runs_and_stays_so(machine):
    moved = STATIC.model_copy(update={"address": "10.9.1.6", "gateway": "10.9.0.2"})
    fixed = DYNAMIC.model_copy(update={"dhcp": False, "address": "10.9.16.90"})
    added = DYNAMIC.model_copy(
        update={"name": "eth2", "mac": PLUGGED_MAC, "address": "10.9.32.77"}
    )
    guest = sample().model_copy(update={"interfaces": (moved, fixed, added)})
    wanted = {
        "eth0": "10.9.1.6/20",
        "eth1": "10.9.16.90/24",
        "eth2": "10.9.32.77/24",
        "mgmt0": "10.0.2.15/24",
        "default": [["10.9.0.2", "eth0"]],
    }
    boot = machine.ssh("cat /proc/sys/kernel/random/boot_id")
    host_key = machine.host_key()
    machine.plug(f"virtio-net-pci,netdev=n3,mac={PLUGGED_MAC}")

    change = network_command(guest, sample().interfaces)
    machine.ssh(f"sudo {shlex.join(change.argv)}", timeout=240, stdin=change.stdin)

    assert network(machine) == wanted
    assert machine.ssh("cat /proc/sys/kernel/random/boot_id") == boot
    mark = machine.ssh(f"cat {cloud_init.READY_FILE}").strip()
    assert mark == cloud_init.instance_id(guest)

    # The seed that libvirt would plug in: QEMU reads the same file further on.
    write_seed(machine.folder / "new.iso", guest, machine.keys)
    content = (machine.folder / "new.iso").read_bytes()
    with (machine.folder / "seed.iso").open("r+b") as seed:
        assert seed.seek(0, os.SEEK_END) == len(content)
        seed.seek(0)
        seed.write(content)
    machine.ssh(
        "echo old | sudo tee /etc/nocloud/ready; sudo systemctl --no-block reboot"
    )
    machine.wait_until_login_works(boot)
    machine.ssh("cloud-init status --wait || true", timeout=300)

    assert network(machine) == wanted
    assert machine.ssh(f"cat {cloud_init.READY_FILE}").strip() == mark
    assert machine.host_key() == host_key
