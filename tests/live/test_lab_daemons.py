"""script/lab/daemons.sh ends the daemons that it started, and no others.

In namespaces, whose Open vSwitch is not this machine's.
"""

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
