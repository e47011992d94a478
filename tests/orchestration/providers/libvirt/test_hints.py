"""Common messages of libvirt get a hint that names the next step."""

import pytest

from orchestration.providers.libvirt.hints import hint_for

EXITED = "internal error: process exited while connecting to monitor: {}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            (
                "internal error: Child process (dnsmasq) unexpected exit status 2: dnsmasq: "
                "failed to create listening socket for 10.64.16.1: Address already in use"
            ),
            "listens on all addresses, 10.64.16.1 too",
        ),
        (
            "dnsmasq: failed to bind DHCP server socket: Address already in use",
            "DHCP server",
        ),
        (
            "Cannot check dnsmasq binary /usr/sbin/dnsmasq: No such file or directory",
            "Install dnsmasq-base",
        ),
        (
            "error creating bridge interface t1nat: File exists",
            "`ip link delete t1nat`",
        ),
        (
            "internal error: bridge name 't1nat' already in use.",
            "the bridge t1nat",
        ),
        (
            "internal error: could not find a usable firewall backend",
            "Install iptables or nftables",
        ),
        (
            "Failed to initialize a valid firewall backend",
            "Install iptables or nftables",
        ),
        (
            "Failed to apply firewall command 'nft -ae insert rule …': Error",
            "`nft list ruleset`",
        ),
        (
            "Failed to connect socket to '/var/run/libvirt/virtlogd-sock': No such file",
            "systemctl start virtlogd.socket",
        ),
        (
            EXITED.format("Parameter 'encrypt.key-secret' is required for cipher"),
            "The disk is encrypted",
        ),
        (
            "Unable to add port t1g0i0 to OVS bridge t1-br0: Operation not permitted",
            "openvswitch-switch",
        ),
        (
            "internal error: cannot load AppArmor profile 'libvirt-6f1c'",
            "AppArmor refuses",
        ),
        (
            "internal error: Child process (virt-aa-helper -c) unexpected exit status 1",
            "AppArmor refuses",
        ),
        (
            "Cannot get interface MTU on 't1-br0': No such device",
            "The bridge t1-br0 is missing",
        ),
        ("Unable to open /dev/net/tun, is tun module loaded?", "modprobe tun"),
        (
            "ioctl(KVM_CREATE_VM) failed: 16 Device or resource busy",
            "Another hypervisor",
        ),
        (EXITED.format("unsupported machine type 'pc-q35-9.2'"), "too old"),
    ],
)
def test_common_words_of_libvirt_have_a_hint_of_their_own(text: str, hint: str) -> None:
    found = hint_for(text)

    assert hint in found
    assert "{" not in found


def test_unknown_words_have_no_hint() -> None:
    assert hint_for("something never seen") == ""
