"""Links: whatever joins bridges, in one form."""

from orchestration.state.model import LinkKind
from tests.orchestration.state.samples import SAMPLES, sample


def test_each_end_of_a_tunnel_is_a_link_on_its_host() -> None:
    network = sample("stretched").network

    found = [link for link in network.links if link.kind is LinkKind.TUNNEL]

    assert [(link.key, link.host) for link in found] == [
        (tunnel.name, end.host) for tunnel in network.tunnels for end in tunnel.ends
    ]


def test_a_link_is_found_by_its_key_and_host() -> None:
    for name in SAMPLES:
        links = sample(name).network.links

        assert len({(link.key, link.host) for link in links}) == len(links)


def test_the_uplink_joins_the_network_and_the_external_bridge() -> None:
    samples = (sample(name).network for name in SAMPLES)
    nat, links = next((n.nat, n.links) for n in samples if n.nat)

    (uplink,) = (link for link in links if link.kind is LinkKind.UPLINK)

    assert uplink.ports == ((nat.external_device, nat.veth_bridge_end),)
    assert uplink.veths == (nat.veth_network_end, nat.veth_bridge_end)
