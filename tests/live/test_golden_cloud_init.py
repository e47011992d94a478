"""Clones of a real distribution: Debian 12 with systemd, OpenSSH and cloud-init.

What sealing removes, and what cloud-init and systemd then make anew in each clone, is
theirs to decide: the small test guest cannot show it.
"""

import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tests.live.client import Client
from tests.live.stack import CHECKOUT, Stack, images
from tests.live.watch import Guest, holdings, key_of, ran

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to build the image"),
    pytest.mark.skipif(not shutil.which("apt-get"), reason="not installed: apt-get"),
    pytest.mark.skipif(
        "VERSION_CODENAME=bookworm" not in Path("/etc/os-release").read_text(),
        reason="the image is made from the packages of Debian 12",
    ),
]
NAMES = ("node-0", "node-1")
YAML = """\
machines:
  - name: node
    libvirt:
      cpus: 1
      memory_mb: 512
      libvirt_type: {cloud_image: {name: debian_built_here, expand_gigabytes: 1}}
      username: nocloud
      scaling:
        count: 2
        shared_setup: shared.sh
        interfaces: [{bridge: br0, clones: [0, 1]}]
network:
  bridges: [{name: br0}]
  external_bridge: br0
"""
SHARED = """\
#!/bin/sh
set -e
cp /etc/machine-id /etc/golden-machine-id
cat /proc/sys/kernel/random/uuid > /etc/prepared
"""
LOOK = """
echo "hostname=$(hostname)"
echo "id=$(cat /etc/machine-id)"
echo "golden=$(cat /etc/golden-machine-id)"
echo "prepared=$(cat /etc/prepared)"
echo "logins=$(grep -c . /home/nocloud/.ssh/authorized_keys)"
echo "hostkeys=$(ls /etc/ssh/*_key)"
echo "status=$(cloud-init status)"
echo "sudoers=$(cat /etc/sudoers.d/90-cloud-init-users | grep -c ^nocloud)"
"""


def test_clones_of_debian_are_machines_of_their_own(
    stack: Stack, owner: Client, tmp_path: Path
):
    before = holdings(stack)
    built = subprocess.run(
        [CHECKOUT / "script/lab/cloud-image", images()],
        check=True,
        capture_output=True,
        text=True,
    )
    image = Path(built.stdout.strip())
    digest = sha256(image.read_bytes()).hexdigest()
    stack.add_image("debian_built_here", image, format="qcow2", sha256=digest)
    (tmp_path / "kvm-compose.yaml").write_text(YAML)
    (tmp_path / "shared.sh").write_text(SHARED)
    owner.create_testbed("debian", tmp_path)

    up = ran(owner, "debian", "up")

    assert up.status == "succeeded", up.words
    assert up.statuses()["prepare-goldens"] == {"done"}
    told = {name: looked(stack, name) for name in NAMES}
    ids = {told[name]["id"] for name in NAMES} | {told["node-0"]["golden"]}
    assert len(ids) == 3
    assert {len(one) for one in ids} == {32}
    assert len({told[name]["prepared"] for name in NAMES}) == 1
    key = key_of(stack, "debian")
    assert [told[name]["hostname"] for name in NAMES] == [f"{key}-{n}" for n in NAMES]
    for name in NAMES:
        assert told[name]["logins"] == "1"
        assert told[name]["hostkeys"] == "/etc/ssh/ssh_host_ed25519_key"
        assert told[name]["status"] == "status: done"
        assert told[name]["sudoers"] == "1"
    assert ran(owner, "debian", "down").status == "succeeded"
    assert holdings(stack) == before


def looked(stack: Stack, name: str) -> dict[str, str]:
    """A clone's answers about itself."""
    lines = Guest(stack, "debian", name).run(LOOK).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
