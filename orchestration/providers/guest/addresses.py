"""Reads the addresses of the interfaces of a running guest."""

from collections.abc import Mapping

from orchestration.transport.base import Scope, Transport, command

Addresses = Mapping[str, tuple[str, ...]]


def read_addresses(transport: Transport, *, scope: Scope) -> Addresses:
    """Return each interface's addresses by its name; iproute2's and busybox's `ip`.

    Empty where the guest has no such program. Raises: HostUnreachable.
    """
    show = command("ip", "-o", "address", "show").with_root()
    return parse_addresses(transport.run(show, scope=scope, check=False).stdout)


def parse_addresses(text: str) -> Addresses:
    """Parse lines such as `2: eth0    inet 10.64.16.16/20 brd …`."""
    found: dict[str, list[str]] = {}
    for words in map(str.split, text.splitlines()):
        if len(words) > 3 and words[2] in ("inet", "inet6"):
            name = words[1].partition("@")[0]
            found.setdefault(name, []).append(words[3].partition("/")[0])
    return {name: tuple(addresses) for name, addresses in found.items()}
