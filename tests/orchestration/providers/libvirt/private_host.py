"""A private libvirtd for live tests: own network and mount namespaces, own /run.

Reached as the main host through its socket, and as a remote host by ssh over a veth
pair, with IPv4 and IPv6. Everything it starts is a child of one holder process or
listed by pid file in its own folder, and ends with `stop`.
"""

import ipaddress
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

START = r"""
set -eu
dir=$1
ip link set lo up
mount --make-rprivate /
umount -l /sys; mount -t sysfs sysfs /sys
mkdir -p "$dir"/{run,etc-libvirt,etc-ovs,log,var-lib-libvirt,home}
cp -a /etc/libvirt/. "$dir/etc-libvirt/"
rm -rf "$dir"/etc-libvirt/qemu/networks/autostart/* "$dir"/etc-libvirt/qemu/*.xml
mkdir -p "$dir"/log/{libvirt/qemu,openvswitch}
mkdir -p "$dir"/var-lib-libvirt/{images,qemu,dnsmasq,boot,network}
mount --bind "$dir/run" /run
mkdir -p /run/{openvswitch,libvirt,sshd,lock}
mount --bind "$dir/etc-libvirt" /etc/libvirt
mount --bind "$dir/var-lib-libvirt" /var/lib/libvirt
mount --bind "$dir/etc-ovs" /etc/openvswitch
mount --bind "$dir/log" /var/log
/usr/share/openvswitch/scripts/ovs-ctl start --system-id=test --no-mlockall || true
ovs-vsctl add-br tb-br0 -- set bridge tb-br0 datapath_type=netdev
virtlogd -d
libvirtd -d
/usr/sbin/sshd -f /dev/null -h "$dir/host_key" -o PidFile=/run/sshd.pid \
  -o AuthorizedKeysFile="$dir/id.pub" -o PermitRootLogin=yes -o StrictModes=no
echo ready > /run/ready
exec sleep infinity
"""


class PrivateHost:
    """One such host, while it lives."""

    def __init__(self) -> None:
        # Several test runs share a machine: each has subnets of its own.
        number = os.getpid() % 0x8000
        first = ipaddress.ip_address("198.18.0.0") + 4 * number
        self.outer_ipv4, self.ipv4 = str(first + 1), str(first + 2)
        self.outer_ipv6 = f"fd77:7e57:bed:{number:x}::1"
        self.ipv6 = f"fd77:7e57:bed:{number:x}::2"
        self.directory = Path(tempfile.mkdtemp(prefix="testbed-libvirt-"))
        self.directory.chmod(0o755)
        for name in ("id", "host_key", "other_key"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]
            subprocess.run([*keygen, str(self.directory / name)], check=True)
        self.start()

    @property
    def socket_uri(self) -> str:
        socket = self.directory / "run/libvirt/libvirt-sock"
        return f"qemu:///system?socket={socket}"

    def public_key(self, name: str) -> str:
        return (self.directory / f"{name}.pub").read_text().strip()

    def start(self) -> None:
        script = self.directory / "start.sh"
        script.write_text(START)
        unshare = ["unshare", "-n", "-m", "--propagation", "private"]
        with (self.directory / "start.log").open("w") as log:
            self.holder = subprocess.Popen(
                [*unshare, "bash", str(script), str(self.directory)],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_for(self.directory / "run/ready")
            self._plug_in()
        except BaseException:
            self.holder.kill()
            raise

    def run(self, *argv: str) -> str:
        enter = ["nsenter", "-t", str(self.holder.pid), "-m", "-n"]
        done = subprocess.run([*enter, *argv], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def restart_libvirtd(self) -> None:
        self._end(self._pid("libvirtd.pid"))
        self.run("libvirtd", "-d")
        self._wait_for(self.directory / "run/libvirt/libvirt-sock")

    def stop(self) -> None:
        for name in self.run("virsh", "list", "--name").split():
            self.run("virsh", "destroy", name)
        for name in self.run("virsh", "net-list", "--name").split():
            self.run("virsh", "net-destroy", name)
        for pid_file in ("libvirtd.pid", "virtlogd.pid", "sshd.pid"):
            self._end(self._pid(pid_file))
        self.run("/usr/share/openvswitch/scripts/ovs-ctl", "stop")
        self.holder.kill()
        self.holder.wait()
        shutil.rmtree(self.directory)

    def _plug_in(self) -> None:
        outer, inner = f"tbo{os.getpid()}", f"tbi{os.getpid()}"
        pid = str(self.holder.pid)
        commands = [
            ["ip", "link", "add", outer, "type", "veth", "peer", "name", inner],
            ["ip", "link", "set", inner, "netns", pid],
            ["ip", "address", "add", f"{self.outer_ipv4}/30", "dev", outer],
            ["ip", "address", "add", f"{self.outer_ipv6}/64", "dev", outer, "nodad"],
            ["ip", "link", "set", outer, "up"],
        ]
        for argv in commands:
            subprocess.run(argv, check=True)
        self.run("ip", "address", "add", f"{self.ipv4}/30", "dev", inner)
        self.run("ip", "address", "add", f"{self.ipv6}/64", "dev", inner, "nodad")
        self.run("ip", "link", "set", inner, "up")

    def _pid(self, name: str) -> int:
        return int((self.directory / "run" / name).read_text())

    def _end(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            if not is_alive(pid):
                return
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)

    def _wait_for(self, path: Path) -> None:
        for _ in range(1200):
            if path.exists():
                return
            assert self.holder.poll() is None, (
                self.directory / "start.log"
            ).read_text()
            time.sleep(0.1)
        raise AssertionError((self.directory / "start.log").read_text())


def is_alive(pid: int) -> bool:
    """Tell a running process from one that is gone or waits to be collected."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def why_not_possible() -> str:
    """Return what this machine lacks for a private libvirtd; empty when nothing."""
    if os.geteuid() != 0:
        return "a private libvirtd needs root"
    tools = ("unshare", "nsenter", "ip", "libvirtd", "virtlogd", "virsh", "sshd")
    tools += ("ovs-vsctl", "qemu-img", "qemu-system-x86_64", "ssh-keygen")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [tool for tool in tools if shutil.which(tool, path=path) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    probe = subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True)
    if probe.returncode != 0:
        return "this machine allows no new namespaces"
    return "" if Path("/dev/net/tun").exists() else "no tun device"
