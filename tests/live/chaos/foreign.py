"""Things that somebody else made on the hosts; no testbed's run may touch them.

Several look like a testbed's: they begin with its number, or lie beside its files.
"""

from tests.live.chaos.lab import Foreign
from tests.live.stack import NamespaceHost

DOMAIN = (
    "<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>"
    "<os><type arch='x86_64'>hvm</type></os></domain>"
)
NETWORK = "<network><name>{name}</name><bridge name='{device}'/></network>"
FOLDERS = ("/var/lib/testbed", "/var/lib/testbed/projects", "/var/lib/libvirt/images")


def domain(host: NamespaceHost, name: str) -> Foreign:
    """A machine, which is paused: it needs no processor."""
    _with_text(host, DOMAIN.format(name=name), "virsh -q define")
    host.run("virsh", "-q", "start", "--paused", name)
    probe = f"virsh -q list --all | grep ' {name} '"
    removal = f"virsh -q destroy {name}; virsh -q undefine {name}"
    return Foreign("domain", host, name, probe, removal)


def network(host: NamespaceHost, name: str, device: str) -> Foreign:
    """An isolated network of libvirt."""
    _with_text(host, NETWORK.format(name=name, device=device), "virsh -q net-define")
    host.run("virsh", "-q", "net-start", name)
    probe = f"virsh -q net-list --all | grep ' {name} '; cat /sys/class/net/{device}/ifindex"
    removal = f"virsh -q net-destroy {name}; virsh -q net-undefine {name}"
    return Foreign("network", host, name, probe, removal)


def bridge(host: NamespaceHost, name: str) -> Foreign:
    """A bridge of Open vSwitch with one port."""
    words = (
        f"add-br {name} -- set bridge {name} datapath_type=netdev external_ids:lab=x"
    )
    port = f"add-port {name} {name}p -- set interface {name}p type=internal"
    host.run("ovs-vsctl", *words.split(), "--", *port.split())
    probe = (
        f"ovs-vsctl list-ports {name}; ovs-vsctl get bridge {name} _uuid external_ids"
    )
    return Foreign("bridge", host, name, probe, f"ovs-vsctl del-br {name}")


def veth(host: NamespaceHost, name: str) -> Foreign:
    """A pair of network devices."""
    host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    for end in (name, f"{name}p"):
        host.run("ip", "link", "set", end, "up")
    probe = f"cat /sys/class/net/{name}/ifindex /sys/class/net/{name}p/ifindex"
    return Foreign("link", host, name, probe, f"ip link delete {name}")


def table(host: NamespaceHost, name: str) -> Foreign:
    """A table of nftables with a rule."""
    rule = f"add table inet {name}; add chain inet {name} x; add rule inet {name} x tcp dport 9 drop"
    host.run("nft", rule)
    probe = f"nft --stateless list table inet {name}"
    return Foreign("table", host, name, probe, f"nft delete table inet {name}")


def file(host: NamespaceHost, path: str) -> Foreign:
    """A file with other people's data."""
    host.run("sh", "-c", f"mkdir -p $(dirname {path}) && echo theirs > {path}")
    probe = f"stat -c '%a %u %i %Y' {path}; cat {path}"
    return Foreign("file", host, path, probe, f"rm {path}")


def process(host: NamespaceHost, name: str) -> Foreign:
    """A process that carries the mark of another installation."""
    start = f"TESTBED_TAG={name}.r1.b1.t1 setsid sleep 86400 > /dev/null 2>&1 < /dev/null & echo $!"
    pid = host.run("sh", "-c", start).strip()
    probe = f"tr '\\0' ' ' < /proc/{pid}/cmdline"
    return Foreign("process", host, f"{name} {pid}", probe, f"kill {pid}")


def standing(host: NamespaceHost, number: int, slug: str) -> list[Foreign]:
    """Make one thing of each kind, most of them named like those of a testbed."""
    return [
        domain(host, f"t{number}-nearby"),
        network(host, f"t{number}-lab", "labbr"),
        bridge(host, f"t{number}-zz"),
        veth(host, f"t{number}x0"),
        table(host, "testbed2"),
        table(host, "lab"),
        process(host, f"{slug}-2"),
        *(file(host, f"{folder}/theirs.txt") for folder in FOLDERS),
    ]


def _with_text(host: NamespaceHost, text: str, command: str) -> None:
    host.run("sh", "-c", f"{command} /dev/stdin <<'EOF'\n{text}\nEOF")
