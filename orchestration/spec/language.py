"""Which keys may stand where, and which of them are not built yet.

One table, read by the loader: at each place of the document the known keys, and the
keys that the language has and this version does not do, each with the sentence that
the user gets. A key in neither is a warning that names the nearest known key. Places
are paths with `[]` for any index; maps with free keys have no place here. A test
holds this table and the models of `schema.py` together.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestration.spec.positions import Path

OVN = "Logical switches and routers (`ovn`) are not built yet."
OVN_HINT = "Use `bridges`, and `interfaces: [{bridge: …}]` on the machines."
SCALING = "Scaling (golden images and linked clones) is not built yet."
ANDROID = "Android guests are not built yet."
KVM_HINT = "Use a `libvirt` machine for now."
IMAGE_HINT = "Use `cloud_image` for now."


@dataclass(frozen=True, slots=True)
class Later:
    """A key of the language that this version recognises and refuses."""

    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """The keys of one map of the language."""

    keys: tuple[str, ...]
    later: Mapping[str, Later] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    def nearest(self, key: str) -> str:
        """Return the known key that looks most like a mistyped one, or ''."""
        names = [*self.keys, *self.later]
        found = difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.6)
        return found[0] if found else ""


PLACES: Mapping[str, Place] = {
    "": Place(
        keys=("machines", "network", "testbed_options"),
        ignored=("tooling",),
    ),
    "machines[]": Place(
        keys=("name", "interfaces", "libvirt"),
        later={
            "network": Later(OVN, OVN_HINT),
            "docker": Later("Docker guests are not built yet.", KVM_HINT),
            "android": Later(ANDROID, KVM_HINT),
            "avd": Later(ANDROID, KVM_HINT),
        },
    ),
    "machines[].interfaces[]": Place(
        keys=("bridge", "mac", "ip", "gateway"),
        later={
            "switch": Later(OVN, OVN_HINT),
            "network_name": Later(OVN, OVN_HINT),
        },
    ),
    "machines[].libvirt": Place(
        keys=("cpus", "memory_mb", "libvirt_type"),
        later={
            "scaling": Later(SCALING, "Write the machines out one by one for now."),
            "is_clone_of": Later(SCALING, "Write a `cloud_image` machine for now."),
            "username": Later(
                "Choosing the user of a guest is not built yet.",
                "Remove the key; the user is `nocloud`.",
            ),
            "password": Later(
                "Passwords for guests are not built yet.",
                "Remove the key; guests are reached with the testbed's key.",
            ),
        },
        ignored=(
            "extended_graphics_support",
            "hostname",
            "ssh_address",
            "static_ip",
            "tcp_tty_port",
        ),
    ),
    "machines[].libvirt.libvirt_type": Place(
        keys=("cloud_image",),
        later={
            "existing_disk": Later("Existing disks are not built yet.", IMAGE_HINT),
            "iso_guest": Later("Guests from an ISO are not built yet.", IMAGE_HINT),
        },
    ),
    "machines[].libvirt.libvirt_type.cloud_image": Place(
        keys=(
            "name",
            "expand_gigabytes",
            "setup_script",
            "run_script",
            "context",
            "environment",
        ),
        ignored=("path",),
    ),
    "network": Place(
        keys=("bridges", "bridge_connections", "external_bridge"),
        later={
            "ovn": Later(OVN, OVN_HINT),
            "ovs": Later(
                "The `ovs` form of `network` is not built yet.",
                "Write `bridges` directly under `network`.",
            ),
            "network_interfaces": Later(
                "Plugging a host's network card into a bridge is not built yet."
            ),
        },
    ),
    "network.bridges[]": Place(keys=("name", "protocol", "controller")),
    "testbed_options": Place(keys=("load_balancing", "management_network")),
}


def place_of(path: Path) -> Place | None:
    """Return the keys that may stand in the map at `path`, if it has fixed ones."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += "[]"
        else:
            shown += f".{part}" if shown else part
    return PLACES.get(shown)
