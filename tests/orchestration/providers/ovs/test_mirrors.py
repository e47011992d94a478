"""A capture's mirror carries its mark, is made on our bridges alone, and is found again."""

import json
import re

import pytest

from orchestration.errors import ForeignThing, NetworkFailed
from orchestration.providers.ovs import mirrors
from orchestration.transport.base import Scope
from tests.fakes import FakeTransport

READ = re.compile(r".*ovs-vsctl .* list .*")
WRITE = re.compile(r".*ovs-vsctl .*(add|del|remove).*")
DEVICE = re.compile(r"(sh -c|ip link) .*", re.DOTALL)
MARK = "lab.r7.b9.t0"
PORT = "t3c12345678"


def table(*headings: str, data: list[list[object]]) -> str:
    return json.dumps({"headings": headings, "data": data}) + "\n"


def bridge_of(owner: str) -> str:
    ids = ["map", [["testbed", owner]] if owner else []]
    return table("name", "external_ids", data=[["t3-br0", ids]])


def marked(mark: str) -> list[object]:
    return ["map", [["testbed", "lab"], ["capture", mark]]]


def there(*marks: str) -> str:
    """Bridge t3-br0 with a mirror and its port for each mark, and a port without one."""
    uuids = [["uuid", f"m{n}"] for n, _ in enumerate(marks)]
    ports = [[f"c{n}", marked(mark)] for n, mark in enumerate(marks)]
    own = ["tap", ["map", [["testbed", "lab"]]]]
    return (
        table("name", "mirrors", data=[["t3-br0", ["set", uuids]]])
        + table("name", "external_ids", data=[own, *ports])
        + table(
            "_uuid",
            "external_ids",
            data=[[u, marked(m)] for u, m in zip(uuids, marks, strict=True)],
        )
    )


def create(host: FakeTransport) -> None:
    mirrors.create(host, "t3-br0", PORT, testbed="lab", scope=Scope(MARK), mtu=8950)


def test_name_is_the_testbeds_and_another_for_each_capture() -> None:
    names = {mirrors.port_name(1023, f"lab.r{n}.b1.t0") for n in range(50)}

    assert len(names) == 50
    assert all(re.fullmatch("t1023c[0-9a-f]{8}", name) for name in names)


def test_mirror_and_port_are_marked_and_the_host_says_nothing_on_it() -> None:
    host = FakeTransport(
        script=[(READ, bridge_of("lab")), (WRITE, ""), (DEVICE, ""), (DEVICE, "")]
    )

    create(host)

    _, written, silenced, up = host.lines
    ids = f"external_ids={{capture={MARK},testbed=lab}}"
    assert written.count(ids) == 2
    assert "select_all=true output_port=@port" in written
    assert f"set Interface {PORT} type=internal mtu_request=8950" in written
    assert "disable_ipv6" in silenced
    assert silenced.endswith(f" {PORT}")
    assert up == f"ip link set dev {PORT} up"


@pytest.mark.parametrize(
    ("seen", "error"),
    [
        (bridge_of("other"), ForeignThing),
        (bridge_of(""), ForeignThing),
        (table("name", "external_ids", data=[]), NetworkFailed),
    ],
)
def test_bridge_without_the_testbeds_mark_is_not_mirrored(
    seen: str, error: type[Exception]
) -> None:
    host = FakeTransport(script=[(READ, seen)])

    with pytest.raises(error):
        create(host)

    assert len(host.calls) == 1


def test_mirrors_of_a_mark_are_removed_and_no_others() -> None:
    marks = (MARK, "lab.r71.b1.t0", "lab.r7.b10.t0")
    host = FakeTransport(script=[(READ, there(*marks)), (WRITE, "")])

    assert mirrors.delete(host, "lab.r7.", scope=Scope())

    written = host.lines[-1]
    assert re.findall(r"remove Bridge t3-br0 mirrors (m\d)", written) == ["m0", "m2"]
    assert re.findall(r"--if-exists del-port (\w+)", written) == ["c0", "c2"]


def test_without_a_mirror_nothing_is_written() -> None:
    host = FakeTransport(script=[(READ, there("other.r7.b9.t0"))])

    assert not mirrors.delete(host, "lab.r7.", scope=Scope())

    assert len(host.calls) == 1
