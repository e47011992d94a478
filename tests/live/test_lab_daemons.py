"""script/lab/daemons.sh ends the daemons that it started, and opens /dev/kvm to QEMU.

In namespaces, whose Open vSwitch and devices are not this machine's.
"""

import grp
import os
import shutil
import subprocess
from pathlib import Path

import pytest

needs = [tool for tool in ("ovs-vsctl", "unshare") if not shutil.which(tool)]
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(needs), reason=f"not installed: {', '.join(needs)}"),
]
CHECKOUT = Path(__file__).parents[2]
BEGIN = """
set -euo pipefail
mount --make-rprivate /
for place in /run /etc/openvswitch /var/log; do mount -t tmpfs tmpfs "$place"; done
mkdir -p /run/openvswitch /run/lock /var/log/openvswitch
source script/lab/common.sh
source script/lab/daemons.sh
has_systemd() { false; }
state=$(mktemp -d)
ensure_openvswitch "$state" 2> /dev/null
"""
END = """
stop_started_daemons "$state"
if switch_answers > /dev/null 2>&1; then echo lives; else echo ended; fi
rm -rf "$state"
for pid in /run/openvswitch/*.pid; do
  if [[ -f $pid ]]; then kill "$(< "$pid")"; fi
done
"""
KVM = """
set -euo pipefail
mount --make-rprivate /
mount -t tmpfs tmpfs /dev
mknod /dev/kvm c 10 232
mknod -m 666 /dev/null c 1 3
chmod 600 /dev/kvm
source script/lab/common.sh
source script/lab/daemons.sh
"""


def ends(actions: str) -> str:
    """Start Open vSwitch, do something with it, end what was started; say all."""
    words = ["unshare", "-n", "-m", "bash", "-c", BEGIN + actions + END]
    done = subprocess.run(
        words, cwd=CHECKOUT, capture_output=True, text=True, timeout=120
    )
    return done.stdout + done.stderr


def test_bridge_of_an_earlier_lab_keeps_no_daemon_alive() -> None:
    said = ends("ovs-vsctl add-br old -- set bridge old datapath_type=netdev\n")

    assert said == "ended\n"


def test_bridge_that_is_used_keeps_its_daemons_and_is_named() -> None:
    said = ends(
        "ovs-vsctl add-br used -- set bridge used datapath_type=netdev\n"
        "ip link set used up\n"
    )

    assert "lives" in said
    assert "ovs-vswitchd is left running, it is in use: used\n" in said


def mended(actions: str) -> str:
    """Mend a /dev/kvm that is root's alone; return its group, mode and what was said."""
    words = ["unshare", "-m", "bash", "-c", KVM + actions]
    done = subprocess.run(
        words, cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(
    "kvm" not in {group.gr_name for group in grp.getgrall()}, reason="no group kvm"
)
def test_kvm_that_is_roots_alone_is_given_to_qemus_group() -> None:
    said = mended("mend_kvm; stat -c '%G %a' /dev/kvm\n")

    assert said == "kvm 660\n"


def test_kvm_that_cannot_be_given_away_is_named_with_what_to_do() -> None:
    said = mended("chgrp() { false; }; mend_kvm; stat -c '%G %a' /dev/kvm\n")

    assert "QEMU's group kvm cannot open /dev/kvm" in said
    assert "chgrp kvm /dev/kvm" in said
    assert said.startswith("root 600\n")
