"""Rules about a guest's account: its name and its password.

Part of `compose/check.py`, called for each machine by `machines.py`. Pure.
"""

import re
from collections.abc import Iterator

from orchestration.compose.draft import Drafted
from orchestration.compose.language.schema import CloudImage, Libvirt
from orchestration.compose.reading.positions import Positions
from orchestration.errors import Finding

# The names that useradd accepts on every distribution.
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
# Accounts and groups of Debian's base-passwd, then those that packages of Debian's and
# Ubuntu's cloud images add. A login as root leaves no trace of who became it.
_SYSTEM = """
    adm audio backup bin cdrom daemon dialout dip disk fax floppy games gnats irc kmem
    list lp mail man news nobody nogroup operator plugdev proxy root sasl shadow src
    staff sudo sync sys tape tty users utmp uucp video voice www-data
    _apt _chrony _ssh crontab dhcpcd dnsmasq fwupd-refresh input kvm landscape lxd
    messagebus mlocate netdev plocate polkitd pollinate rdma render sgx ssh sshd syslog
    systemd-bus-proxy systemd-coredump systemd-journal systemd-network systemd-resolve
    systemd-timesync tcpdump tss unattended-upgrades usbmux uuidd
"""
SYSTEM_NAMES = frozenset(_SYSTEM.split())


def check_account(
    drafted: Drafted, kind: Libvirt, positions: Positions
) -> Iterator[Finding]:
    """Check `username` and `password` of one machine."""
    yield from _username(drafted, kind, positions)
    yield from _password(drafted, kind, positions)
    if not isinstance(kind.libvirt_type, CloudImage) and (
        kind.username is not None or kind.password is not None
    ):
        key = "username" if kind.username is not None else "password"
        yield positions.warning(
            (*drafted.kind_path, key),
            f"`{key}` has no effect: only a `cloud_image` is given an account.",
            at_key=True,
        )


def _username(
    drafted: Drafted, kind: Libvirt, positions: Positions
) -> Iterator[Finding]:
    name, at = kind.username, (*drafted.kind_path, "username")
    if name is None:
        return
    if not NAME.fullmatch(name):
        yield positions.error(
            at,
            f"`{name}` is no user name: up to 32 of a-z, 0-9, `_` and `-`, "
            "starting with a letter.",
            "For example `student`.",
        )
    elif name in SYSTEM_NAMES and isinstance(kind.libvirt_type, CloudImage):
        yield positions.error(
            at,
            f"`{name}` is an account or a group that the systems of cloud images have "
            "already.",
            "Choose another name, for example `student`.",
        )


def _password(
    drafted: Drafted, kind: Libvirt, positions: Positions
) -> Iterator[Finding]:
    at = (*drafted.kind_path, "password")
    if kind.password is not None and not kind.password.strip():
        yield positions.error(at, "The password is empty.", "Write one, or remove it.")
    elif kind.password is not None and not kind.password.isprintable():
        yield positions.error(
            at,
            "The password has characters that cannot be typed.",
            "It is one line of text.",
        )
