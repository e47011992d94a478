"""Hints for failures, by the text that libvirt reports them with.

libvirt passes on the messages of QEMU, dnsmasq, the kernel and Open vSwitch in one
text. A pattern's groups are put into its hint. `translate.py` asks here before it uses
libvirt's code. Source: public reports of these messages.
"""

import re

_WORDS: tuple[tuple[str, str], ...] = (
    # QEMU, and libvirt: "Cannot access storage file '…' (as uid:64055, gid:109): …".
    (
        r"'(/[^'\n]+)'[^'\n]*: permission denied",
        (
            "QEMU's own user must be able to read {} there, and to pass its folders: "
            "`chmod a+r` the file, `chmod a+x` the folders."
        ),
    ),
    (
        r"apparmor|virt-aa-helper",
        (
            "AppArmor refuses the guest there: look into `journalctl -k -g apparmor`, and "
            "allow the folders of images and testbeds in "
            "/etc/apparmor.d/local/abstractions/libvirt-qemu."
        ),
    ),
    (
        r"failed to create listening socket for ([\d.:a-f]+): address already in use",
        (
            "Another DNS server of the host listens on all addresses, {} too: bind it to "
            "its own address. `ss -lnup 'sport = :53'` there names it."
        ),
    ),
    (
        r"failed to bind dhcp server socket: address already in use",
        (
            "Another DHCP server of the host listens on all interfaces: bind it to its "
            "own. `ss -lnup 'sport = :67'` there names it."
        ),
    ),
    (
        r"(?:dnsmasq\b.*no such file|cannot (?:find|check) .*dnsmasq)",
        "Install dnsmasq-base there.",
    ),
    (
        r"error creating bridge interface (\S+): file exists",
        "A network device of that name was left over: `ip link delete {}` there.",
    ),
    (
        r"bridge name '(\S+)' already in use",
        (
            "Another network of the host has the bridge {}: `virsh net-list --all` there "
            "names it."
        ),
    ),
    (
        r"is already in use by",
        "Another network of the host has this bridge or subnet.",
    ),
    (
        r"(?:could not find|failed to initialize) a (?:usable|valid) firewall backend",
        "Install iptables or nftables there, then restart libvirtd.",
    ),
    (
        r"failed to (?:apply|run) firewall command",
        (
            "libvirt could not write its firewall rules: look whether `nft list ruleset` "
            "and `iptables -S` work there, then restart libvirtd."
        ),
    ),
    (
        r"failed to connect socket to '\S*/(virtlogd|virtlockd)-",
        "Start {0} there (`systemctl start {0}.socket`).",
    ),
    (
        r"encrypt\.key-secret' is required",
        (
            "The disk is encrypted, and nothing here has its key: decrypt it with "
            "`qemu-img convert` first."
        ),
    ),
    (
        r"unable to add port \S+ to ovs bridge (\S+)",
        (
            "Open vSwitch did not take the guest's port: start it there (`systemctl start "
            "openvswitch-switch`), see its log, then run up, which makes the bridge {} "
            "where it is missing."
        ),
    ),
    (
        r"cannot get interface mtu on '(\S+)': no such device",
        "The bridge {} is missing there: run up.",
    ),
    (
        r"unable to open /dev/net/tun",
        "The host has no tun device: `modprobe tun` there.",
    ),
    (
        r"kvm_create_vm\S* failed.*busy",
        (
            "Another hypervisor of the host (VirtualBox?) holds the processor's "
            "virtualisation: stop its guests."
        ),
    ),
    (
        r"(?:unsupported machine type|does not support machine type)",
        "QEMU on this host is too old for the guest's machine type: update it.",
    ),
    (r"no space left", "Make room on the host's disk."),
    (r"cannot allocate memory", "The host has no memory left for this guest."),
    (r"cannot access storage file", "A file of the guest is missing: run up again."),
    (r"already (?:exists|defined) with uuid", "Something else there has this name."),
    (r"could not access kvm", "Acceleration does not work here: check the host."),
    (r"permission denied", "QEMU's own user must be able to read the guest's files."),
    (r'failed to get "write" lock', "Another process uses the disk."),
    (
        r"no more available pci slots",
        "It got all interfaces that fit while it runs: shut it down, then run up.",
    ),
)
_PATTERNS = tuple((re.compile(words, re.IGNORECASE), hint) for words, hint in _WORDS)


def hint_for(text: str) -> str:
    """Return the hint of the first pattern that matches; empty when none does."""
    for pattern, hint in _PATTERNS:
        if found := pattern.search(text):
            return hint.format(*found.groups())
    return ""
