"""Which bridges have other flows than a switch's one, as `ovs-ofctl` prints them."""

import re

import pytest

from orchestration.errors import NetworkFailed
from orchestration.providers.ovs import flows
from orchestration.transport.base import Scope
from tests.fakes import FakeTransport, Reply

DUMP = re.compile(r"sh -c .*dump-flows.* t7-br0 t7-br1", re.DOTALL)
SWITCH = " priority=0 actions=NORMAL\n"


def altered(said: str) -> frozenset[str]:
    host = FakeTransport("host-a", [(DUMP, said)])
    return flows.altered(host, ["t7-br0", "t7-br1"], scope=Scope())


@pytest.mark.parametrize(
    "dumped",
    [
        "",
        f"{SWITCH} priority=9 actions=drop\n",
        " priority=0,in_port=1 actions=NORMAL\n",
        " table=3, priority=0 actions=NORMAL\n",
        " priority=0 actions=drop\n",
    ],
)
def test_other_flows_than_the_one_of_a_switch_are_seen(dumped: str) -> None:
    said = f"bridge t7-br0\n{SWITCH}bridge t7-br1\n{dumped}"

    assert altered(said) == {"t7-br1"}


def test_bridge_that_does_not_answer_is_not_called_altered() -> None:
    assert altered(f"bridge t7-br1\n{SWITCH}") == frozenset()
    assert altered("") == frozenset()


def test_host_without_bridges_is_not_even_asked() -> None:
    assert flows.altered(FakeTransport(), [], scope=Scope()) == frozenset()


def test_flows_that_cannot_be_set_back_name_bridge_and_host() -> None:
    refused = Reply(exit_code=1, stderr="t7-br0 is not a bridge")
    host = FakeTransport("host-a", [(re.compile("ovs-ofctl .*"), refused)])

    with pytest.raises(NetworkFailed, match=r"flows of t7-br0 .* on host-a"):
        flows.reset(host, "t7-br0", scope=Scope())
    assert host.calls[0].stdin == b"priority=0,actions=NORMAL\n"
