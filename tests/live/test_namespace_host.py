"""A testbed host made of namespaces, as script/lab/namespace-host makes it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.live.namespace_host import debian_13
from tests.waiting import wait_until

COMMAND = str(Path(__file__).parents[2] / "script/lab/namespace-host")
TOOLS = ("ovs-vsctl", "libvirtd", "virsh", "nsenter", "ssh", "ethtool")
needs = [tool for tool in TOOLS if not shutil.which(tool)]
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(needs), reason=f"not installed: {', '.join(needs)}"),
]
DAEMONS = ("libvirtd", "virtlogd", "sshd", "ovsdb-server", "ovs-vswitchd")
STUBBORN = "trap '' TERM; exec > /dev/null 2>&1; sleep 600"


def run(*command):
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=240
    ).stdout


def refusal(*command):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(*command)
    return caught.value.stderr


def name_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def pids_in(name):
    return run("ip", "netns", "pids", name).split()


@pytest.fixture(params=["this machine", "Debian 13"])
def root(request):
    """The options of start that give a host the programs of a distribution."""
    if request.param == "this machine":
        return []
    if debian_13() is None:
        pytest.skip("the root of Debian 13 is not built: script/lab/debian-root")
    return ["--root", str(debian_13())]


@pytest.fixture
def hosts(tmp_path, root):
    """Two hosts with a cable between them; their names, by short name."""
    names = {short: f"tb-{os.getpid()}-{short}" for short in ("a", "b")}
    try:
        run(COMMAND, "wire", names["a"], "eth0", names["b"], "eth0")
        for number, (short, name) in enumerate(names.items(), start=1):
            run(
                COMMAND, "start", name, str(tmp_path / short),
                "--address", f"172.31.77.{number}/24", "--wire", "eth0", *root,
            )  # fmt: skip
        yield names
    finally:
        for short, name in names.items():
            run(COMMAND, "stop", name, str(tmp_path / short))


def on(hosts, tmp_path, short, *command):
    return run(COMMAND, "run", hosts[short], str(tmp_path / short), *command)


def test_hosts_share_neither_daemons_nor_directories(hosts, tmp_path):
    on(hosts, tmp_path, "a", "ovs-vsctl", "add-br", "only-a")
    on(hosts, tmp_path, "a", "touch", "/var/lib/testbed/only-a")

    assert "only-a" not in on(hosts, tmp_path, "b", "ovs-vsctl", "list-br")
    assert on(hosts, tmp_path, "b", "ls", "/var/lib/testbed") == ""
    assert (tmp_path / "a/testbed/only-a").exists()
    uris = [
        on(hosts, tmp_path, short, "virsh", "-c", "qemu:///system", "capabilities")
        for short in hosts
    ]
    assert len({text.split("<uuid>")[1][:36] for text in uris}) == 2


def test_host_has_the_programs_of_its_root(hosts, tmp_path, root):
    release = on(hosts, tmp_path, "b", "cat", "/etc/os-release")

    ours = Path("/etc/os-release").read_text()
    assert release == (Path(root[1], "etc/os-release").read_text() if root else ours)


def test_host_is_reached_by_ssh_with_its_own_key(hosts, tmp_path):
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id"))
    public = (tmp_path / "id.pub").read_text()
    (tmp_path / "b/authorized_keys").write_text(public)
    host_key = (tmp_path / "b/ssh_host_ed25519_key.pub").read_text()
    (tmp_path / "known_hosts").write_text(f"172.31.77.2 {host_key}")

    answer = run(
        "ip", "netns", "exec", hosts["a"],
        "ssh", "-F", "none", "-i", str(tmp_path / "id"), "-o", "BatchMode=yes",
        "-o", f"UserKnownHostsFile={tmp_path / 'known_hosts'}",
        "root@172.31.77.2", "ovs-vsctl get open . external_ids:system-id",
    )  # fmt: skip

    assert answer.strip().strip('"') == hosts["b"]


def test_stop_leaves_nothing_and_may_be_repeated(hosts, tmp_path):
    name, folder = hosts["b"], str(tmp_path / "b")
    on(hosts, tmp_path, "b", "setsid", "--fork", "sh", "-c", STUBBORN)
    pids = pids_in(name)

    run(COMMAND, "stop", name, folder)
    run(COMMAND, "stop", name, folder)

    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]
    assert name not in run("ip", "netns", "list").split()
    assert name not in run(COMMAND, "status")
    assert "does not run" in refusal(COMMAND, "run", name, folder, "true")


def test_restarted_host_keeps_its_disk_and_its_key(hosts, tmp_path, root):
    name, folder = hosts["b"], str(tmp_path / "b")
    address = ("--address", "172.31.77.2/24", "--wire", "eth0")
    key = (tmp_path / "b/ssh_host_ed25519_key.pub").read_text()
    on(hosts, tmp_path, "b", "touch", "/var/lib/testbed/kept", "/run/volatile")

    run(COMMAND, "stop", name, folder)
    run(COMMAND, "wire", hosts["a"], "eth0", name, "eth0")
    run(COMMAND, "start", name, folder, *address, *root)

    assert (tmp_path / "b/testbed/kept").exists()
    assert not (tmp_path / "b/run/volatile").exists()
    assert (tmp_path / "b/ssh_host_ed25519_key.pub").read_text() == key


@pytest.mark.parametrize("daemon", ["libvirtd", "sshd"])
def test_restarted_daemon_answers_again_and_the_rest_stays(hosts, tmp_path, daemon):
    name, folder = hosts["b"], str(tmp_path / "b")
    # What a daemon starts for a moment, to ask QEMU what it can, is no daemon.
    before = {pid: name_of(pid) for pid in pids_in(name) if name_of(pid) in DAEMONS}

    run(COMMAND, "restart", name, folder, daemon)

    after = {pid: name_of(pid) for pid in pids_in(name)}
    old = {pid for pid, program in before.items() if program == daemon}
    assert old
    assert not old & after.keys()
    assert daemon in after.values()
    assert before.keys() - old <= after.keys()
    on(hosts, tmp_path, "b", "virsh", "-c", "qemu:///system", "uri")


def test_second_lab_cannot_take_a_running_name(hosts, tmp_path):
    message = refusal(
        COMMAND, "start", hosts["a"], str(tmp_path / "other"),
        "--address", "172.31.77.9/24", "--wire", "eth0",
    )  # fmt: skip

    assert "already runs" in message
    assert str(tmp_path / "a") in message


def test_pulled_cable_is_seen_on_both_ends(hosts, tmp_path):
    def has_carrier():
        return "NO-CARRIER" not in run("ip", "-n", hosts["a"], "link", "show", "eth0")

    run(COMMAND, "link", hosts["b"], "down")
    wait_until(lambda: not has_carrier())

    run(COMMAND, "link", hosts["b"], "up")
    wait_until(has_carrier)
