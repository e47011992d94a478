"""A host of nothing but Open vSwitch, in namespaces that a holder process keeps.

Used by test_ovs.py, which joins two of them by a cable. The hosts of whole products
are in namespace_host.py.
"""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.transport.base import Scope, command
from orchestration.transport.local import LocalTransport

ENTER = Path(__file__).parents[2] / "script/lab/namespace/root.sh"
START = """
set -e
mount --make-rprivate /
if [ -n "$2" ]; then . "$2"; enter_root "$3" "$4"; fi
mount -t tmpfs tmpfs /run
mkdir -p /run/openvswitch /run/lock
mount -t tmpfs tmpfs /etc/openvswitch
mount -t tmpfs tmpfs /var/log
mkdir -p /var/log/openvswitch
ip link set lo up
/usr/share/openvswitch/scripts/ovs-ctl start --system-id="$1" --no-mlockall
echo ready
exec sleep infinity
"""


class Host(LocalTransport):
    """A LocalTransport that enters the namespaces of a holder process."""

    def __init__(self, machine, folder, root=None):
        super().__init__(machine)
        own = folder / machine
        own.mkdir()
        root = (ENTER, root.resolve(), own) if root else ()
        self.log = folder / f"{machine}.log"
        with self.log.open("wb") as log:
            self.holder = subprocess.Popen(
                ["unshare", "-n", "-m", "bash", "-c", START, "sh", machine, *root],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def run(self, cmd, **options):
        prefix = ("nsenter", "-t", str(self.holder.pid), "-m", "-n")
        return super().run(replace(cmd, argv=(*prefix, *cmd.argv)), **options)

    def say(self, words):
        return self.run(command(*words.split()), scope=Scope()).stdout

    def wait_until_ready(self):
        for _ in range(2400):
            if "ready" in self.log.read_text().splitlines():
                return
            time.sleep(0.05)
        pytest.fail(self.log.read_text())

    def stop_daemon(self, name):
        pid = int(self.say(f"cat /run/openvswitch/{name}.pid"))
        os.kill(pid, signal.SIGKILL)

    def stop(self):
        for name in ("ovs-vswitchd", "ovsdb-server"):
            with contextlib.suppress(Exception):
                self.stop_daemon(name)
        self.holder.kill()
        self.holder.wait()
