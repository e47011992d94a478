"""Fixed hosts, images and a testbed, so that expected files never change by chance."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestration.compose.catalogue import Catalogue, Image
from orchestration.compose.language.built import not_built
from orchestration.compose.language.schema import Spec
from orchestration.compose.loader import load_spec
from orchestration.state.build import DEFAULT_SITE, Identity, Inputs, Site, build_state
from orchestration.state.model import Datapath, DomainType, HostState, State
from orchestration.state.mtu import JUMBO
from tests.golden import DATA
from tests.orchestration.compose.fakes import read_spec

EXPECTED = DATA / "expected"
EXAMPLES = DATA.parent.parent / "examples"

CATALOGUE = Catalogue(
    [
        Image(name="test_guest", path="/images/test_guest.qcow2", sha256="5e" * 32),
        Image(
            name="ubuntu_22_04",
            url="https://images.invalid/jammy.img",
            sha256="0b" * 32,
            user="nocloud",
        ),
        Image(name="unsigned", url="https://images.invalid/x.img", user="admin"),
    ]
)

HOSTS = (
    HostState(
        name="host-a",
        is_main=True,
        address="192.0.2.1",
        tunnel_address="198.51.100.1",
        domain_type=DomainType.KVM,
        projects_dir="/srv/testbeds",
        images_dir="/srv/images",
    ),
    HostState(
        name="host-b",
        address="192.0.2.2",
        tunnel_address="198.51.100.2",
        datapath=Datapath.NETDEV,
        identity_file="/etc/testbed/host-b",
        host_key="ssh-ed25519 AAAAhostb",
        projects_dir="/var/lib/testbed/projects",
        images_dir="/var/lib/testbed/images",
    ),
    HostState(
        name="host-c",
        address="192.0.2.3",
        projects_dir="/var/lib/testbed/projects",
        images_dir="/var/lib/testbed/images",
    ),
)


def is_built(file: Path) -> bool:
    """Say whether this version can bring a YAML up; the others have no state."""
    return not not_built(load_spec(file.read_bytes()).require())


# Every sample, with the number of hosts that it is built for.
SAMPLES: Mapping[str, tuple[Path, int]] = {
    **{
        file.parent.name: (file, 2)
        for file in sorted(EXAMPLES.glob("*/kvm-compose.yaml"))
        if is_built(file)
    },
    **{
        name: (DATA / "testbeds" / f"{name}.yaml", hosts)
        for name, hosts in (
            ("one-host", 1),
            ("two-bridges-two-hosts", 2),
            ("three-bridges-two-hosts", 2),
            ("stretched", 2),
            ("triangle", 3),
            ("external-on-remote", 2),
            ("no-interfaces", 2),
            ("spread-clones", 2),
        )
    },
}


def identity(name: str = "demo", number: int = 7) -> Identity:
    return Identity(
        testbed=name,
        number=number,
        directory=f"/srv/testbeds/{name}",
        yaml_sha256="ya" * 32,
        identity_file=f"/srv/testbeds/{name}/keys/id_ed25519",
        public_key="ssh-ed25519 AAAAdemo testbed",
    )


def build(
    spec: Spec,
    *,
    hosts: Sequence[HostState] = HOSTS[:2],
    number: int = 7,
    name: str = "demo",
    previous: State | None = None,
    site: Site = DEFAULT_SITE,
    most_mtu: int = JUMBO,
) -> State:
    return build_state(
        spec,
        Inputs(),
        identity=identity(name, number),
        hosts=hosts,
        catalogue=CATALOGUE,
        previous=previous,
        site=site,
        most_mtu=most_mtu,
    )


def sample(name: str, previous: State | None = None) -> State:
    path, hosts = SAMPLES[name]
    spec = load_spec(path.read_bytes()).require()
    return build(spec, hosts=HOSTS[:hosts], name=name, previous=previous)


def machine(name: str, /, *interfaces: str | dict[str, str], **image: object) -> object:
    """Return one machine as in YAML; an interface is a bridge or a map."""
    return {
        "name": name,
        "interfaces": [
            {"bridge": entry} if isinstance(entry, str) else entry
            for entry in interfaces
        ],
        "libvirt": {
            "cpus": 1,
            "memory_mb": 128,
            "libvirt_type": {"cloud_image": {"name": "test_guest", **image}},
        },
    }


def scaled(name: str, /, *clones: Sequence[str], **keys: object) -> object:
    """Return one machine with clones; each is plugged into the bridges given."""
    found = machine(name)
    assert isinstance(found, dict)
    found["libvirt"] |= {
        "scaling": {
            "count": len(clones),
            "interfaces": [
                {"bridge": bridge, "clones": [number]}
                for number, bridges in enumerate(clones)
                for bridge in bridges
            ],
            **{key: value for key, value in keys.items() if value is not None},
        }
    }
    return found


def spec_of(
    *machines: object,
    bridges: Sequence[str] = ("br0",),
    joined: Mapping[str, str] | None = None,
    external: str | None = "br0",
    management: bool = True,
) -> Spec:
    return read_spec(
        {
            "machines": machines,
            "network": {
                "bridges": [{"name": name} for name in bridges],
                "bridge_connections": dict(joined or {}),
                "external_bridge": external,
            },
            "testbed_options": {"management_network": management},
        }
    )


def workers(count: int, *more: object, **keys: object) -> Spec:
    node = scaled("node", *[["br0"]] * count, **keys)
    return spec_of(node, *more)


def named_as_before(state: State) -> State:
    """Return a state with the names of libvirt's objects of an earlier version."""
    network, testbed = state.network, state.testbed
    nat = network.nat and network.nat.model_copy(update={"network": f"{testbed}-nat"})
    name = {"network": f"{testbed}-mgmt"}
    management = tuple(m.model_copy(update=name) for m in network.management)
    return state.model_copy(
        update={
            "network": network.model_copy(
                update={"nat": nat, "management": management}
            ),
            "guests": tuple(
                guest.model_copy(
                    update={
                        "domain": f"{testbed}-{guest.name}",
                        "hostname": "",
                        "management": guest.management
                        and guest.management.model_copy(update=name),
                    }
                )
                for guest in state.guests
            ),
        }
    )
